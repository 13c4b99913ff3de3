"""Which curves a report shows, and in which words."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from .charts import Chart, Level, Line
from .numbers import percent, short
from .run_log import RunLog, finite

# logged beside what is shown under other names, or no measurement
_NOT_SHOWN = {'base_lr', 'epoch', 'iter', 'step'}
MAX_FURTHER = 12


class Curve(NamedTuple):
    """A chart with its words.

    Attributes:
        title: Heading.
        caption: How to read it.
        chart: None where nothing was logged, which ``caption`` says then.
    """

    title: str
    caption: str
    chart: Chart | None


class _Spec(NamedTuple):
    title: str
    caption: str
    keys: dict[str, str]  # logged name and label of each line
    from_zero: bool = False
    scale: float = 1.


_TRAINING = (
    _Spec('Similarities', 'Cosine similarity of a hidden patch with its own place in the '
          "teacher's image, with the other places, and of the teacher's patches with each other. "
          'The first should rise above the second; the third near 1 means collapse.',
          dict(positive_similarity='own place', negative_similarity='other places',
               teacher_similarity='teacher, two patches')),
    _Spec('Learning rate', 'Of the parameters with the base rate.', dict(lr='learning rate'), True),
    _Spec('Momentum', "The teacher's share in its update; towards 1 it stands still.",
          dict(momentum='momentum')),
    _Spec('Throughput', 'Images a second, all processes together.',
          dict(images_per_second='images/s'), True),
    _Spec('Waiting for data', 'Share of the time in which the model waits for the loader, in '
          'percent; above about 10% the loader holds the training back.',
          dict(data_wait='waiting for data, %'), True, 100.),
    _Spec('Variety of the features', "Effective rank of the teacher's patch features; near 1 "
          'means collapse.', dict(feature_rank='effective rank'), True),
    _Spec('Gradient norm', 'Before clipping.', dict(grad_norm='gradient norm'), True),
    _Spec('GPU memory', 'The most that was in use so far, of the first process.',
          dict(memory='GiB'), True, 1 / 1024),
)
_HANDLED = {'loss', 'hit_rate', 'time', 'data_time'}.union(*(spec.keys for spec in _TRAINING))
_EVALUATED = {'val/knn_top1': 'k-NN top-1', 'val/linear_top1': 'linear probe top-1',
              'val/dense_knn_miou': 'k-NN mIoU', 'val/dense_linear_miou': 'linear probe mIoU'}


def learning_curves(log: RunLog, num_patches: int | None) -> list[Curve]:
    """Loss, hit rate and evaluations: whether it learns.

    Args:
        log: Of the run.
        num_patches: Patches L of an image, among which a hidden one is looked for; None if that is
            not known, or not what the run does.
    """
    chance = num_patches is not None
    curves = [_curve(
        _Spec('Loss', 'Cross-entropy of finding the hidden patch among all of its image. '
              'The dashed line is guessing.' if chance else 'Training loss.', dict(loss='loss')),
        log.training,
        [Level(f'guessing: ln {num_patches} = {math.log(num_patches):.2f}', math.log(num_patches))]
        if chance else [])]
    if chance or _logged(log.training, 'hit_rate'):
        curves.append(_curve(
            _Spec('Hidden patches found', 'Share of the hidden patches, in percent, whose own '
                  'place the student ranks first. Close to 100% on real images would be a '
                  'shortcut by position.', dict(hit_rate='found, %'), True, 100.),
            log.training,
            [Level(f'guessing: 1/{num_patches} = {percent(1 / num_patches)}', 100 / num_patches)]
            if chance else []))
    return [*curves, _evaluation(log, chance)]


def _evaluation(log: RunLog, pre_training: bool) -> Curve:
    keys = {key: label for key, label in _EVALUATED.items() if _logged(log.evaluations, key)}
    if keys:
        return _curve(
            _Spec('Use of the features', 'Top-1 accuracy of frozen features on labelled images, or '
                  'mean IoU of frozen patch tokens on maps, in percent. This, not the loss, says '
                  'what the features are worth.', keys),
            log.evaluations)
    names = [key for key in dict.fromkeys(key for entry in log.evaluations for key in entry)
             if key not in _NOT_SHOWN | {'time', 'data_time'} and _logged(log.evaluations, key)]
    if names:
        return _curve(_Spec('Evaluation', 'As the run logs it.',
                            dict(zip(names[:5], names[:5], strict=True))), log.evaluations)
    return Curve('Use of the features' if pre_training else 'Evaluation', (
        'Nothing has been evaluated. With a folder of labelled images (tools/train.py --eval-data '
        'DIR) this shows k-NN and linear accuracy while the model trains.' if pre_training
        else 'Nothing has been evaluated yet.'), None)


def further_curves(log: RunLog) -> list[Curve]:
    """Everything else: what steers the run, and how fast it is."""
    curves = [_curve(spec, log.training) for spec in _TRAINING
              if any(_logged(log.training, key) for key in spec.keys)]
    names = dict.fromkeys(key for entry in log.training for key in entry)
    rest = [key for key in names
            if key not in _NOT_SHOWN | _HANDLED and _logged(log.training, key)]
    return curves + [_curve(_Spec(key, 'As the run logs it.', {key: key}), log.training)
                     for key in rest[:MAX_FURTHER]]


def _curve(spec: _Spec, entries: Sequence[dict], levels: Sequence[Level] = ()) -> Curve:
    lines = []
    for key, label in spec.keys.items():
        found = [(entry['step'], entry[key]) for entry in entries if key in entry]
        if any(finite(value) for _, value in found):
            lines.append(Line(label, [step for step, _ in found],
                              [value * spec.scale if finite(value) else math.nan
                               for _, value in found]))
    if not lines:
        return Curve(spec.title, 'Nothing has been logged yet.', None)
    return Curve(spec.title, spec.caption, Chart(lines, levels, spec.from_zero))


def _logged(entries: Sequence[dict], key: str) -> bool:
    return any(finite(entry.get(key)) for entry in entries)


def tiles(log: RunLog) -> list[tuple[str, str]]:
    """The latest numbers: name and value of each."""
    if not log.training:
        return []
    last = log.training[-1]
    found = [('loss', last['loss'], short), ('hidden patches found', last.get('hit_rate'), percent)]
    for key, label in _EVALUATED.items():
        values = [entry[key] for entry in log.evaluations if finite(entry.get(key))]
        found.append((label, values[-1] if values else None, lambda x: f'{x:.1f}%'))
    found += [('learning rate', last.get('lr'), short), ('momentum', last.get('momentum'), short),
              ('images a second', last.get('images_per_second'),
               lambda x: f'{x:,.0f}' if x >= 10 else f'{x:.1f}'),
              ('waiting for data', last.get('data_wait'), percent),
              ('GPU memory', last.get('memory'), lambda x: f'{x / 1024:.1f} GiB')]
    return [(name, show(value)) for name, value, show in found if finite(value)]
