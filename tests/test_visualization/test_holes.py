import numpy as np

from conmim_mm.visualization.holes import HOLE, cut_holes, fill_holes, from_patches, to_patches

GRID = 2, 3
IMAGE = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
MASK = np.array([False, True, True, False, False, True])


def test_patches_come_row_by_row() -> None:
    patches = to_patches(IMAGE, GRID)
    assert (patches[4] == IMAGE[4:, 4:8]).all()
    assert (from_patches(patches, GRID) == IMAGE).all()


def test_holes_are_grey() -> None:
    expected = IMAGE.copy()
    expected[:4, 4:] = expected[4:, 8:] = HOLE
    assert (cut_holes(IMAGE, MASK, GRID) == expected).all()


def test_holes_hold_what_is_taken_for_them() -> None:
    matches = np.array([5, 0, 2, 5, 5, 1])
    expected = IMAGE.copy()
    expected[:4, 4:8] = IMAGE[:4, :4]
    expected[4:, 8:] = IMAGE[:4, 4:8]
    assert (fill_holes(IMAGE, MASK, matches, GRID) == expected).all()
