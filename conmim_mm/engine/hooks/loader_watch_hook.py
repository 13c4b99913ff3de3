"""Says once that the loader holds the training back, and what helps."""

import importlib.util
import math
from collections import deque

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch.utils.data import DataLoader

from ...datasets import TarShards, TeacherPerturbation
from ...distributed.data_workers import prepare_workers
from ...utils.machine import cores_per_process
from ...utils.sizes import batch_size_of
from ..watching import only_watches


@HOOKS.register_module()
class LoaderWatchHook(Hook):
    """Warns, once in a run, when too much of the time goes into waiting for data.

    Before the first step it makes sure that data workers can hand over what they read
    (:func:`prepare_workers`).

    Measured by the first process, on its own loader; needs the times of :class:`StepTimerHook`.

    Args:
        max_share: Share of the time, 0 to 1, that may go into waiting.
        window: Over how many steps.
        skip: Steps at the start that do not count, as workers start and caches fill.
    """

    priority = 'LOW'  # after the timer

    def __init__(self, max_share: float = 0.2, window: int = 50, skip: int = 20) -> None:
        self.max_share = max_share
        self.skip = skip
        self._steps: deque = deque(maxlen=window)
        self._seen = 0
        self._watching = True

    def before_train(self, runner: Runner) -> None:
        prepare_workers(runner.train_dataloader)
        self._watching = is_main_process()

    @only_watches
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        if not self._watching:
            return
        self._seen += 1
        if self._seen <= self.skip:
            return
        hub = runner.message_hub
        if 'train/data_time' not in hub.log_scalars:  # default_hooks.timer=None
            return
        self._steps.append((hub.get_scalar('train/time').current(),
                            hub.get_scalar('train/data_time').current(), batch_size_of(data_batch)))
        if len(self._steps) < self._steps.maxlen:
            return
        seconds, waited, images = map(sum, zip(*self._steps, strict=True))
        if waited > self.max_share * seconds:
            self._watching = False
            runner.logger.warning(self._message(runner, seconds, waited, images))

    def _message(self, runner: Runner, seconds: float, waited: float, images: int) -> str:
        loader = runner.train_dataloader
        possible = f'{images / (seconds - waited):.3g}' if seconds > waited else 'more'
        workers = loader.num_workers
        who = f'{workers} workers deliver' if workers > 1 else (
            '1 worker delivers' if workers else 'the training process itself loads')
        each = f' ({images / seconds / workers:.3g} each)' if workers > 1 else ''
        remedies = worker_advice(loader, seconds / max(seconds - waited, 1e-9))
        remedies += pipeline_advice(loader.dataset)
        return (f'{waited / seconds:.0%} of the time of the last {len(self._steps)} steps went '
                f'into waiting for data: {who} {images / seconds:.3g} images/s{each}, the model '
                f'could take {possible}. What helps: {"; ".join(remedies)}. '
                'See docs/performance.md.')


def worker_advice(loader: DataLoader, factor: float) -> list[str]:
    """What the number of workers can do.

    Args:
        loader: The training loader.
        factor: How many times as many images the model could take.
    """
    cpus = cores_per_process()
    # without workers, loading takes turns with the model, which asks for one worker at least
    needed = min(math.ceil(loader.num_workers * factor) or max(cpus - 1, 1), cpus)
    remedies = [
        f'train_dataloader.num_workers={needed} (there are {cpus} CPUs for each process)'
        if needed > loader.num_workers else
        f'more CPUs (all {cpus} of this process have a worker)']
    if loader.num_workers and not loader.persistent_workers:
        remedies.append('train_dataloader.persistent_workers=True, if epochs are short')
    return remedies


def pipeline_advice(dataset: object) -> list[str]:
    """What another way to read and perturb images can do.

    Args:
        dataset: The training data set; others than this project's get the general advice only.
    """
    remedies = []
    if importlib.util.find_spec('simplejpeg') is None:
        remedies.append('pip install simplejpeg, which decodes JPEG files faster')
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', [])
    for place, transform in enumerate(transforms):
        # by its exact class: DevicePerturbation is one, too
        if type(getattr(transform, 'perturbation', None)) is TeacherPerturbation and (
                torch.cuda.is_available()):
            remedies.append(f'train_dataloader.dataset.pipeline.{place}.perturbation.type='
                            'DevicePerturbation, which leaves the perturbation to the GPU')
    if not isinstance(dataset, TarShards):
        remedies.append('tar shards (tools/dataset_converters/make_shards.py), if the disk or the '
                        'network is slow')
    return remedies
