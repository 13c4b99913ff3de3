"""Says which images a bad step had, undoes what it did to the model, and saves the state."""

from functools import partial
from logging import WARNING
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...checkpoint.plain_data import plain_data
from ...distributed.sharded import unwrap_model, whole_state_dict
from ...errors import InputError, one_line
from ...utils.files import written_whole
from ...utils.work_dir import BAD_STEP_PREFIX
from ..optimizers.guarded_optim_wrapper import BadStep, GuardedOptimWrapper

NAMED_IMAGES = 3


@HOOKS.register_module()
class BadNumbersHook(Hook):
    """Completes what :class:`GuardedOptimWrapper` does with a loss or gradient that is not finite.

    The forward pass has spoilt the running statistics of batch norms by then; they are put back to
    what they were before the step, whether it is skipped or ends the run. So neither the rest of
    the run nor what is saved holds them.

    Where the run ends, the message names the images of the processes whose loss is not finite (of
    all, if only the gradient is not), and each of these processes writes
    ``bad_step_<step>_rank<rank>.pth`` into the work dir, which ``torch.load`` reads with
    ``weights_only=True``:

    - ``step``, ``learning_rate``, ``cause``: as in the message.
    - ``batches``: what the loader gave for this step, one for each batch that accumulated;
      ``finite_losses`` and ``img_paths`` belong to these.
    - ``state_dict``, ``optimizer``: of the model and the optimizer as they were before the step.
      The same on all processes, hence in the first file only; under FSDP the optimizer's is the
      part of that process.

    Resuming does not take these files for checkpoints.
    """

    def before_train(self, runner: Runner) -> None:
        wrapper = runner.optim_wrapper
        self._is_guarded = isinstance(wrapper, GuardedOptimWrapper)
        if not self._is_guarded:
            print_log(f'a loss that is not finite will not stop this run: {type(wrapper).__name__} '
                      'does not look; set optim_wrapper.type to GuardedOptimWrapper or '
                      'ConMIMAmpOptimWrapper', logger='current', level=WARNING)
            return
        wrapper.on_bad_step = partial(self._on_bad_step, runner)
        model = unwrap_model(runner.model)
        self._buffers = [
            buffer for module in model.modules() for name, buffer in module._buffers.items()
            if buffer is not None and name not in module._non_persistent_buffers_set]  # constants
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._batches: list[dict] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict) -> None:
        if not self._is_guarded:
            return
        if runner.optim_wrapper.should_update():  # the step before is complete
            self._batches.clear()
            if self._kept:
                torch._foreach_copy_(self._kept, self._buffers)
        self._batches.append(data_batch)

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if self._is_guarded and runner.optim_wrapper.should_update():
            self._batches.clear()

    def _on_bad_step(self, runner: Runner, bad: BadStep) -> str:
        """Restores, and saves if the run ends; on all processes. Returns images and file."""
        if self._kept:
            torch._foreach_copy_(self._buffers, self._kept)
        loss_is_finite = all(bad.finite_losses)
        concerned = [batch for batch, finite in zip(self._batches, bad.finite_losses, strict=False)
                     if loss_is_finite or not finite]
        everyone = all_gather_object((loss_is_finite, image_paths(concerned)))
        ranks = [rank for rank, (finite, _) in enumerate(everyone) if not finite]
        ranks = ranks or list(range(len(everyone)))
        paths = [path for rank in ranks for path in everyone[rank][1]]
        details = f', images {_first_of(paths)}' if paths else ''
        if bad.stops:
            weights = whole_state_dict(runner.model)  # under FSDP of all together
            place = self._save(runner, bad, ranks, weights) if get_rank() in ranks else ''
            # The launcher ends the others with the first that fails: not before all have saved.
            details += f'; {all_gather_object(place)[ranks[0]]}'
        return details

    def _save(self, runner: Runner, bad: BadStep, ranks: list[int], weights: dict) -> str:
        rank = get_rank()
        path = Path(runner.work_dir, f'{BAD_STEP_PREFIX}{bad.step}_rank{rank}.pth')
        content = dict(
            step=bad.step, learning_rate=bad.learning_rate, cause=bad.cause,
            batches=self._batches, finite_losses=bad.finite_losses,
            img_paths=[image_paths([batch]) for batch in self._batches])
        if rank == ranks[0]:
            content.update(state_dict=weights, optimizer=runner.optim_wrapper.state_dict())
        try:
            with written_whole(path) as aside:
                torch.save(plain_data(content), aside)
        except (InputError, RuntimeError) as error:  # a full disk can be either
            return f'the state could not be saved: {one_line(error)}'
        others = f' and those of ranks {ranks[1:]} beside it' if ranks[1:] else ''
        return f'the state before it is in {path}{others}'


def image_paths(batches: list[dict]) -> list[str]:
    """The files that batches come from, as far as their samples know them.

    Args:
        batches: As the loader gives them: a dict whose ``data_samples``, if any, have an
            ``img_path``.
    """
    samples = [sample for batch in batches if isinstance(batch, dict)
               for sample in batch.get('data_samples') or []]
    return [str(sample.img_path) for sample in samples if getattr(sample, 'img_path', None)]


def _first_of(paths: list[str]) -> str:
    more = len(paths) - NAMED_IMAGES
    return ', '.join(paths[:NAMED_IMAGES]) + (f' and {more} more' if more > 0 else '')
