import pytest
import torch

from conmim_mm.errors import InputError
from conmim_mm.models.layers.visible import count_visible, put, split_positions, take

MASK = torch.tensor([[True, False, True, False, True], [False, True, True, True, False]])


def test_positions_are_those_of_the_mask_in_order() -> None:
    visible, holes = split_positions(MASK, count_visible(MASK))
    assert visible.tolist() == [[1, 3], [0, 4]]
    assert holes.tolist() == [[0, 2, 4], [1, 2, 3]]


def test_take_and_put_are_inverse() -> None:
    tokens = torch.randn(2, 5, 3)
    visible, holes = split_positions(MASK, 2)
    assert torch.equal(take(tokens, holes)[1], tokens[1, 1:4])
    again = put(take(tokens, visible), visible, 5) + put(take(tokens, holes), holes, 5)
    assert torch.equal(again, tokens)
    positions = torch.randn(1, 5, 3)  # the same for all images
    assert torch.equal(take(positions, visible)[0], positions[0, [1, 3]])


@pytest.mark.parametrize(('mask', 'words'), [
    ([[True, False], [True, True]], '0, 1 are visible'),
    ([[True, True]], '0 are visible.* larger views .--img-size'),
    ([[False, False]], '2 are visible')])
def test_masks_that_a_decoder_cannot_have(mask: list, words: str) -> None:
    with pytest.raises(InputError, match=words):
        count_visible(torch.tensor(mask))
