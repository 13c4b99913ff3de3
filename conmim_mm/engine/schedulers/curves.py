"""Step-wise schedules in closed form, as in the original implementation."""

import math


def cosine(start: float, end: float, step: int, steps: int) -> float:
    """From ``start`` at step 0 along half a cosine towards ``end``, which step ``steps`` would hit.

    Args:
        start: Value at step 0.
        end: Value the curve heads for; with step at most ``steps - 1`` it is not quite reached.
        step: Index of the step, from 0.
        steps: Length of the curve.
    """
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / steps))


def warmup_cosine(peak: float, end: float, step: int, steps: int, warmup_steps: int) -> float:
    """Linear from 0 to ``peak``, then a cosine towards ``end``.

    Step 0 gives 0 and step ``warmup_steps - 1`` gives ``peak``; the cosine starts with ``peak``
    again at step ``warmup_steps``. A warm-up of a single step gives 0.

    Args:
        peak: Highest value.
        end: Value the cosine heads for.
        step: Index of the step, from 0.
        steps: All steps, warm-up included.
        warmup_steps: Steps of the warm-up; 0 for none.
    """
    if step < warmup_steps:
        return peak * step / max(warmup_steps - 1, 1)
    return cosine(peak, end, step - warmup_steps, steps - warmup_steps)


def optimizer_step(iteration: int, accumulative_counts: int) -> int:
    """Index of the optimizer step that the batch of this iteration contributes to."""
    return iteration // accumulative_counts


def num_optimizer_steps(iterations: int, accumulative_counts: int) -> int:
    """Optimizer steps of a run; a last incomplete accumulation counts, as in MMEngine."""
    return math.ceil(iterations / accumulative_counts)
