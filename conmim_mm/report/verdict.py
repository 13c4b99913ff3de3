"""Whether a run learns, in words."""

import math
from typing import NamedTuple

from .numbers import percent, short
from .run_log import RunLog, finite

FOUND_FACTOR = 1.5  # of guessing: LearningMonitorHook's limit between chance and learning
WELL_FACTOR = 4.  # of guessing: less is a beginning
KNN_NOISE = 1.  # percent: less is no difference


class Verdict(NamedTuple):
    """An answer to "is it learning?".

    Attributes:
        level: ``'good'``, ``'unsure'``, ``'bad'`` or ``'none'``.
        headline: The answer.
        reasons: A sentence for each number it rests on.
    """

    level: str
    headline: str
    reasons: list[str]


def judge(log: RunLog, num_patches: int | None) -> Verdict:
    """Judges a run by its log.

    Args:
        log: Of the run.
        num_patches: Patches L of an image, among which a hidden one is looked for; None if that is
            not known, or not what the run does.
    """
    if not log.training:
        return Verdict('none', 'Too early to say: nothing has been logged yet.', [])
    knn, knn_reason = _judge_knn(log)
    reasons = [*_loss_reasons(log, num_patches), *knn_reason]
    if log.judgements:
        return Verdict('bad', 'No, or nothing of use: the run itself warns.',
                       [*log.judgements, *reasons])
    last = log.training[-1]
    if not finite(last['loss']):
        return Verdict('bad', 'No: the loss is not finite.', reasons)
    if num_patches is None or not finite(last.get('hit_rate')):
        return Verdict('none', 'Judge by the curves:', reasons)
    finds = last['hit_rate'] >= FOUND_FACTOR / num_patches and last['loss'] < math.log(num_patches)
    if not finds:
        return Verdict('unsure', 'Not yet: it still guesses. In the warm-up that is usual.',
                       reasons)
    if knn == 'falls':
        return Verdict('unsure', 'It finds hidden patches, but the features get no better.',
                       reasons)
    if last['hit_rate'] < WELL_FACTOR / num_patches:
        return Verdict('good', 'It begins to: it finds hidden patches a little more often than by '
                       'guessing.', reasons)
    if knn == 'rises':
        return Verdict('good', 'Yes: it finds hidden patches, and the features get better.',
                       reasons)
    return Verdict('good', 'Yes: it finds hidden patches more often than by guessing.', reasons)


def _loss_reasons(log: RunLog, num_patches: int | None) -> list[str]:
    first, last = log.training[0], log.training[-1]
    if num_patches is None:
        return [f'The loss is {_number(last["loss"])} at step {last["step"]}; it was '
                f'{_number(first["loss"])} at step {first["step"]}.']
    reasons = [f'The loss is {_number(last["loss"])} at step {last["step"]}; guessing among '
               f'{num_patches} patches gives ln {num_patches} = {math.log(num_patches):.2f}.']
    if finite(last.get('hit_rate')):
        reasons.append(f'It finds {percent(last["hit_rate"])} of the hidden patches; guessing '
                       f'finds {percent(1 / num_patches)}.')
    return reasons


def _judge_knn(log: RunLog) -> tuple[str | None, list[str]]:
    """Whether k-NN accuracy rises or falls (None: neither, or unknown), and a sentence."""
    found = [(entry['step'], entry['val/knn_top1']) for entry in log.evaluations
             if finite(entry.get('val/knn_top1'))]
    if not found:
        return None, []
    (first_step, first), (last_step, last) = found[0], found[-1]
    if len(found) == 1:
        return None, [f'k-NN on frozen features is right in {first:.1f}% at step {first_step}.']
    best_step, best = max(found, key=lambda pair: pair[1])
    sentence = (f'k-NN on frozen features is right in {last:.1f}% at step {last_step}; first '
                f'{first:.1f}% (step {first_step}), best {best:.1f}% (step {best_step}).')
    trend = ('rises' if last - first > KNN_NOISE else
             'falls' if first - last > KNN_NOISE else None)
    return trend, [sentence]


def _number(value: object) -> str:
    return short(value) if finite(value) else str(value)
