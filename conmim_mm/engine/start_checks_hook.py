"""Stops a run before its first step when it could not do what it was asked to."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS
from torch.utils.data import DataLoader

from ..errors import InputError
from ..models.state_dict_check import describe_differences
from .label_checks import check_labels
from .unwrap import unwrap_model


@HOOKS.register_module()
class StartChecksHook(Hook):
    """Refuses a data set smaller than a batch, labels and a checkpoint that do not fit the model.

    Raises:
        InputError: At the start of training or testing, or when a checkpoint is loaded.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        if len(loader) == 0 or len(loader.dataset) < loader.batch_size * runner.world_size:
            raise InputError(
                f'{len(loader.dataset)} images are fewer than one batch ({loader.batch_size} '
                f'images on each of {runner.world_size} processes); lower '
                'train_dataloader.batch_size or add images')
        self._check_labels(runner, loader)
        if runner.val_loop is not None:
            self._check_labels(runner, runner.val_loop.dataloader)

    def before_test(self, runner: Runner) -> None:
        self._check_labels(runner, runner.test_dataloader)

    def _check_labels(self, runner: Runner, loader: DataLoader) -> None:
        check_labels(unwrap_model(runner.model), loader.dataset)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        check_state_dict(
            unwrap_model(runner.model).state_dict(), checkpoint.get('state_dict', checkpoint))


def check_state_dict(own: dict, given: dict) -> None:
    """Compares the weights of a checkpoint with those of a model.

    A checkpoint without any ``teacher.*`` key is complete without them: the teacher then starts as
    the student's copy.

    Args:
        own: The model's state dict.
        given: The checkpoint's; a leading ``module.`` in its keys is ignored.

    Raises:
        InputError: Keys are missing, unexpected or of another shape. The message names the first.
    """
    given = {key.removeprefix('module.'): value for key, value in given.items()}
    if not any(key.startswith('teacher.') for key in given):
        own = {key: value for key, value in own.items() if not key.startswith('teacher.')}
    differences = describe_differences(own, given)
    if differences:
        raise InputError(f'the checkpoint does not fit the model: {differences}. Use the config it '
                         'was trained with, or convert it first (tools/model_converters/)')
