"""Whether a run learns, in words."""

import math
from typing import NamedTuple

from ..evaluation.learning_signs import CHANCE_FACTOR
from .numbers import percent, short
from .run_log import RunLog, finite, holds_at_end

WELL_FACTOR = 4.  # of guessing: less is a beginning
UNKNOWN_NOISE = 1.  # per cent: less is no difference, where the number of images is not known
EVALUATED = {
    'val/knn_top1': 'k-NN on frozen features is right in',
    'val/linear_top1': 'A linear probe on frozen features is right in',
    'val/dense_knn_miou': 'k-NN on frozen patch tokens has a mean IoU of',
    'val/dense_linear_miou': 'A linear probe on frozen patch tokens has a mean IoU of'}


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


def judge_learning(log: RunLog, num_patches: int | None) -> Verdict:
    """Judges a run by its log.

    Args:
        log: Of the run.
        num_patches: Patches L of an image, among which a hidden one is looked for; None if that is
            not known, or not what the run does.
    """
    if not log.training:
        return Verdict('none', 'Too early to say: nothing has been logged yet.', [])
    features, feature_reasons = _judge_features(log)
    reasons = [*_loss_reasons(log, num_patches), *feature_reasons]
    last = log.training[-1]
    warnings = [text for text in log.warnings if holds_at_end(text, last, num_patches)]
    if warnings:
        return Verdict('bad', 'No, or nothing of use: the run itself warns.',
                       [*warnings, *reasons])
    if not finite(last['loss']):
        return Verdict('bad', 'No: the loss is not finite.', reasons)
    if num_patches is None or not finite(last.get('hit_rate')):
        return Verdict('none', 'Judge by the curves:', reasons)
    finds = (last['hit_rate'] >= CHANCE_FACTOR / num_patches
             and last['loss'] < math.log(num_patches))
    if not finds:
        return Verdict('unsure', 'Not yet: it still guesses. In the warm-up that is usual.',
                       reasons)
    if features == 'falls':
        return Verdict('unsure', 'It finds hidden patches, but the features get worse.',
                       reasons)
    if last['hit_rate'] < WELL_FACTOR / num_patches:
        return Verdict('good', 'It begins to: it finds hidden patches a little more often than by '
                       'guessing.', reasons)
    if features == 'rises':
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


def _judge_features(log: RunLog) -> tuple[str | None, list[str]]:
    """Whether features get better (None: neither better nor worse, or unknown), in words too."""
    trends, reasons = set(), []
    for key, what in EVALUATED.items():
        found = [entry for entry in log.evaluations if finite(entry.get(key))]
        if found:
            first, last = found[0], found[-1]
            best = max(found, key=lambda entry: entry[key])
            reasons.append(f'{what} {_at(last, key)}' + (
                '.' if last is first else
                f'; first {_at(first, key)}, best {_at(best, key)}.'))
            change = last[key] - first[key]
            if abs(change) > _noise(first, last, key):
                trends.add('rises' if change > 0 else 'falls')
    return ('rises' if 'rises' in trends else 'falls' if trends else None), reasons


def _at(entry: dict, key: str) -> str:
    return f'{entry[key]:.1f}% (step {entry["step"]})'


def _noise(first: dict, last: dict, key: str) -> float:
    """Two standard errors of the difference of two evaluations, in per cent."""
    errors = [_standard_error(entry, key) for entry in (first, last)]
    return UNKNOWN_NOISE if None in errors else 2 * math.hypot(*errors)


def _standard_error(entry: dict, key: str) -> float | None:
    if finite(error := entry.get(f'{key}_error')):
        return error
    if key.endswith('_top1') and entry.get('val/held_out') and 0 <= entry[key] <= 100:
        return math.sqrt(entry[key] * (100 - entry[key]) / entry['val/held_out'])
    return None


def _number(value: object) -> str:
    return short(value) if finite(value) else str(value)
