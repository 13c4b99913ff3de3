"""The table and the figure of a study, from its JSON lines."""

from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402

from conmim_mm.errors import InputError  # noqa: E402
from conmim_mm.utils.files import write_text  # noqa: E402

NAMES = {
    'linear': 'linear probe, %',
    'knn': '20-NN, %',
    'finetune': 'fine-tuned on {} labels a class, %',
    'dense linear': 'linear probe of patches, mIoU in %',
    'dense knn': '20-NN of patches, mIoU in %',
}


def judges_in(rows: Iterable[dict]) -> list[str]:
    """The judges that rows have scores of, those of the student first."""
    return sorted({key for row in rows for key in row if '/' in key}, key=_place)


def _place(judge: str) -> tuple[str, int, int]:
    who, kind, labels = _parts(judge)
    return who, list(NAMES).index(kind), int(labels or 0)


def _parts(judge: str) -> tuple[str, str, str]:
    """Whose features, how they were judged and on how many labels, if that was said."""
    who, _, how = judge.partition('/')
    kind = how.rstrip('0123456789')
    return who, kind.strip(), how[len(kind):]


def _axis_name(judge: str) -> str:
    _, kind, labels = _parts(judge)
    return NAMES[kind].format(labels)


class Score(NamedTuple):
    """What one judge says of an arm, in per cent.

    Attributes:
        runs: How many seeds.
        mean: Over them.
        sd: Their standard deviation; 0 of one run.
        difference: Mean of the differences to the first arm, seed by seed; None of that arm itself,
            or where fewer than two seeds have both.
        error: Standard error of ``difference``.
    """

    runs: int
    mean: float
    sd: float
    difference: float | None
    error: float | None


def runs_of_budget(lines: list[dict], arms: list[str], budget: dict[str, float],
                   batch_sizes: dict[str, int]) -> dict[str, dict[int, dict]]:
    """Results by arm and seed of the runs that had a budget, and of arms that are not trained."""
    found: dict[str, dict[int, dict]] = {arm: {} for arm in arms}
    for line in lines:
        if line['arm'] in found and _has_budget(line, budget, batch_sizes[line['arm']]):
            found[line['arm']][line['seed']] = line
    return {arm: runs for arm, runs in found.items() if runs}


def _has_budget(line: dict, budget: dict[str, float], batch_size: int) -> bool:
    """To within 5 %: a run has whole steps."""
    (unit, wanted), = budget.items()
    spent = line.get('core_seconds', 0) if unit == 'seconds' else line['steps'] * batch_size
    return not line['steps'] or abs(spent - wanted) < 0.05 * wanted


def summarise(results: dict[str, dict[int, dict]]) -> dict[str, dict[str, Score]]:
    """Scores by arm and judge; ``results`` as of :func:`runs_of_budget`."""
    first = next(iter(results.values()))
    judges = judges_in(run for runs in results.values() for run in runs.values())
    table = {}
    for arm, runs in results.items():
        table[arm] = {}
        for judge in judges:
            scores = {seed: run[judge] for seed, run in runs.items() if judge in run}
            if not scores:
                continue
            paired = [score - first[seed][judge] for seed, score in scores.items()
                      if runs is not first and judge in first.get(seed, {})]
            several = len(paired) > 1
            table[arm][judge] = Score(
                len(scores), mean(scores.values()), stdev(scores.values()) if len(scores) > 1
                else 0., mean(paired) if several else None,
                stdev(paired) / len(paired)**0.5 if several else None)
    return table


def as_markdown(table: dict[str, dict[str, Score]], images: dict[str, float]) -> str:
    """The table of a study: an arm a row; in brackets the difference to the first."""
    judges = judges_in(table.values())
    lines = [f'| arm (difference to {next(iter(table))}) | images seen | {" | ".join(judges)} |',
             f'|---|{"--:|" * (len(judges) + 1)}']
    for arm, row in table.items():
        cells = [_cell(row[judge]) if judge in row else '' for judge in judges]
        lines.append(f'| {arm} | {images[arm]:,.0f} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _cell(score: Score) -> str:
    text = f'{score.mean:.1f}' + (f' ± {score.sd:.1f}' if score.runs > 1 else '')
    if score.difference is not None:
        text += f' ({score.difference:+.1f} ± {score.error:.1f})'
    return text


def draw(table: dict[str, dict[str, Score]], path: Path) -> None:
    """A bar for each arm and judge of the student, with the standard error of its mean."""
    judges = [judge for judge in judges_in(table.values()) if judge.startswith('student/')]
    figure, axes = plt.subplots(
        1, len(judges), figsize=(3.4 * len(judges), 0.4 * len(table) + 1.2), sharey=True,
        squeeze=False)
    for axis, judge in zip(axes[0], judges, strict=True):
        own = {arm: row[judge] for arm, row in reversed(table.items()) if judge in row}
        axis.barh(list(own), [score.mean for score in own.values()],
                  xerr=[score.sd / score.runs**0.5 for score in own.values()],
                  color='#4c78a8', ecolor='black', capsize=3)
        axis.set_xlabel(_axis_name(judge))
        axis.set_xlim(left=max(0, min(score.mean for score in own.values()) - 10))
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def curve(lines: list[dict], arm: str, judge: str) -> list[tuple[float, float, float]]:
    """Minutes of training on one core, mean over seeds and its standard error, by length."""
    by_length: dict[float, list[float]] = {}
    for line in lines:
        if line['arm'] == arm and judge in line and 'core_seconds' in line:
            by_length.setdefault(line['core_seconds'] / 60, []).append(line[judge])
    return [(minutes, mean(scores), stdev(scores) / len(scores)**0.5 if len(scores) > 1 else 0.)
            for minutes, scores in sorted(by_length.items())]


def draw_minutes(lines: list[dict], arms: list[str], path: Path) -> None:
    """Linear probe and k-NN of the student by the minutes of training, a line for each arm.

    An arm that is not trained is a dashed line.

    Args:
        lines: Of runs of several lengths.
        arms: In the order of the legend.
        path: The picture.
    """
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout='constrained')
    judges = judges_in(lines)[:len(axes)]
    curves = {(judge, arm): curve(lines, arm, judge) for judge in judges for arm in arms}
    ticks = {float(f'{minutes:.2g}')
             for points in curves.values() for minutes, *_ in points if minutes}
    for axis, judge in zip(axes, judges, strict=False):
        for arm in arms:
            points = curves[judge, arm]
            if points and points[0][0] == 0:
                axis.axhline(points[0][1], linestyle='--', color='grey', label=arm)
            elif points:
                axis.errorbar(*zip(*points, strict=True), marker='o', capsize=3, label=arm)
        axis.set(xscale='log', xlabel='minutes on one core',
                 ylabel=_axis_name(judge))
        axis.set_xticks(sorted(ticks))
        axis.xaxis.set_major_formatter('{x:g}')
        axis.xaxis.set_minor_locator(plt.NullLocator())
    figure.legend(*axes[0].get_legend_handles_labels(), loc='outside upper center', ncols=4)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def write_report(lines: list[dict], arms: list[str], budget: dict[str, float],
                 batch_sizes: dict[str, int], out: Path) -> str:
    """Writes ``table.md`` and figures into a folder; returns the table.

    Args:
        lines: The results, as in the JSON lines of a study.
        arms: In the order of table and legend; the first that has results is what the others are
            compared with.
        budget: Of the runs in the table; the figure of minutes has all of them.
        batch_sizes: Images per step of each arm.
        out: The folder, which is made if need be.

    Raises:
        InputError: No run of these arms had the budget.
    """
    results = runs_of_budget(lines, arms, budget, batch_sizes)
    if not results:
        raise InputError(f'no results of these arms with a budget of {dict(budget)}')
    images = {arm: batch_sizes[arm] * mean(run['steps'] for run in runs.values())
              for arm, runs in results.items()}
    table = summarise(results)
    text = as_markdown(table, images)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / 'table.md', text)
    draw(table, out / 'figure.png')
    if any(line.get('core_seconds') for line in lines):
        draw_minutes(lines, arms, out / 'minutes.png')
    return text
