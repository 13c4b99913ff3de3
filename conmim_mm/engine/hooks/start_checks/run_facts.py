"""Whether a run that goes on is the run that was saved, and going on where it is not quite."""

import math

from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import Dataset

from ....distributed.agreement import names_checksum

RUN_FACTS = 'run'
_WORDS = dict(world_size='processes', batch_size='images on each of them',
              accumulative_counts='batches per step', images='images in the data set',
              names="check sum of the images' names")


def run_facts(runner: Runner) -> dict[str, int | None]:
    """What must not change between saving and resuming, besides the settings.

    Args:
        runner: A runner that trains.

    Returns:
        Plain numbers by name: processes, images on each of them, batches per optimizer step, images
        in the data set, a check sum of their names, and batches of an epoch.
    """
    loader = runner.train_dataloader
    return dict(
        world_size=runner.world_size,
        batch_size=loader.batch_size or 0,  # 0: a batch sampler decides
        accumulative_counts=getattr(runner.optim_wrapper, '_accumulative_counts', 1),
        epoch_length=len(loader),
        **data_facts(loader.dataset))


def data_facts(dataset: Dataset) -> dict[str, int | None]:
    """Those of :func:`run_facts` that tell of a data set."""
    return dict(images=len(dataset), names=names_checksum(dataset))


def describe_changes(saved: dict, now: dict, same_total_batch: bool = False) -> list[str]:
    """What differs between two :func:`run_facts`, a phrase for each; empty if nothing does.

    Args:
        saved: The checkpoint's.
        now: The run's.
        same_total_batch: Another number of processes is fine as long as the images per optimizer
            step are as many.
    """
    # the length of an epoch follows from the others
    saved, now = ({key: value for key, value in facts.items() if key != 'epoch_length'}
                  for facts in (saved, now))
    if same_total_batch:
        for facts in (saved, now):
            facts['images per step'] = math.prod(
                facts.pop(key) for key in ('world_size', 'batch_size', 'accumulative_counts'))
    return [f'{_WORDS.get(key, key)}: {saved[key]} in the checkpoint, {now[key]} here'
            for key in now if saved.get(key, now[key]) != now[key]]


def rescale_progress(checkpoint: dict, runner: Runner) -> None:
    """Moves a checkpoint to the same place of an epoch whose number of batches is another one.

    The iteration and those of the schedules are changed in place; loops by iterations count on as
    they are.

    Args:
        checkpoint: Of a run whose facts are known.
        runner: The runner that resumes from it.
    """
    meta = checkpoint['meta']
    old, new = meta[RUN_FACTS]['epoch_length'], len(runner.train_dataloader)
    if old == new or not isinstance(runner.train_loop, EpochBasedTrainLoop):
        return
    done = (meta['iter'] - meta['epoch'] * old) / old
    iteration = meta['epoch'] * new + round(done * new)
    for schedule in checkpoint.get('param_schedulers', []):
        if schedule['_global_step'] == meta['iter']:  # counts iterations, not epochs
            schedule['_global_step'] = schedule['last_step'] = iteration
    runner.logger.warning(f'an epoch has {new} iterations rather than {old}: iteration '
                          f'{meta["iter"]} becomes {iteration}')
    meta['iter'] = iteration
