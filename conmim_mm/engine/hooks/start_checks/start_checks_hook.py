"""Stops a run before its first step when it could not do what it was asked to."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmpretrain.registry import HOOKS

from ....checkpoint.differences import check_state_dict, names_of_differences
from ....datasets.class_names import names_of_classes
from ....datasets.samplers.shard_sequential_sampler import why_reads_scatter
from ....distributed.agreement import check_data_agrees
from ....distributed.sharded import unwrap_model, whole_state_dict
from ....errors import InputError
from ....models.selfsup.conmim import (
    PARTS_OF_A_FORM,
    ConMIM,
    is_other_form,
    start_teacher_from_student,
)
from .coco_metrics import complete_coco_metrics
from .labels import check_labels
from .run_facts import RUN_FACTS, describe_changes, rescale_progress, run_facts


@HOOKS.register_module()
class StartChecksHook(Hook):
    """Refuses data too few or not the same on each process, labels and checkpoints that don't fit.

    A checkpoint fits if its weights have the model's names and shapes and, on resume, if it was
    saved with as many processes, images and batches. A run that starts from a checkpoint of
    ConMIM's other form, with a decoder or without, takes what both have and says what starts anew.
    A sampler of tar shards that does not fit the data workers gets a warning. Folders to validate
    or test on are labelled by the names of the training's classes, and COCO's metrics are given
    what their annotation file leaves out.

    Args:
        mismatch: What to do with a checkpoint that does not fit: ``'refuse'``; ``'rescale'``,
            which resumes with another number of processes as long as the images per optimizer step
            stay the same; ``'allow'``, which takes what fits, and says what does not.

    Raises:
        InputError: At the start of training or testing, when a checkpoint is loaded, or for another
            ``mismatch``.
    """

    priority = 'VERY_HIGH'
    choices = ('refuse', 'rescale', 'allow')

    def __init__(self, mismatch: str = 'refuse') -> None:
        if mismatch not in self.choices:
            raise InputError(f'mismatch must be one of {self.choices}, but is {mismatch!r}')
        self.mismatch = mismatch
        self._trained_classes: Sequence[str] = ()

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        check_data_agrees(loader.dataset)
        if len(loader) == 0 or len(loader.dataset) < loader.batch_size * runner.world_size:
            raise InputError(
                f'{len(loader.dataset)} images are fewer than one batch ({loader.batch_size} '
                f'images on each of {runner.world_size} processes); lower '
                'train_dataloader.batch_size or add images')
        if warning := why_reads_scatter(loader):
            runner.logger.warning(warning)
        check_labels(unwrap_model(runner.model), loader.dataset)
        if runner.val_loop is not None:
            self._check_evaluation(runner, runner.val_loop, names_of_classes(loader.dataset))

    def before_test(self, runner: Runner) -> None:
        # only folders are labelled by names; and a checkpoint may call its classes otherwise
        dataset = runner.test_loop.dataloader.dataset
        by_name = hasattr(dataset, 'use_classes') and not set(
            self._trained_classes).isdisjoint(names_of_classes(dataset))
        self._check_evaluation(runner, runner.test_loop, self._trained_classes if by_name else ())

    def _check_evaluation(self, runner: Runner, loop: BaseLoop, classes: Sequence[str]) -> None:
        dataset = loop.dataloader.dataset
        check_labels(unwrap_model(runner.model), dataset, classes)
        complete_coco_metrics(loop.evaluator, dataset)
        if names_of_classes(dataset):  # the names may be others than when the loop was built
            loop.evaluator.dataset_meta = runner.visualizer.dataset_meta = dataset.metainfo

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        checkpoint['meta'][RUN_FACTS] = run_facts(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        meta = checkpoint.get('meta') or {}
        self._trained_classes = (meta.get('dataset_meta') or {}).get('classes') or ()
        if runner._resume:
            self._check_run(runner, checkpoint)
        own = whole_state_dict(runner.model)
        if not runner._resume and self._start_from_other_form(runner, checkpoint, own):
            return
        try:
            check_state_dict(own, checkpoint.get('state_dict', checkpoint))
        except InputError as error:
            if self.mismatch != 'allow':
                raise
            runner.logger.warning(f'{error}. What does not fit is left as it was before loading')
            replace_mismatched_weights(checkpoint, own)

    def _start_from_other_form(self, runner: Runner, checkpoint: dict, own: dict) -> bool:
        """Fits a checkpoint of ConMIM's other form to the model; False for anything else."""
        model = unwrap_model(runner.model)
        if not isinstance(model, ConMIM):
            return False
        given = {key.removeprefix('module.'): value
                 for key, value in checkpoint.get('state_dict', checkpoint).items()}
        start_teacher_from_student(model, given)
        differences = names_of_differences(own, given)
        if not is_other_form(differences):
            return False
        anew = {part.strip('.') for part in PARTS_OF_A_FORM for name in differences & own.keys()
                if name.startswith(part)}
        runner.logger.warning("the checkpoint is of ConMIM's other form; what it lacks starts "
                              f'anew: {", ".join(sorted(anew)) or "nothing"}')
        checkpoint['state_dict'] = given
        replace_mismatched_weights(checkpoint, own)
        return True

    def _check_run(self, runner: Runner, checkpoint: dict) -> None:
        saved = checkpoint['meta'].get(RUN_FACTS)
        if saved is None:  # saved by MMEngine's own hooks
            return
        changes = describe_changes(saved, run_facts(runner), self.mismatch == 'rescale')
        if changes and self.mismatch != 'allow':
            raise InputError(
                f'this is not the run that the checkpoint is from: {changes}. Resume as it was '
                'started; or with --elastic, which changes the batch so that the images per step '
                'stay the same; or with --allow-mismatch to go on as you ask')
        if changes:
            runner.logger.warning(f'going on in spite of changes: {changes}')
        rescale_progress(checkpoint, runner)


def replace_mismatched_weights(checkpoint: dict, own: dict) -> None:
    """Puts a model's own weights in the place of those that a checkpoint lacks or has otherwise.

    Args:
        checkpoint: Changed in place; it loses what belongs to its own weights, the optimizer's
            state and open gradients.
        own: The model's state dict.
    """
    given = {key.removeprefix('module.'): value
             for key, value in checkpoint.get('state_dict', checkpoint).items()}
    fitting = {key: given[key] if key in given and given[key].shape == value.shape else value
               for key, value in own.items()}
    meta = {key: checkpoint[key] for key in ('meta', 'message_hub', 'param_schedulers')
            if key in checkpoint}
    checkpoint.clear()
    checkpoint.update(meta, state_dict=fitting)
