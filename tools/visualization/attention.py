"""Draws whom the class token, and chosen patches, of an image attend to in a block of the ViT.

A value of 1 is an even share of all tokens.
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from common import (
    add_model_arguments,
    add_out_argument,
    check_picture_file,
    load_with_views,
)
from matplotlib.backend_bases import MouseEvent
from matplotlib.figure import Figure

from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS
from conmim_mm.errors import InputError
from conmim_mm.utils.cli import run_tool
from conmim_mm.visualization.attention import CLASS_TOKEN, attention_maps, attention_weights
from conmim_mm.visualization.sheet import DPI, Panel, Sheet, save_picture, to_pixels
from conmim_mm.visualization.sheets import AttentionRow, sheet_of_attention

MAX_COLUMNS = 6


def patch_at(x: int, y: int, size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Row and column of the patch that a pixel lies in.

    Args:
        x: Pixels from the left edge.
        y: Pixels from the top.
        size: Height and width of the image as the model sees it, in pixels.
        patch_size: Side of a patch, in pixels.

    Raises:
        InputError: The pixel lies outside of the image.
    """
    height, width = size
    if not (0 <= x < width and 0 <= y < height):
        raise InputError(f'the pixel x={x} y={y} lies outside of the image as the model sees it, '
                         f'which is {width} pixels wide and {height} high')
    return y // patch_size, x // patch_size


def sheet_of_image(image: np.ndarray, weights: torch.Tensor, grid: tuple[int, int],
                   queries: Sequence[int], head: int | None = None) -> Sheet:
    """Whom some tokens of an image attend to, a row for each.

    Args:
        image: ``(H, W, 3)`` uint8.
        weights: ``(heads, 1 + L, 1 + L)`` of
            :func:`attention_weights`.
        grid: Height and width of the patch grid.
        queries: Tokens: 0 is the class token, 1 + i the patch i.
        head: The head to show alone; None for the mean over all, and the first ones beside it.

    Raises:
        InputError: There is no such head.
    """
    num_heads = len(weights)
    if head is None:
        heads = range(min(num_heads, MAX_COLUMNS - 2))
        chosen = torch.cat([weights.mean(dim=0, keepdim=True), weights[:len(heads)]])
        headings = [f'mean of {num_heads} heads', *(f'head {number}' for number in heads)]
    elif 0 <= head < num_heads:
        chosen, headings = weights[head:head + 1], [f'head {head}']
    else:
        raise InputError(f'there is no head {head}: the model has the heads 0 to {num_heads - 1}')
    rows = [AttentionRow(image, attention_maps(chosen, query, grid), [query] * len(headings))
            for query in queries]
    sheet = sheet_of_attention(rows, headings)
    for row, query in enumerate(queries):
        sheet.panels[row][0].heading('class token asks' if query == CLASS_TOKEN
                                     else 'the framed patch asks')
    return sheet


def patch_under(panel: Panel, x: float, y: float) -> tuple[int, int] | None:
    """Row and column of the patch at a place on the sheet; None outside of the panel."""
    column, row = (x - panel.left) // panel.cell[0], (y - panel.top) // panel.cell[1]
    inside = 0 <= row < panel.grid[0] and 0 <= column < panel.grid[1]
    return (int(row), int(column)) if inside else None


class AttentionWindow:
    """Redraws the attention of an image when a patch is clicked.

    Args:
        figure: The window's, empty.
        image: As for :func:`sheet_of_image`; so are the others.
        weights: Likewise.
        grid: Likewise.
        head: Likewise.
    """

    def __init__(self, figure: Figure, image: np.ndarray, weights: torch.Tensor,
                 grid: tuple[int, int], head: int | None = None) -> None:
        self.figure = figure
        self._contents = image, weights, grid
        self._head = head
        self.sheet = self._draw(1 + grid[0] // 2 * grid[1] + grid[1] // 2)
        figure.set_size_inches(self.sheet.width, self.sheet.height)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        self.shown = axes.imshow(self.sheet.pixels())
        figure.canvas.mpl_connect('button_press_event', self.click)

    def _draw(self, query: int) -> Sheet:
        return sheet_of_image(*self._contents, [CLASS_TOKEN, query], self._head)

    def click(self, event: MouseEvent) -> None:
        """Takes the patch under the mouse, in whichever panel; nothing elsewhere."""
        if event.xdata is None:
            return
        places = (patch_under(panel, event.xdata / DPI, event.ydata / DPI)
                  for row in self.sheet.panels for panel in row)
        patch = next((place for place in places if place is not None), None)
        if patch is not None:
            columns = self._contents[2][1]
            self.sheet = self._draw(1 + patch[0] * columns + patch[1])
            self.shown.set_data(self.sheet.pixels())
            self.figure.canvas.draw_idle()


def open_window(image: np.ndarray, weights: torch.Tensor, grid: tuple[int, int],
                head: int | None = None) -> None:
    """Opens an :class:`AttentionWindow` and waits until it is closed.

    Raises:
        InputError: There is no display, or no toolkit for windows.
    """
    import matplotlib.pyplot as plt  # looks for a display, which only this needs

    figure = plt.figure('attention: click a patch')
    if plt.get_backend().lower() == 'agg':
        plt.close(figure)
        raise InputError('--interactive needs a display and a toolkit for windows (such as tkinter '
                         'or PyQt6); without them choose the patch with --patch X Y')
    AttentionWindow(figure, image, weights, grid, head)
    plt.show()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_model_arguments(parser, images=1)
    add_out_argument(parser)
    parser.add_argument('--weights', choices=WHOSE_WEIGHTS, default='teacher',
                        help='whose (default: teacher)')
    parser.add_argument('--patch', nargs=2, type=int, action='append', default=[],
                        metavar=('X', 'Y'), help='a pixel of the image as the model sees it, whose '
                        'patch asks as well; may be given several times')
    parser.add_argument('--block', type=int, default=-1, help='from 0, or from the end with -1 '
                        '(default: the last)')
    parser.add_argument('--head', type=int, help='this head alone, from 0 (default: the mean, and '
                        'the first heads beside it)')
    parser.add_argument('--interactive', action='store_true', help='then open a window in which '
                        'clicked patches ask')
    args = parser.parse_args()

    check_picture_file(args.out, args.overwrite)
    model, views = load_with_views(args)
    backbone = model.teacher.backbone if args.weights == 'teacher' else model.backbone
    images = views['student_view']
    grid, size = backbone.grid_of(images), tuple(images.shape[-2:])
    patches = [patch_at(x, y, size, backbone.patch_size) for x, y in args.patch]
    queries = [CLASS_TOKEN, *(1 + row * grid[1] + column for row, column in patches)]
    weights = attention_weights(backbone, images, args.block)[0].cpu()
    image = to_pixels(images, model.data_preprocessor)[0]
    save_picture(sheet_of_image(image, weights, grid, queries, args.head).pixels(), args.out)
    print(f'wrote {args.out}: the image is {size[1]} pixels wide and {size[0]} high to the model')
    if args.interactive:
        open_window(image, weights, grid, args.head)


if __name__ == '__main__':
    run_tool(main)
