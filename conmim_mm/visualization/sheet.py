"""A sheet of equal panels with headings, drawn without a display."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ..models.data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from ..utils.files import written_whole

# of Okabe and Ito's colours, which the colour-blind can tell apart
BLUE, ORANGE, VERMILION = '#0072B2', '#E69F00', '#D55E00'
COLOUR_MAP = 'cividis'  # even steps of lightness, also for the colour-blind and in print
DPI = 110
PANEL, GAP, MARGIN, HEADING, LINE, BAR = 1.55, 0.1, 0.08, 0.2, 0.13, 0.85  # inches
FONT = 7.5
NOTE_LETTERS = 17  # of that size in an inch


class Panel:
    """An image on a sheet, and what is drawn on it in coordinates of a grid of patches.

    Args:
        axes: The sheet's, which count inches from the top left.
        box: Left, top, width and height of the image on it.
        grid: Rows and columns of patches.
    """

    def __init__(self, axes: Axes, box: tuple[float, float, float, float],
                 grid: tuple[int, int]) -> None:
        self.axes = axes
        self.left, self.top, self.width, self.height = box
        self.grid = grid
        self.cell = self.width / grid[1], self.height / grid[0]
        self._heading = axes.text(
            self.left + self.width / 2, self.top - 0.035, '', fontsize=FONT, ha='center',
            va='bottom', linespacing=1.05)

    def heading(self, text: str) -> None:
        """Writes or replaces the heading."""
        self._heading.set_text(text)

    def frame(self, patch: int, colour: str = 'white', width: float = 1.5,
              around: str | None = 'black') -> None:
        """Frames a patch, counted row by row; a line around the line shows it on any colour."""
        x, y = self._corner(patch)
        for line, extra in ((around, 1.5), (colour, 0.)):
            if line is not None:
                self.axes.add_patch(Rectangle((x, y), *self.cell, fill=False, edgecolor=line,
                                              linewidth=width + extra))

    def cross(self, patch: int, colour: str = VERMILION) -> None:
        """Puts a cross on a patch."""
        for line, size, width in (('black', 8, 3.4), (colour, 7, 1.8)):
            self.axes.plot(*self._middle(patch), 'x', color=line, markersize=size,
                           markeredgewidth=width)

    def letter(self, patch: int, letter: str, colour: str = ORANGE) -> None:
        """Names a patch."""
        self.frame(patch, colour, width=1.3)
        self.axes.text(*self._middle(patch), letter, fontsize=FONT, weight='bold', ha='center',
                       va='center', bbox=dict(boxstyle='round,pad=0.12', facecolor=colour,
                                              edgecolor='none'))

    def count_pixels(self, height: int, width: int) -> None:
        """Writes pixel numbers along the edges, to say where a patch lies."""
        for share in (0.25, 0.5, 0.75):
            for x, y, text in ((share, 0.02, round(share * width)),
                               (0.02, share, round(share * height))):
                self.axes.text(
                    self.left + x * self.width, self.top + y * self.height, str(text),
                    fontsize=FONT - 2, va='top' if y < 0.1 else 'center',
                    ha='left' if x < 0.1 else 'center', color='white',
                    bbox=dict(boxstyle='square,pad=0.1', facecolor='black', edgecolor='none'))

    def _corner(self, patch: int) -> tuple[float, float]:
        row, column = divmod(int(patch), self.grid[1])
        return self.left + column * self.cell[0], self.top + row * self.cell[1]

    def _middle(self, patch: int) -> tuple[float, float]:
        x, y = self._corner(patch)
        return x + self.cell[0] / 2, y + self.cell[1] / 2


class Sheet:
    """A figure of ``rows`` by ``columns`` panels, with room for a heading above each.

    All panels lie in one pair of axes, as matplotlib takes some 20 ms for each pair.

    Args:
        rows: Panels below each other.
        columns: Panels beside each other.
        grid: Rows and columns of patches.
        aspect: Height of a panel over its width.
        lines: Lines of a heading.
        bar: Inches kept free on the right, for a colour bar.
        note: Text below the panels.
    """

    def __init__(self, rows: int, columns: int, grid: tuple[int, int], aspect: float = 1.,
                 lines: int = 1, bar: float = 0., note: str = '') -> None:
        self.grid = grid
        self.panels: list[list[Panel]] = [[] for _ in range(rows)]
        self.heading = HEADING + LINE * (lines - 1)
        self.panel_size = PANEL, PANEL * aspect
        self.width = 2 * MARGIN + columns * (PANEL + GAP) - GAP + bar
        self.height = 2 * MARGIN + rows * (self.panel_size[1] + self.heading)
        self.bottom = self.height - MARGIN
        notes = textwrap.wrap(note, int(self.width * NOTE_LETTERS))
        self.height += HEADING * bool(note) + LINE * max(len(notes) - 1, 0)
        self.figure = Figure(figsize=(self.width, self.height), dpi=DPI)
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set(xlim=(0, self.width), ylim=(self.height, 0), autoscale_on=False)
        self.axes.text(MARGIN, self.bottom + 0.04, '\n'.join(notes), fontsize=FONT, va='top')

    def panel(self, row: int, column: int, pixels: np.ndarray | torch.Tensor, heading: str = '',
              norm: Normalize | None = None) -> Panel:
        """Shows an image ``(h, w, 3)``, or a map ``(h, w)`` by its norm."""
        width, height = self.panel_size
        left = MARGIN + column * (PANEL + GAP)
        top = MARGIN + row * (height + self.heading) + self.heading
        self.axes.imshow(
            np.asarray(pixels), extent=(left, left + width, top + height, top), aspect='auto',
            interpolation='nearest', cmap=COLOUR_MAP, norm=norm)
        panel = Panel(self.axes, (left, top, width, height), self.grid)
        panel.heading(heading)
        self.axes.add_patch(Rectangle((left, top), width, height, fill=False, linewidth=0.5))
        self.panels[row].append(panel)
        return panel

    def colour_bar(self, norm: Normalize, label: str, ticks: Sequence[float] | None = None) -> None:
        """Puts a colour bar of :data:`COLOUR_MAP` on the right, with ticks at round numbers."""
        top = MARGIN + self.heading
        height = min(self.bottom - top, 2 * PANEL)
        axes = self.figure.add_axes((
            (self.width - BAR + GAP) / self.width, 1 - (top + height) / self.height,
            0.1 / self.width, height / self.height))
        bar = self.figure.colorbar(ScalarMappable(norm, COLOUR_MAP), cax=axes, ticks=ticks,
                                   format='%g')
        bar.ax.minorticks_off()
        bar.ax.tick_params(labelsize=FONT - 1, length=2, pad=1.5)
        bar.set_label(label, fontsize=FONT, labelpad=2)

    def pixels(self) -> np.ndarray:
        """The whole sheet, ``(H, W, 3)`` uint8."""
        self.figure.canvas.draw()
        return np.asarray(self.figure.canvas.buffer_rgba())[..., :3].copy()


def save_picture(pixels: np.ndarray, path: Path) -> None:
    """Writes ``(H, W, 3)`` uint8 to a file, with the folders it needs.

    Args:
        pixels: The picture.
        path: Its ending is the format.

    Raises:
        InputError: The file cannot be written.
    """
    kind = Image.registered_extensions()[path.suffix.lower()]
    with written_whole(path) as aside, aside.open('wb') as file:
        Image.fromarray(pixels).save(file, kind)


def to_pixels(images: torch.Tensor, preprocessor: ConMIMDataPreprocessor) -> np.ndarray:
    """``(B, C, H, W)`` normalised images as ``(B, H, W, 3)`` uint8, of :func:`shown_bands`."""
    images = images.detach().float()
    if preprocessor.normalises:
        images = images * preprocessor.std + preprocessor.mean
    shown = [band - 1 for band in shown_bands(preprocessor, images.shape[1])]
    images = images[:, shown * (3 // len(shown))].round().clamp(0, 255).to(torch.uint8)
    return images.permute(0, 2, 3, 1).cpu().numpy()


def shown_bands(preprocessor: ConMIMDataPreprocessor, channels: int) -> tuple[int, ...]:
    """Numbers from 1 of the channels to show as red, green and blue, or of the one to show as grey.

    Args:
        preprocessor: Its ``shown_bands``; without any the :func:`usual_bands`.
        channels: Of the images.
    """
    return preprocessor.shown_bands or usual_bands(channels)


def usual_bands(channels: int) -> tuple[int, ...]:
    """The first three of so many channels, or the first of fewer."""
    return (1, 2, 3) if channels >= 3 else (1, )


def band_picture(levels: np.ndarray, bands: tuple[int, ...]) -> np.ndarray:
    """Some channels of levels ``(H, W, C)`` as ``(H, W, 3)`` uint8.

    Args:
        levels: From 0 to 255.
        bands: As of :func:`shown_bands`.
    """
    chosen = levels[..., [band - 1 for band in bands]]
    return np.rint(chosen).astype(np.uint8).repeat(3 // len(bands), axis=-1)


def describe_bands(preprocessor: ConMIMDataPreprocessor, channels: int) -> str:
    """The same in words; empty for images of three channels, or one, shown as they are."""
    bands = shown_bands(preprocessor, channels)
    if bands == tuple(range(1, channels + 1)):
        return ''
    kind = 'grey' if len(bands) == 1 else 'red, green and blue'
    return (f'Shown as {kind}: channel{"s" * (len(bands) > 1)} {", ".join(map(str, bands))} of '
            f'{channels}.')
