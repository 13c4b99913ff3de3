"""The validation of a pre-training run: it judges features and leaves the training alone."""

import math
import time
from collections.abc import Callable

import torch
from mmengine.dist import all_gather_object
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, ValLoop
from mmpretrain.registry import DATASETS, LOOPS, MODELS
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ...checkpoint.settings import component
from ...datasets.labelled_folder import check_apart
from ...distributed.agreement import check_data_agrees
from ...distributed.sharded import unwrap_model, whole_state_dict
from ...errors import InputError
from ...utils.inspection import inspection
from ...utils.random_state import keeping_random_state

LIMIT = 0.02  # of the training time
DEFAULT_EPOCHS = 10
MIN_VALIDATIONS = 2  # in a run, besides that of the weights it starts from
# An image that is trained on costs four passes through the backbone, one for the teacher and three
# for the student with its gradients; one that is evaluated costs one. So many images for each that
# is trained on are 0.5 % of the work, which leaves thrice as much for the rest: workers that start,
# the linear probe, saving the best checkpoint, and the validation before the first step.
IMAGES_PER_TRAINED = 0.02
MIN_IMAGES, MIN_IMAGES_OF_A_CLASS = 500, 10
MAX_IMAGES = 20_000  # on a GPU saving and the probe then weigh as much as the images


@LOOPS.register_module()
class FeatureValLoop(ValLoop):
    """MMEngine's ``ValLoop``, for :class:`LabelledImages` or :class:`LabelledMaps`.

    What is trained is the same as without: mode, weights and random states are left alone. A
    validation that fails is a warning, and all processes go on together. Where
    ``train_cfg.val_interval`` and the data set's ``max_images`` are not set, they are chosen so
    that validations cost less than 2 % of the time (:func:`plan_validation`); of maps a third of
    the images, as all their patches are judged.

    Arguments as in :class:`mmengine.runner.ValLoop`, the loader as a dict.

    Raises:
        InputError: A model without predictions of this kind, or a folder without labels, with
            training images in it, or with other images on another process.
    """

    def __init__(self, runner: Runner, dataloader: dict, evaluator: dict | list) -> None:
        model = runner.model
        # under FSDP it is not built yet
        if not hasattr(component(model, MODELS) if isinstance(model, dict) else
                       unwrap_model(model), 'predict'):
            raise InputError('FeatureValLoop needs a model that predicts features, such as ConMIM')
        dataset = DATASETS.build(dataloader['dataset'])
        check_apart(dataset.held_out_root, runner.train_dataloader.dataset)
        check_data_agrees(dataset)
        loop, own = runner.train_loop, runner.cfg.train_cfg
        images_per_step = runner.world_size * (loop.dataloader.batch_size or 1)
        interval, max_images = plan_validation(
            loop, images_per_step, len(dataset.metainfo['classes']), own.get('val_interval'),
            dataset.max_images)
        if dataset.max_images is None:
            max_images //= dataset.judging_cost
        if 'val_interval' not in own:
            loop.val_interval, loop.dynamic_intervals = interval, [interval]
            loop.dynamic_milestones = [0]
        dataset.draw(max_images)
        super().__init__(runner, dict(dataloader, dataset=dataset), evaluator)
        self.failure = ''

    def run(self) -> dict[str, float]:
        """Validates; empty where that failed."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # what the last step left to do is not the validation's
        started = time.perf_counter()
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        metrics = self._evaluate()
        if self.failure:
            self.runner.logger.warning(f'validation failed, training goes on: {self.failure}')
        else:
            self.runner.call_hook('after_val_epoch', metrics=metrics)
            self.runner.logger.info(self._describe_cost(time.perf_counter() - started))
        self.runner.call_hook('after_val')
        return metrics or {}

    def _evaluate(self) -> dict[str, float] | None:
        """Metrics, the same in all processes; none where one of them failed."""
        self.failure = ''
        for metric in self.evaluator.metrics:
            metric.results.clear()
        with keeping_random_state():
            model = self._whole_model()
        # a state that is saved in between has the random states of the training, too
        with keeping_random_state(), inspection(model or nn.Identity()):
            batches = self._try(iter, self.dataloader)
            for index in range(len(self.dataloader)):
                batch = self._try(next, batches)
                self.runner.call_hook('before_val_iter', batch_idx=index, data_batch=batch)
                outputs = self._try(self._predict, model, batch)
                self.runner.call_hook(
                    'after_val_iter', batch_idx=index, data_batch=batch, outputs=outputs)
            self.failure = next(filter(None, all_gather_object(self.failure)), '')
            return self._try(self.evaluator.evaluate, len(self.dataloader.dataset))

    def _try(self, action: Callable, *args: object) -> object:
        """What an action gives; nothing after a failure, which hooks must not notice.

        They talk to other processes, where nothing has failed.
        """
        if self.failure:
            return None
        try:
            return action(*args)
        except Exception as error:
            self.failure = f'{type(error).__name__} in rank {self.runner.rank}: {error}'

    def _whole_model(self) -> nn.Module | None:
        """The model itself; under FSDP, where each process has pieces only, a whole copy."""
        if not isinstance(self.runner.model, FSDP):
            return unwrap_model(self.runner.model)
        state = whole_state_dict(self.runner.model)

        def build() -> nn.Module:
            model = MODELS.build(self.runner.cfg.model)
            model.load_state_dict(state)
            return model.to(next(self.runner.model.parameters()).device)

        return self._try(build)

    def _predict(self, model: nn.Module, batch: dict) -> list:
        if getattr(model.data_preprocessor, 'to_rgb', False):  # these are RGB already
            batch['inputs'] = [image.flip(0) for image in batch['inputs']]
        outputs = model.val_step(batch)
        self.evaluator.process(data_samples=outputs, data_batch=batch)
        return outputs

    def _describe_cost(self, seconds: float) -> str:
        text = f'val: {len(self.dataloader.dataset):,} images, {seconds:.1f} s'
        times = self.runner.message_hub.log_scalars.get('train/time')
        if times is None or not self.runner.iter:
            return text
        loop = self.runner.train_loop
        unit, length = (('epochs', len(loop.dataloader)) if isinstance(loop, EpochBasedTrainLoop)
                        else ('iterations', 1))
        share = seconds / (times.mean() * length * loop.val_interval)
        text += f', {100 * share:.1f} % of the time of {loop.val_interval:,} {unit}'
        if share > LIMIT:
            enough = math.ceil(loop.val_interval * share / LIMIT)
            text += f'; train_cfg.val_interval={enough} would keep it below {100 * LIMIT:.0f} %'
        return text


def plan_validation(loop: EpochBasedTrainLoop | IterBasedTrainLoop, images_per_step: int,
                    num_classes: int, interval: int | None = None,
                    max_images: int | None = None) -> tuple[int, int]:
    """Fills in what was not asked for, so that it costs less than 2 % of the training time.

    Every 10 epochs, but twice in a run at least; less often where a folder is so small that 500
    images cost too much. Then as many images as 0.5 % of the work between two validations pays for,
    from 500, and 10 of each class, up to 20,000.

    Args:
        loop: Of the training.
        images_per_step: Of all processes together.
        num_classes: Of the labelled images.
        interval: In units of the loop.
        max_images: At most so many.

    Returns:
        Interval, and at most how many images.
    """
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    epoch_length = max(1, len(loop.dataloader) if by_epoch else
                       -(-len(loop.dataloader.dataset) // images_per_step))
    length = loop.max_epochs if by_epoch else loop.max_iters
    trained = images_per_step * (epoch_length if by_epoch else 1)
    own_interval = interval is None
    if own_interval:
        interval = DEFAULT_EPOCHS * (1 if by_epoch else epoch_length)
        interval = min(interval, math.ceil(length / MIN_VALIDATIONS))
    if max_images is None:
        max_images = min(MAX_IMAGES, max(round(IMAGES_PER_TRAINED * interval * trained), MIN_IMAGES,
                                         MIN_IMAGES_OF_A_CLASS * num_classes))
        if own_interval:  # the least that says anything, of a small folder, less often
            interval = min(length, max(interval, math.ceil(
                max_images / (2 * IMAGES_PER_TRAINED * trained))))
    return interval, max_images
