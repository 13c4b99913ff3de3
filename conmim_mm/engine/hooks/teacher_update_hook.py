"""Moves the teacher after every optimizer step."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...distributed.sharded import unwrap_model
from ...errors import InputError
from ..schedulers.curves import cosine, num_optimizer_steps, optimizer_step


@HOOKS.register_module()
class TeacherUpdateHook(Hook):
    """Updates the model's teacher once per optimizer step, from the very first one.

    The momentum follows a cosine from ``momentum`` to ``end_momentum`` over all optimizer steps of
    the run (ConMIM paper, section 3.2). Momentum 0 throughout makes the teacher a copy of the
    student: the ablation without asymmetric progress. It is computed from the iteration, so
    resuming needs no state. A step that the optimizer skipped the teacher skips too.

    With a fixed ``momentum`` a longer run lets the teacher follow the student through more
    generations, and from some number on the features get worse (docs/results.md). ``momentum=None``
    keeps their number, ``renewals``, and so slows the teacher down in proportion.

    Args:
        momentum: The teacher's share at the first step; None chooses it by the run's length.
        end_momentum: The value the cosine heads for.
        renewals: The sum of ``1 - momentum`` over all optimizer steps, where ``momentum`` is None.

    Raises:
        InputError: A momentum outside 0 to 1, or renewals that are not positive; at the start of a
            run, a model without a teacher.
    """

    # Before the logger, so that the logged momentum belongs to the step it is logged with.
    priority = 'NORMAL'

    def __init__(self, momentum: float | None = 0.996, end_momentum: float = 1.0,
                 renewals: float = 10.) -> None:
        for value in (momentum, end_momentum):
            if value is not None and not 0 <= value <= 1:
                raise InputError(f'the teacher momentum must lie in [0, 1], but is {value}')
        if not renewals > 0:
            raise InputError(f'renewals of the teacher must be positive, but is {renewals}')
        self.momentum = momentum
        self.end_momentum = end_momentum
        self.renewals = renewals

    def before_train(self, runner: Runner) -> None:
        model = unwrap_model(runner.model)
        if not hasattr(model, 'teacher'):
            raise InputError('TeacherUpdateHook needs a model with a teacher, such as ConMIM')
        followed = model.teacher.followed(model)
        # Pieces of equal sizes, on all processes, are the same pieces.
        if any(own.shape != given.shape
               for own, given in zip(model.teacher.parameters(), followed, strict=True)):
            raise InputError('FSDP cuts student and teacher differently; set '
                             'strategy.type=ConMIMFSDPStrategy and no auto_wrap_policy of your own')

    def momentum_at(self, iteration: int, max_iters: int, accumulative_counts: int = 1) -> float:
        """Momentum of the update after this iteration (from 0)."""
        steps = num_optimizer_steps(max_iters, accumulative_counts)
        start = self.momentum
        if start is None:  # a cosine's mean is that of its ends
            start = min(max(2 * (1 - self.renewals / steps) - self.end_momentum, 0.), 1.)
        return cosine(start, self.end_momentum, optimizer_step(iteration, accumulative_counts),
                      steps)

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if not runner.optim_wrapper.should_update():
            return  # still accumulating: the student has not moved
        if not getattr(runner.optim_wrapper, 'stepped', True):
            return  # the step was skipped: nor has it moved now
        momentum = self.momentum_at(runner.iter, runner.max_iters,
                                    runner.optim_wrapper._accumulative_counts)
        model = unwrap_model(runner.model)
        model.teacher.update(model, momentum)
        runner.message_hub.update_scalar('train/momentum', momentum)
