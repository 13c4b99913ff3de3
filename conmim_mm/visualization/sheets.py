"""Draws what the functions beside it compute, as sheets of panels."""

from collections.abc import Sequence
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.colors import LogNorm, Normalize

from .holes import cut_holes, fill_holes
from .look_up import LookUp, describe_score, spread_holes
from .sheet import BAR, BLUE, Sheet

Grid = tuple[int, int]
MAX_HOLES = len(ascii_uppercase)


class AttentionRow(NamedTuple):
    """What :func:`draw_attention` shows in a row.

    Attributes:
        image: ``(H, W, 3)`` uint8.
        maps: ``(n, h, w)``, of :func:`attention_maps`.
        queries: The token that asks in each of the maps: 0 the class token, 1 + i the patch i.
    """

    image: np.ndarray
    maps: torch.Tensor
    queries: Sequence[int]


def sheet_of_attention(rows: Sequence[AttentionRow], headings: Sequence[str]) -> Sheet:
    """Images with, beside each, whom a token attends to.

    Args:
        rows: Images and maps, all of the same sizes.
        headings: One for each of the maps, for all rows.
    """
    height, width = rows[0].image.shape[:2]
    maps = torch.stack([row.maps for row in rows]).float().cpu()
    # an even share lies in the middle of the scale
    reach = max(float(maps.flatten().quantile(0.995)), 2.)
    norm = LogNorm(1 / reach, reach, clip=True)
    sheet = Sheet(len(rows), 1 + len(headings), tuple(maps.shape[-2:]), height / width, bar=BAR)
    for number, (row, values) in enumerate(zip(rows, maps, strict=True)):
        panel = sheet.panel(number, 0, row.image, 'image')
        panel.count_pixels(height, width)
        for query in set(row.queries) - {0}:
            panel.frame(query - 1)
        for column, (query, one) in enumerate(zip(row.queries, values, strict=True)):
            panel = sheet.panel(number, 1 + column, one, headings[column], norm)
            if query:
                panel.frame(query - 1)
    ticks = [2.**power for power in range(-10, 11) if 1 / reach <= 2.**power <= reach]
    sheet.colour_bar(norm, 'attention (1 = an even share)', ticks)
    return sheet


def draw_similarities(images: Sequence[np.ndarray], teacher_images: Sequence[np.ndarray],
                      found: LookUp, grid: Grid, count: int = 4) -> np.ndarray:
    """Some holes of each image, each with its similarity to all of the teacher's patches.

    Args:
        images: ``(H, W, 3)`` uint8 each, the student's views, without holes.
        teacher_images: Likewise, the teacher's views.
        found: Of these images.
        grid: Height and width of the patch grid.
        count: How many holes of each image, at most 26.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    height, width = images[0].shape[:2]
    found = LookUp(found.similarity.cpu(), found.mask.cpu())
    chosen = [spread_holes(mask, min(count, MAX_HOLES)) for mask in found.mask]
    shown = torch.cat([similarity[holes]
                       for similarity, holes in zip(found.similarity, chosen, strict=True)])
    norm = Normalize(float(shown.min()), float(shown.max()))
    columns = 2 + max(map(len, chosen))
    sheet = Sheet(len(images), columns, grid, height / width, lines=2, bar=BAR, note=(
        f'{describe_score(found)} White frame: the right patch; cross: the one taken for it.'))
    for row, holes in enumerate(chosen):
        mask = found.mask[row].numpy()
        views = (sheet.panel(row, 0, cut_holes(images[row], mask, grid), 'student sees'),
                 sheet.panel(row, 1, teacher_images[row], 'teacher sees'))
        for column, (letter, hole) in enumerate(zip(ascii_uppercase, holes, strict=False), start=2):
            for panel in views:
                panel.letter(hole, letter)
            match, values = int(found.matches[row, hole]), found.similarity[row, hole]
            verdict = 'found' if match == hole else f'own ranks {_ordinal(found.ranks[row, hole])}'
            panel = sheet.panel(row, column, values.unflatten(0, grid), f'{letter}: {verdict}\n'
                                f'own {values[hole]:.2f}, best {values[match]:.2f}', norm)
            panel.frame(hole)
            panel.cross(match)
    sheet.colour_bar(norm, 'cosine similarity')
    return sheet.pixels()


def draw_filled_holes(images: Sequence[np.ndarray], found: LookUp, grid: Grid) -> np.ndarray:
    """The image, its holes, the holes filled, and which of them are filled rightly.

    Args:
        images: ``(H, W, 3)`` uint8 each, the student's views, without holes.
        found: Of these images.
        grid: Height and width of the patch grid.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    height, width = images[0].shape[:2]
    sheet = Sheet(len(images), 4, grid, height / width, note=describe_score(found))
    masks, matches, hits = (
        tensor.cpu().numpy() for tensor in (found.mask, found.matches, found.hits))
    for row, image in enumerate(images):
        filled = fill_holes(image, masks[row], matches[row], grid)
        sheet.panel(row, 0, image, 'image')
        sheet.panel(row, 1, cut_holes(image, masks[row], grid), 'student sees')
        sheet.panel(row, 2, filled, 'holes filled')
        panel = sheet.panel(row, 3, filled // 2 + 120,
                            f'right: {hits[row].sum()} of {masks[row].sum()}')
        for patch in hits[row].nonzero()[0]:
            panel.frame(patch, BLUE, around=None)
    return sheet.pixels()


def draw_token_colours(images: Sequence[np.ndarray], colours: torch.Tensor,
                       grid: Grid) -> np.ndarray:
    """Images above the colours of their patches.

    Args:
        images: ``(H, W, 3)`` uint8 each.
        colours: ``(B, L, 3)`` of :func:`token_colours`.
        grid: Height and width of the patch grid.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    height, width = images[0].shape[:2]
    sheet = Sheet(2, len(images), grid, height / width)
    for column, (image, colour) in enumerate(zip(images, colours.cpu().numpy(), strict=True)):
        sheet.panel(0, column, image, 'image')
        sheet.panel(1, column, colour.reshape(*grid, 3), 'its patch tokens')
    return sheet.pixels()


def _ordinal(number: int | torch.Tensor) -> str:
    number = int(number)
    ending = 'th' if number // 10 % 10 == 1 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')
    return f'{number}{ending}'
