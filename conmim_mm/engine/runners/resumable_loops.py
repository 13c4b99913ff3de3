"""Training loops that go on exactly where a checkpoint was saved."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmpretrain.registry import LOOPS
from torch.utils.data import DataLoader

from ...errors import InputError
from ..hooks.atomic_checkpoint_hook import VALIDATED_ITER


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """MMEngine's loop by epochs, which resumes in the middle of one.

    MMEngine's starts the epoch again, with the iterations counted on. Here the batches before the
    checkpoint are left out: by the sampler where it can :meth:`skip`, as those of this project,
    otherwise by reading them once more. A validation that was due and did not end is made up for.
    With ``val_begin=0`` the weights are validated before the first step, too.

    Arguments as in :class:`mmengine.runner.EpochBasedTrainLoop`.

    Raises:
        InputError: At the start, a checkpoint of a run whose epochs have another length.
    """

    def run(self) -> torch.nn.Module:
        """Trains, from wherever the runner stands."""
        length = len(self.dataloader)
        self.first_batch = self._iter - self._epoch * length
        if not 0 <= self.first_batch <= length:
            raise InputError(
                f'the checkpoint stands at iteration {self._iter} in epoch {self._epoch + 1}, but '
                f'an epoch has {length} iterations here: resume with the data, the batch size and '
                'the number of processes it was trained with')
        with cleaning_up(self.runner, self.dataloader):
            self.runner.call_hook('before_train')
            if self.first_batch == 0:
                validate_if_due(self, self._epoch, self._max_epochs)
            while self._epoch < self._max_epochs and not self.stop_training:
                self.run_epoch()
                self._decide_current_val_interval()
                validate_if_due(self, self._epoch, self._max_epochs)
            self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        """Trains one epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        start, self.first_batch = self.first_batch, 0
        for idx, data_batch in enumerate(self._batches(start), start):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches(self, start: int) -> Iterator[dict]:
        if start == len(self.dataloader):
            return iter(())
        isolate_loader_generator(self.dataloader, self.runner.seed + self._epoch)
        return batches_from(self.dataloader, start)


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """MMEngine's loop by iterations, which resumes exactly with any MMEngine and sampler.

    As :class:`ResumableEpochLoop` does. A sampler that ends is started again with its next epoch.

    Arguments as in :class:`mmengine.runner.IterBasedTrainLoop`.
    """

    def run(self) -> torch.nn.Module:
        """Trains, from wherever the runner stands."""
        with cleaning_up(self.runner, self.dataloader):
            self.runner.call_hook('before_train')
            self.runner.call_hook('before_train_epoch')
            validate_if_due(self, self._iter, self._max_iters)
            isolate_loader_generator(self.dataloader, self.runner.seed)
            batches = infinite_batches(self.dataloader, self._iter)
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(next(batches))
                self._decide_current_val_interval()
                validate_if_due(self, self._iter, self._max_iters)
            self.runner.call_hook('after_train_epoch')
            self.runner.call_hook('after_train')
        return self.runner.model


def validate_if_due(loop: EpochBasedTrainLoop | IterBasedTrainLoop, done: int, planned: int
                    ) -> None:
    """Validates where it is time, unless the state as it is was validated before it was saved.

    Args:
        loop: Of the training.
        done: Its epochs or iterations so far.
        planned: All of them.
    """
    runner = loop.runner
    due = done >= loop.val_begin and (done % loop.val_interval == 0 or done == planned)
    if due and runner.val_loop is not None and (
            runner.message_hub.runtime_info.get(VALIDATED_ITER) != runner.iter):
        isolate_loader_generator(runner.val_loop.dataloader, runner.seed)
        runner.val_loop.run()


@contextmanager
def cleaning_up(runner: Runner, loader: DataLoader) -> Iterator[None]:
    """Calls hooks' ``train_failed`` if training ends in any exception; leaves no workers behind.

    Freed in one with the runner that refers to them and is referred to, PyTorch would wait five
    seconds for each persistent one: the queues that tell them to end are gone before.
    """
    try:
        yield
    except BaseException:  # Ctrl-C and the end on a signal, too
        runner.call_hook('train_failed')
        raise
    finally:
        loader._iterator = None


def isolate_loader_generator(loader: DataLoader, seed: int) -> None:
    """Keeps a loader from drawing its workers' seed from the generator that the model uses.

    It draws one whenever it starts workers, which after a resume it does once more.
    """
    if loader.generator is None:
        loader.generator = torch.Generator()
    loader.generator.manual_seed(seed)


def infinite_batches(loader: DataLoader, start: int) -> Iterator[dict]:
    """Batches without end, as if ``start`` of them had been taken already."""
    sampler = index_sampler(loader)
    # an endless sampler takes the whole way in one; others are taken up in their epoch
    endless = not hasattr(sampler, 'epoch')
    number, first = (0, start) if endless else divmod(start, len(loader))
    while True:
        if not endless:
            sampler.set_epoch(number)
        yield from batches_from(loader, first)
        number, first = number + 1, 0


def batches_from(loader: DataLoader, start: int) -> Iterator[dict]:
    """The batches of a loader without the first ones.

    Args:
        loader: The loader, its batches of one size.
        start: How many batches to leave out.
    """
    sampler = index_sampler(loader)
    if hasattr(sampler, 'skip') and loader.batch_size:
        sampler.skip(start * loader.batch_size)
        return iter(loader)
    if start:
        print_log(f'reading {start} batches again that were trained on before: '
                  f'{type(sampler).__name__} cannot skip them', logger='current')
    batches = iter(loader)
    for _ in range(start):
        next(batches)
    return batches


def index_sampler(loader: DataLoader) -> object:
    """The sampler of single indices."""
    return loader.sampler if loader.batch_size else loader.batch_sampler.sampler
