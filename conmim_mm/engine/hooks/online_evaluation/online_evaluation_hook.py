"""Tells while a run trains what its features are good for."""

import time

import torch
from mmengine.hooks import CheckpointHook, Hook, IterTimerHook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.registry import HOOKS
from torch.utils.data import Dataset

from ....distributed.sharded import unwrap_model
from ....distributed.stop_signals import init_shielded
from ....errors import InputError
from ....evaluation import evaluate_features, extract_features
from ....utils.random_state import random_state, set_random_state
from ..step_timer_hook import StepTimerHook
from .cost import CostMeter, plan_evaluation
from .images import UNREADABLE, EvaluationImages, check_apart, labelled_split
from .model import RGBImages, frozen_backbone
from .shared_extraction import SharedExtraction

KNN, LINEAR = 'val/knn_top1', 'val/linear_top1'
HELD_OUT = 'val/held_out'  # how many images these are shares of, beside them in the log
RECORD = 'online_evaluation'  # in the message hub, and so in checkpoints
MAX_ON_DEVICE = 2**28  # numbers (1 GiB); more features come to the device chunk by chunk


@HOOKS.register_module()
class OnlineEvaluationHook(Hook):
    """Judges frozen features by k-NN and a linear probe, on labelled images apart from the others.

    Before the first step, every so often, and at the end. Percentages go to the log, as
    ``val/knn_top1`` and ``val/linear_top1``, with what that cost, and to a ``CheckpointHook`` whose
    ``save_best`` is one of them; random weights are not saved. All processes extract features. What
    is trained is the same as without: mode, weights and random states are left alone, and the
    step's clocks stand still. An evaluation that fails is a warning.

    Args:
        data_root: Labelled folder: ``CLASS/*``, of which every fifth image is held out, or
            ``train/CLASS/*`` and ``val/CLASS/*``.
        interval: Epochs between two evaluations; in a loop by iterations, iterations. None: 10
            epochs in either, but twice in a run at least.
        weights: Whose features, ``'teacher'`` or ``'student'``.
        k: Neighbours.
        max_images: At most so many images, both parts together, classes alike, the same every time.
            None: as many as about 0.5 % of the work between two evaluations pays for, from 500
            (and 10 of each class) to 20,000.
        batch_size: Images at once in each process.
        num_workers: Processes that read them, for each process of the run. None: as many as read
            the training images.

    Raises:
        InputError: A setting of no use; at the start of a run, a folder without labels or with
            images of the pre-training set in it, or a model without such weights.
    """

    # Before those that note something of the coming step: what is saved here is between two steps.
    priority = 'HIGHEST'

    def __init__(self,
                 data_root: str,
                 interval: int | None = None,
                 weights: str = 'teacher',
                 k: int = 20,
                 max_images: int | None = None,
                 batch_size: int = 64,
                 num_workers: int | None = None) -> None:
        for name, value in dict(interval=interval, k=k, max_images=max_images,
                                batch_size=batch_size).items():
            if value is not None and value < 1:
                raise InputError(f'{name} of OnlineEvaluationHook must be at least 1, not {value}')
        if max_images == 1:
            raise InputError('max_images of OnlineEvaluationHook must be at least 2: one to learn '
                             'from and one to hold out')
        if weights not in ('teacher', 'student'):
            raise InputError("weights of OnlineEvaluationHook must be 'teacher' or 'student', not "
                             f'{weights!r}')
        self.data_root = data_root
        self.interval = interval
        self.weights = weights
        self.k = k
        self.max_images = max_images
        self.batch_size = batch_size
        self.num_workers = num_workers

    def before_train(self, runner: Runner) -> None:
        model = unwrap_model(runner.model)
        if not hasattr(model, 'teacher'):
            raise InputError('OnlineEvaluationHook needs a model with a teacher, such as ConMIM')
        split = labelled_split(self.data_root)
        check_apart(self.data_root, runner.train_dataloader.dataset)
        self.plan = plan_evaluation(runner, len(split.classes), self.interval, self.max_images)
        self.images = EvaluationImages(
            split, model.backbone.img_size[0], self.plan.max_images)
        self.shared = SharedExtraction()
        self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self.cost = CostMeter(self._done(runner))

    def before_train_epoch(self, runner: Runner) -> None:
        if self.by_epoch and self._done(runner) % self.plan.interval == 0:
            self._evaluate_once(runner)

    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if not self.by_epoch and self._done(runner) % self.plan.interval == 0:
            self._evaluate_once(runner)

    def after_train(self, runner: Runner) -> None:
        self._evaluate_once(runner)

    def _done(self, runner: Runner) -> int:
        return runner.epoch if self.by_epoch else runner.iter

    def _evaluate_once(self, runner: Runner) -> None:
        record = runner.message_hub.runtime_info.get(RECORD, {})
        done = self._done(runner)
        if record.get('done') == done:
            return  # before the checkpoint that this run goes on from
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # what the last step left to do is not this one's
        started = time.perf_counter()
        try:
            values = self._evaluate(runner)
        except Exception as error:
            runner.logger.warning(f'online evaluation failed, training goes on: {error}')
            return
        best = values[KNN] > record.get('best', -1.)
        # not those of the start: there is nothing in random weights to keep
        counts = done > 0
        runner.message_hub.update_info(RECORD, dict(
            done=done, best=values[KNN] if best and counts else record.get('best', -1.)))
        for name, value in values.items():
            runner.message_hub.update_scalar(name, value)
        images = len(self.images.dataset)
        held_out = images - self.images.num_train
        try:
            runner.visualizer.add_scalars(values | {HELD_OUT: held_out}, step=runner.iter,
                                          file_path=f'{runner.timestamp}.json')
        except Exception as error:  # of a tracker
            runner.logger.warning(f'cannot log the evaluation, training goes on: {error}')
        if counts:
            save_if_best(runner, values)
        seconds = time.perf_counter() - started
        runner.logger.info(
            f'val: knn_top1 {values[KNN]:.1f}{" (best)" if best and counts else ""}, '
            f'linear_top1 {values[LINEAR]:.1f}, {images:,} images ({held_out:,} held out), '
            + self.cost.describe(seconds, done, self.plan, images))
        stop_clocks(runner, seconds)

    def _evaluate(self, runner: Runner) -> dict[str, float]:
        """Percentages, the same in all processes.

        Raises:
            RuntimeError: In all processes, for whatever went wrong in one of them.
        """
        random = random_state()
        try:
            device = next(runner.model.parameters()).device
            backbone = frozen_backbone(runner, self.weights)

            def extract(dataset: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
                return extract_features(
                    backbone(), dataset,
                    RGBImages(unwrap_model(runner.model).data_preprocessor),
                    batch_size=self.batch_size,
                    num_workers=(runner.train_dataloader.num_workers if self.num_workers is None
                                 else self.num_workers),
                    worker_init_fn=init_shielded)

            features = self.shared.extract(self.images.dataset, extract)
            result = None if features is None else self._judge(*features, device)
            result = self.shared.from_rank_0(result)
        finally:
            set_random_state(random)
        if isinstance(result, str):
            raise RuntimeError(result)
        return result

    def _judge(self, features: torch.Tensor, labels: torch.Tensor,
               device: torch.device) -> dict[str, float] | str:
        """Percentages, or why there are none: other processes wait for either."""
        try:
            split = self.images.num_train
            readable = labels != UNREADABLE
            fits = features.numel() <= MAX_ON_DEVICE
            train, held_out = (
                (features[part][readable[part]].to(place), labels[part][readable[part]].to(place))
                for part, place in (
                    (slice(split), device if fits else 'cpu'), (slice(split, None), device)))
            for name, part in {'to learn from': train, 'held out': held_out}.items():
                if not len(part[1]):
                    return f'none of the images {name} can be read'
            accuracy = evaluate_features(train, held_out, self.k)
        except Exception as error:
            return f'{type(error).__name__}: {error}'
        return {KNN: 100 * accuracy['knn'].value, LINEAR: 100 * accuracy['linear'].value}


def save_if_best(runner: Runner, values: dict[str, float]) -> None:
    """Hands values to the checkpoint hooks that keep the best checkpoint by them.

    Not to all hooks, as a validation's are: MMEngine's logger would look for a validation set.
    """
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and set(hook.save_best or []) & set(values):
            hook.after_val_epoch(runner, values)


def stop_clocks(runner: Runner, seconds: float) -> None:
    """Leaves a time that has just passed out of a step's time, and so of the time left."""
    for hook in runner.hooks:
        if isinstance(hook, StepTimerHook):
            hook.leave_out(seconds)
        elif isinstance(hook, IterTimerHook) and hasattr(hook, 't'):
            hook.t += seconds
