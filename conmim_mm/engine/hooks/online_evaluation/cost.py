"""What evaluating costs beside training: planned before, and measured."""

import math
import time
from dataclasses import dataclass

from mmengine.runner import EpochBasedTrainLoop, Runner

from ..start_checks.run_facts import run_facts

LIMIT = 0.02  # of the training time
DEFAULT_EPOCHS = 10
MIN_EVALUATIONS = 2  # in a run, besides that of the weights it starts from
# An image that is trained on costs four passes through the backbone, one for the teacher and three
# for the student with its gradients; one that is evaluated costs one. So many images for each that
# is trained on are 0.5 % of the work, which leaves thrice as much for the rest: workers that start,
# the linear probe, saving the best checkpoint, and the evaluation before the first step.
IMAGES_PER_TRAINED = 0.02
MIN_IMAGES, MIN_IMAGES_OF_A_CLASS = 500, 10
MAX_IMAGES = 20_000  # on a GPU saving and the probe then weigh as much as the images


@dataclass(frozen=True)
class EvaluationPlan:
    """When to evaluate, and on how many images.

    Attributes:
        interval: Epochs, or iterations where the loop counts these.
        unit: ``'epochs'`` or ``'iterations'``.
        max_images: At most so many.
    """

    interval: int
    unit: str
    max_images: int


def plan_evaluation(runner: Runner, num_classes: int, interval: int | None = None,
                    max_images: int | None = None) -> EvaluationPlan:
    """Fills in what was not asked for, so that it costs less than 2 % of the training time.

    Every 10 epochs, but twice in a run at least; less often where a folder is so small that 500
    images cost too much. Then as many images as 0.5 % of the work between two evaluations pays for,
    from 500, and 10 of each class, up to 20,000.

    Args:
        runner: A runner that trains.
        num_classes: Of the labelled images.
        interval: In units of the loop.
        max_images: At most so many.
    """
    facts = run_facts(runner)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    batch = max(1, facts['world_size'] * facts['batch_size'])
    epoch_length = max(1, facts['epoch_length'] if by_epoch else -(-facts['images'] // batch))
    length = runner.max_epochs if by_epoch else runner.max_iters
    trained = batch * (epoch_length if by_epoch else 1)
    own_interval = interval is None
    if own_interval:
        interval = DEFAULT_EPOCHS * (1 if by_epoch else epoch_length)
        interval = min(interval, math.ceil(length / MIN_EVALUATIONS))
    if max_images is None:
        max_images = min(MAX_IMAGES, max(round(IMAGES_PER_TRAINED * interval * trained), MIN_IMAGES,
                                         MIN_IMAGES_OF_A_CLASS * num_classes))
        if own_interval:  # the least that says anything, of a small folder, less often
            interval = min(length, max(interval, math.ceil(
                max_images / (2 * IMAGES_PER_TRAINED * trained))))
    return EvaluationPlan(interval, 'epochs' if by_epoch else 'iterations', max_images)


class CostMeter:
    """Seconds of evaluating and of training since this start of the run.

    Args:
        done: Epochs or iterations done before.
    """

    def __init__(self, done: int) -> None:
        self.started, self.started_at = time.perf_counter(), done
        self.evaluating = 0.

    def describe(self, seconds: float, done: int, plan: EvaluationPlan, images: int) -> str:
        """Adds an evaluation that has just ended, and says what it cost.

        Args:
            seconds: Of this one.
            done: Epochs or iterations done by now.
            plan: Of the run.
            images: How many there were.
        """
        self.evaluating += seconds
        text = f'{seconds:.1f} s'
        trained = done - self.started_at
        if not trained:
            return text
        training = time.perf_counter() - self.started - self.evaluating
        share = self.evaluating / training
        text += f', {share:.1%} of the training time so far'.replace('%', ' %')
        enough = math.ceil(seconds / LIMIT / (training / trained))
        if share > LIMIT and enough > plan.interval:
            text += (f': interval={enough} ({plan.unit}) with max_images={images} would '
                     f'keep it below {LIMIT:.0%}'.replace('%', ' %'))
        return text
