"""Images with holes, and the holes filled with the patches that the student takes for them."""

import numpy as np

HOLE = np.array([128, 128, 128], dtype=np.uint8)


def to_patches(image: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Cuts ``(H, W, 3)`` into ``(L, h, w, 3)``, row by row, for a grid that divides the image."""
    (rows, columns), (height, width) = grid, image.shape[:2]
    patches = image.reshape(rows, height // rows, columns, width // columns, -1)
    return patches.swapaxes(1, 2).reshape(rows * columns, height // rows, width // columns, -1)


def from_patches(patches: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The inverse of :func:`to_patches`."""
    rows, columns = grid
    _, height, width, channels = patches.shape
    image = patches.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return image.reshape(rows * height, columns * width, channels)


def cut_holes(image: np.ndarray, mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """An image as the student sees it, hidden patches grey.

    Args:
        image: ``(H, W, 3)`` uint8.
        mask: ``(L,)`` bool, True = hidden.
        grid: Height and width of the patch grid.
    """
    patches = to_patches(image, grid).copy()
    patches[mask] = HOLE
    return from_patches(patches, grid)


def fill_holes(image: np.ndarray, mask: np.ndarray, matches: np.ndarray,
               grid: tuple[int, int]) -> np.ndarray:
    """An image whose holes hold the patches that the student takes for them.

    The pixels are the image's own, not those of the teacher's view: with its colours a right patch
    would look as wrong as another.

    Args:
        image: ``(H, W, 3)`` uint8, without holes.
        mask: ``(L,)`` bool, True = hidden.
        matches: ``(L,)`` int, the patch that goes into each hole; others are not looked at.
        grid: Height and width of the patch grid.
    """
    whole = to_patches(image, grid)
    patches = whole.copy()
    patches[mask] = whole[matches[mask]]
    return from_patches(patches, grid)
