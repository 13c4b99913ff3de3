import numpy as np
import pytest
import torch

from conmim_mm.models.layers.rel_pos_bias import (
    RelativePositionBias,
    bias_matrix,
    crop_table,
    infer_table_grid,
    num_relative_positions,
    relative_position_index,
    resize_table,
)

from ...conftest import GOLDEN


def test_bias_of_an_oblong_grid() -> None:
    grid = (2, 3)
    bias = RelativePositionBias(grid, num_heads=2)
    table = bias.relative_position_bias_table
    torch.nn.init.normal_(table)
    matrix = bias_matrix(bias(grid), grid)
    assert table.shape == (num_relative_positions(grid), 2) == (3 * 5 + 3, 2)
    assert matrix.shape == (2, 7, 7)
    # patch (1, 2) is token 6, patch (0, 1) is token 2: offset (1, 1) of (-1..1, -2..2)
    torch.testing.assert_close(matrix[:, 6, 2], table[(1 + 1) * 5 + (1 + 2)])
    torch.testing.assert_close(matrix[:, 2, 6], table[(-1 + 1) * 5 + (-1 + 2)])
    torch.testing.assert_close(matrix[:, 1, 1], table[1 * 5 + 2])
    torch.testing.assert_close(matrix[:, 0, 4], table[-3])  # class token looks at a patch
    torch.testing.assert_close(matrix[:, 4, 0], table[-2])  # a patch looks at the class token
    torch.testing.assert_close(matrix[:, 0, 0], table[-1])


@pytest.mark.parametrize('queries', [slice(0, 3), slice(3, 5), slice(5, 100)])
def test_index_of_some_queries_is_a_part_of_the_whole(queries: slice) -> None:
    assert relative_position_index((2, 3), queries).equal(relative_position_index((2, 3))[queries])


@pytest.mark.parametrize('sizes', ['14_to_24', '14_to_32', '14_to_40', '4_to_8'])
def test_resizing_is_the_references(sizes: str) -> None:
    golden = np.load(GOLDEN / 'rel_pos_bias_resize.npz')
    old, new = map(int, sizes.split('_to_'))
    resized = resize_table(torch.tensor(golden[f'p{sizes}/table']), (old, old), (new, new))
    np.testing.assert_allclose(resized, golden[f'p{sizes}/expected'], atol=5e-6)


def test_oblong_resizing_treats_each_axis_by_itself() -> None:
    """A table that depends on dy alone, resized in x, still does; and axes are not mixed up."""
    by_row = torch.randn(7, 1, 2).expand(7, 7, 2).flatten(0, 1)
    table = torch.cat([by_row, torch.randn(3, 2)])
    resized = resize_table(table, (4, 4), (4, 9))
    torch.testing.assert_close(
        resized[:-3], by_row.view(7, 7, 2)[:, :1].expand(7, 17, 2).flatten(0, 1))
    torch.testing.assert_close(resized[-3:], table[-3:], rtol=0, atol=0)
    tall = resize_table(table, (4, 4), (9, 4))[:-3].view(17, 7, 2)
    square = resize_table(table, (4, 4), (9, 9))[:-3].view(17, 17, 2)
    torch.testing.assert_close(tall[:, 0], square[:, 0])


def test_same_size_is_the_same_table() -> None:
    table = torch.randn(num_relative_positions((3, 4)), 2)
    assert resize_table(table, (3, 4), (3, 4)) is table


@pytest.mark.parametrize('new', [1, 3, 6, 33])
def test_small_grids_and_shrinking(new: int) -> None:
    for old in (1, 2, 5):
        table = torch.randn(num_relative_positions((old, old)), 2)
        resized = resize_table(table, (old, old), (new, new))
        assert resized.shape == (num_relative_positions((new, new)), 2) and resized.isfinite().all()


def test_crop_keeps_every_offset_of_the_smaller_grid() -> None:
    bias = RelativePositionBias((4, 5), num_heads=1)
    torch.nn.init.normal_(bias.relative_position_bias_table)
    table = bias.relative_position_bias_table
    large = bias_matrix(table, (4, 5))
    small = bias_matrix(crop_table(table, (4, 5), (2, 3)), (2, 3))
    # tokens of the upper left 2 x 3 patches in the 4 x 5 grid
    tokens = torch.tensor([0, 1, 2, 3, 6, 7, 8])
    torch.testing.assert_close(small, large[:, tokens][:, :, tokens])


def test_square_grid_from_the_length() -> None:
    assert infer_table_grid(732) == (14, 14) and infer_table_grid(52) == (4, 4)
    assert infer_table_grid(num_relative_positions((4, 6))) is None
    assert infer_table_grid(3) is None and infer_table_grid(4) == (1, 1)


def test_sloping_table_falls_with_the_distance_of_patches() -> None:
    grid = (2, 3)
    bias = RelativePositionBias(grid, num_heads=4, init_slope=2.)
    matrix = bias_matrix(bias(grid), grid)
    # patch (0, 0) is token 1, patch (1, 2) token 6: sqrt(5) patches apart
    expected = -5**0.5 * torch.tensor([2., 1., 0.5, 0.25])
    torch.testing.assert_close(matrix[:, 1, 6], expected)
    torch.testing.assert_close(matrix[:, 6, 1], expected)
    assert matrix[:, 1, 1].tolist() == [0.] * 4
    assert not matrix[:, 0].any() and not matrix[:, :, 0].any()  # the class token's


def test_tables_start_at_zero_unless_told() -> None:
    assert not RelativePositionBias((2, 3), num_heads=2).relative_position_bias_table.any()
