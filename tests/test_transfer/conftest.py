"""The tiny recipes of all three tasks, for two steps in this process."""

from pathlib import Path

from mmengine.config import Config


def use_data(cfg: Config, root: Path) -> None:
    """Has all loaders read from a folder, without processes of their own."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(root)
        loader.update(num_workers=0, persistent_workers=False, pin_memory=False)


def two_steps(cfg: Config, root: Path, work_dir: Path) -> Config:
    """Trains for two steps and validates."""
    use_data(cfg, root)
    cfg.merge_from_dict({
        'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2, 'param_scheduler.warmup': 1,
        'work_dir': str(work_dir), 'experiment_name': f'{cfg.default_scope}_{root.name}',
        'log_level': 'ERROR'})
    return cfg
