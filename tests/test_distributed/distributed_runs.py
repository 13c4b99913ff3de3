"""Toy runs on two processes, one after the other."""

import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

from conmim_mm.apis.options import add_online_evaluation
from conmim_mm.distributed.launch import close_cpu_processes, init_cpu_processes
from conmim_mm.distributed.sharded import whole_state_dict
from conmim_mm.errors import InputError
from tests.toy import model_cfg, run_cfg, visible_cfg

GLOBAL_BATCH = 6
EPOCHS = 5  # of 12 images: ten steps


class LossTrace(Hook):
    """Notes each step's loss on this process."""

    def __init__(self) -> None:
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())


def cfg_of(images: Path, work_dir: Path, processes: int, labelled: Path | None = None,
           **overrides) -> Config:
    model = model_cfg(layer_scale_init_value=0.1)
    if processes > 1:
        overrides['launcher'] = 'pytorch'
    model['neck']['norm_cfg'] = dict(type='CrossProcessBN')
    work_dir.mkdir(parents=True, exist_ok=True)
    cfg = Config(run_cfg(
        images, work_dir, epochs=EPOCHS, batch_size=GLOBAL_BATCH // processes, env_cfg={},
        **(dict(model=model) | overrides)))
    # What a batch norm behind it takes out again, such as the bias of the backbone's last norm, has
    # rounding errors for gradients, which Adam with eps=1e-8 would blow up to whole steps.
    cfg.optim_wrapper.optimizer.eps = 1e-5
    if labelled:
        add_online_evaluation(cfg, str(labelled))
        cfg.train_cfg.val_interval = 3  # so few images would be judged twice only
    return cfg


def train(cfg: Config, result: Path) -> None:
    """Trains and saves whole weights and this process' losses as ``result``, by rank."""
    runner = RUNNERS.get(cfg.get('runner_type', 'Runner')).from_cfg(cfg)
    trace = LossTrace()
    runner.register_hook(trace)
    runner.train()
    values = {key: runner.message_hub.get_scalar(key).data[0].tolist()
              for key in runner.message_hub.log_scalars if key.endswith('_top1')}
    norms = runner.message_hub.get_scalar('train/grad_norm').data[0].tolist()
    torch.save(dict(weights=whole_state_dict(runner.model), losses=trace.losses, norms=norms,
                    values=values), f'{result}_{runner.rank}.pth')


def fsdp(**strategy) -> dict:
    return dict(runner_type='FlexibleRunner',
                strategy=dict(type='mmengine.ConMIMFSDPStrategy', **strategy))


def refused(cfg: Config, result: Path) -> None:
    """Writes why a run does not start."""
    try:
        train(cfg, result)
    except InputError as error:
        Path(f'{result}_{os.environ["RANK"]}.txt').write_text(str(error))


def train_all(images: Path, labelled: Path, out: Path) -> None:
    """Trains with DDP and with FSDP, in ways that are refused, too."""
    init_cpu_processes(Config(dict(launcher='pytorch')))
    wrapper = dict(model_wrapper_cfg=dict(type='MMDistributedDataParallel', device_ids=None))
    train(cfg_of(images, out / 'ddp', 2, labelled, **wrapper), out / 'ddp')
    train(cfg_of(images, out / 'fsdp', 2, labelled, **fsdp()), out / 'fsdp')
    visible = visible_cfg()
    visible['neck']['norm_cfg'] = dict(type='CrossProcessBN')
    visible['head']['centre_positions'] = False  # of three images hardly anything would be left
    for name, settings in dict(ddp=wrapper, fsdp=fsdp()).items():
        train(cfg_of(images, out / f'visible-{name}', 2, model=visible, **settings),
              out / f'visible-{name}')
    refused(cfg_of(images, out / 'one-piece', 2, **fsdp(
        model_wrapper=dict(auto_wrap_policy=None))), out / 'one-piece')
    refused(cfg_of(images, out / 'of-ddp', 2, **fsdp(), resume=True,
                   load_from=str(out / 'ddp' / 'epoch_2.pth')), out / 'of-ddp')
    float16 = cfg_of(images, out / 'float16', 2, **fsdp())
    float16.optim_wrapper.update(type='ConMIMAmpOptimWrapper', dtype='float16')
    refused(float16, out / 'float16')
    train(cfg_of(images, out / 'resumed', 2, **fsdp(), resume=True,
                 load_from=str(out / 'fsdp' / 'epoch_2.pth')), out / 'resumed')
    close_cpu_processes()
