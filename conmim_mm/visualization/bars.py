"""Bars with standard errors, a panel for each kind of number."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..errors import InputError
from ..utils.files import written_whole
from .sheet import BLUE, DPI, FONT

MAX_NAME = 40  # characters of a label; the end of a path tells more than its start


def check_figure_file(path: Path) -> None:
    """Looks at the ending of a file to be drawn.

    Raises:
        InputError: It is no format of Matplotlib's.
    """
    known = FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise InputError(f'--out {path} must end in .png or another of {", ".join(known)}')


def draw_bars(path: Path, table: Mapping[str, Mapping[str, tuple[float, float]]],
              unit: str) -> None:
    """Draws a bar for each number of a table.

    Args:
        path: As for :func:`check_figure_file`.
        table: By row, and by the panel that it is in: a number and its standard error.
        unit: Of the numbers.

    Raises:
        InputError: The file can't be written.
    """
    panels = list(dict.fromkeys(panel for row in table.values() for panel in row))
    figure = Figure(figsize=(1.8 + 2.6 * len(panels), 0.8 + 0.32 * len(table)), dpi=2 * DPI,
                    layout='constrained')
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels,
                           strict=True):
        for place, row in enumerate(table.values()):
            value, error = row[panel]
            axes.barh(place, value, xerr=error, height=0.7, color=BLUE, ecolor='black', capsize=2)
            axes.text(value + error, place, f' {value:.1f}', va='center', fontsize=FONT)
        axes.set_yticks(range(len(table)), [
            name if len(name) <= MAX_NAME else f'…{name[-MAX_NAME:]}' for name in table])
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(0, 1.12 * max(sum(row[panel]) for row in table.values()))
        axes.tick_params(labelsize=FONT)
        axes.set_xlabel(f'{panel}, {unit}', fontsize=FONT)
        for side in ('top', 'right'):
            axes.spines[side].set_visible(False)
    with written_whole(path) as aside:
        figure.savefig(aside, format=path.suffix[1:].lower())
