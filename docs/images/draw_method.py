"""Draws docs/images/method.svg: one training step of ConMIM.

    PYTHONPATH=tools/dataset_converters python docs/images/draw_method.py [--out FILE.svg]

Picture, views and mask are real: a generated scene through this project's transforms, with 7 x 7
patches for legibility (14 x 14 in the recipes). The similarities are invented.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from scenes import scene_image

from conmim_mm.datasets.transforms.masks import RandomPatchMask
from conmim_mm.datasets.transforms.perturbation import TeacherPerturbation, perturb

# Okabe-Ito, readable with any colour vision
BLUE, ORANGE, GREEN, VERMILION = '#0072B2', '#E69F00', '#009E73', '#D55E00'
GRID, SIDE, PATCH = 7, 224, 32
SEED = 20
WIDTH, HEIGHT = 5.0, 5.95  # inches, which are the units of all positions
PANEL = 1.55
LEFT, RIGHT = 0.35, WIDTH - 0.35 - PANEL


def make_views() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Student view and teacher view, (S, S, 3) uint8, and the mask, (GRID, GRID) bool."""
    student = scene_image(seed=SEED, split='train', index=0, size=SIDE).image
    colours = TeacherPerturbation(jitter_prob=1., grey_prob=0., blur_prob=0., solarise_prob=0.)
    teacher = perturb(student, colours.draw(np.random.default_rng(SEED)))
    mask = RandomPatchMask(SIDE, PATCH, PATCH, 0.75).draw(np.random.default_rng(SEED))
    return student, teacher, mask.reshape(GRID, GRID)


class Drawing:
    """A figure whose positions are inches from its lower left corner."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH, HEIGHT))
        FigureCanvasAgg(self.figure)
        self.canvas = self.figure.add_axes((0, 0, 1, 1))
        self.canvas.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
        self.canvas.axis('off')

    def text(self, x: float, y: float, text: str, **style) -> None:
        self.canvas.text(x, y, text, **dict(ha='center', va='center', fontsize=10) | style)

    def arrow(self, start: tuple, end: tuple, **style) -> None:
        self.canvas.add_patch(FancyArrowPatch(
            start, end, **dict(arrowstyle='-|>', mutation_scale=12, color='black', linewidth=1.2,
                               shrinkA=0, shrinkB=0) | style))

    def box(self, x: float, y: float, text: str, colour: str, dashes: str) -> None:
        self.canvas.add_patch(FancyBboxPatch(
            (x + 0.05, y + 0.05), PANEL - 0.1, 0.42, boxstyle='round,pad=0.05', facecolor='white',
            edgecolor=colour, linewidth=2, linestyle=dashes))
        self.text(x + PANEL / 2, y + 0.26, text)

    def panel(self, x: float, y: float):
        axes = self.figure.add_axes((x / WIDTH, y / HEIGHT, PANEL / WIDTH, PANEL / HEIGHT))
        axes.set(xlim=(0, GRID), ylim=(GRID, 0), xticks=[], yticks=[], aspect='equal')
        for line in range(1, GRID):
            axes.axhline(line, color='white', linewidth=0.6)
            axes.axvline(line, color='white', linewidth=0.6)
        return axes


def mark(axes, row: int, column: int, colour: str, **style) -> None:
    """Outlines one patch."""
    axes.add_patch(Rectangle((column, row), 1, 1, **dict(
        fill=False, edgecolor=colour, linewidth=2.5, zorder=5, clip_on=False) | style))


def draw() -> Figure:
    """The whole figure."""
    student, teacher, mask = make_views()
    # the figure follows the hole that is nearest to the middle
    row, column = min(np.argwhere(mask), key=lambda place: np.hypot(*(place - GRID // 2)))
    drawing = Drawing()
    top, extent = HEIGHT - 0.62 - PANEL, (0, GRID, GRID, 0)

    holes = student.copy()
    holes[np.kron(mask, np.ones((PATCH, PATCH), bool))] = 150
    for x, image, name, sees in ((LEFT, holes, 'student', 'sees the rest'),
                                 (RIGHT, teacher, 'teacher', 'sees all, in other colours')):
        axes = drawing.panel(x, top)
        axes.imshow(image, extent=extent)
        mark(axes, row, column, VERMILION if name == 'student' else GREEN,
             linestyle='-' if name == 'student' else (0, (2, 1)))
        drawing.text(x + PANEL / 2, HEIGHT - 0.22, name, weight='bold', fontsize=11)
        drawing.text(x + PANEL / 2, HEIGHT - 0.44, sees, fontsize=9)
    middle = (LEFT + PANEL + RIGHT) / 2
    drawing.text(middle, top + PANEL / 2, 'one crop,\npixel by\npixel the\nsame', fontsize=9)

    boxes = top - 0.92
    for x, colour, dashes in ((LEFT, BLUE, '-'), (RIGHT, ORANGE, '--')):
        drawing.arrow((x + PANEL / 2, top - 0.05), (x + PANEL / 2, boxes + 0.56))
        drawing.box(x, boxes, 'ViT, projector', colour, dashes)
    drawing.arrow((LEFT + PANEL + 0.08, boxes + 0.26), (RIGHT - 0.08, boxes + 0.26),
                  color=ORANGE, linestyle='--')
    drawing.text(middle, boxes + 0.47, 'moving', fontsize=9)
    drawing.text(middle, boxes + 0.07, 'average', fontsize=9)

    # what a hole's token is compared with
    bottom = boxes - 0.45 - PANEL
    drawing.arrow((RIGHT + PANEL / 2, boxes - 0.03), (RIGHT + PANEL / 2, bottom + PANEL + 0.05))
    places = np.mgrid[:GRID, :GRID]
    distance = np.hypot(places[0] - row, places[1] - column)
    similarity = 0.75 * np.exp(-distance) + np.random.default_rng(1).uniform(0, 0.3, distance.shape)
    similarity[row, column] = 1.
    axes = drawing.panel(RIGHT, bottom)
    axes.imshow(similarity, extent=extent, cmap='Blues', vmin=0, vmax=1.1)
    mark(axes, row, column, GREEN, linestyle=(0, (2, 1)))

    drawing.arrow((LEFT + PANEL / 2, boxes - 0.03), (LEFT + PANEL / 2, bottom + PANEL - 0.15))
    token = (LEFT + PANEL / 2 - 0.16, bottom + PANEL - 0.5)
    drawing.canvas.add_patch(Rectangle(token, 0.32, 0.32, facecolor='#cfe3f1',
                                       edgecolor=VERMILION, linewidth=2.5))
    drawing.text(LEFT + PANEL / 2, token[1] - 0.3, 'the token\nof one hole', fontsize=9.5)
    drawing.arrow((token[0] + 0.42, token[1] + 0.16), (RIGHT - 0.08, token[1] + 0.16))
    drawing.text(middle + 0.06, token[1] - 0.14, 'cosine\nsimilarity\n/ 0.1', fontsize=9)

    drawing.text(RIGHT + PANEL / 2, bottom - 0.16, "the teacher's tokens", fontsize=9)
    drawing.text(WIDTH / 2, bottom - 0.55, 'Loss: cross-entropy of taking, among all patches of\n'
                 'the image as the teacher sees them, the one at its own place.', fontsize=9.5)
    return drawing.figure


def main() -> None:
    """Writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=Path(__file__).with_name('method.svg'))
    args = parser.parse_args()
    # the same file every time: no date, no random ids
    matplotlib.rcParams['svg.hashsalt'] = 'method'
    draw().savefig(args.out, dpi=150, facecolor='white', metadata=(
        {'Date': None} if args.out.suffix == '.svg' else None))


if __name__ == '__main__':
    main()
