import numpy as np
import pytest

from conmim_mm.datasets import BlockPatchMask, RandomPatchMask
from conmim_mm.errors import InputError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_random_masks_148_of_196_tokens() -> None:
    mask = RandomPatchMask(img_size=224, patch_size=16, block_size=32, mask_ratio=0.75)
    assert mask.num_masked_blocks == 37
    for seed in range(20):
        drawn = mask.draw(rng(seed))
        assert drawn.shape == (14, 14) and drawn.dtype == bool and drawn.sum() == 148


def test_random_masks_whole_blocks() -> None:
    drawn = RandomPatchMask(img_size=(64, 96), patch_size=16, block_size=32,
                            mask_ratio=0.5).draw(rng())
    assert drawn.shape == (4, 6) and drawn.sum() == 12
    blocks = drawn.reshape(2, 2, 3, 2).transpose(0, 2, 1, 3).reshape(6, 4)
    assert all(block.all() or not block.any() for block in blocks)


def test_random_masks_every_block_equally_often() -> None:
    generator, source = RandomPatchMask(img_size=64, patch_size=16, mask_ratio=0.5), rng()
    share = np.mean([generator.draw(source) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(share, 0.5, atol=5 * 0.5 / 4000**0.5)


def test_block_masks_75_of_196_tokens() -> None:
    mask, source = BlockPatchMask(img_size=224, patch_size=16), rng()
    drawn = [mask.draw(source) for _ in range(200)]
    assert {int(one.sum()) for one in drawn} == {75}
    # rectangles, not salt and pepper: neighbours agree far more often than the 53 % of chance
    agreement = np.mean([(one[:, 1:] == one[:, :-1]).mean() for one in drawn])
    assert agreement > 0.75


def test_block_masking_scales_with_the_grid() -> None:
    mask = BlockPatchMask(img_size=(64, 128), patch_size=8)
    assert mask.num_masked == round(128 * 75 / 196)
    assert all(mask.draw(rng(seed)).sum() == mask.num_masked for seed in range(50))


def test_block_masking_fills_up_where_no_rectangle_fits() -> None:
    mask = BlockPatchMask(img_size=32, patch_size=8, num_masked=15, min_block_patches=15)
    assert all(mask.draw(rng(seed)).sum() == 15 for seed in range(50))


@pytest.mark.parametrize('generator', [RandomPatchMask, BlockPatchMask])
def test_same_seed_same_mask(generator: type) -> None:
    mask = generator(img_size=224, patch_size=16)
    assert np.array_equal(mask.draw(rng(3)), mask.draw(rng(3)))
    assert not np.array_equal(mask.draw(rng(3)), mask.draw(rng(4)))


@pytest.mark.parametrize('generator', [RandomPatchMask, BlockPatchMask])
def test_several_masks_of_an_image(generator: type) -> None:
    mask = generator(img_size=224, patch_size=16, num_masks=3).transform({})['mask']
    assert mask.shape == (3, 14, 14) and not np.array_equal(mask[0], mask[1])
    assert len({int(one.sum()) for one in mask}) == 1


@pytest.mark.parametrize('generator, settings, words', [
    (RandomPatchMask, dict(num_masks=0), 'num_masks must be at least 1'),
    (RandomPatchMask, dict(mask_ratio=0.), 'mask_ratio must lie between 0 and 1'),
    (RandomPatchMask, dict(mask_ratio=1.), 'mask_ratio must lie between 0 and 1'),
    (RandomPatchMask, dict(mask_ratio=float('nan')), 'mask_ratio must lie between 0 and 1'),
    (RandomPatchMask, dict(img_size=225), 'img_size=225x225'),
    (RandomPatchMask, dict(img_size=240), 'not divisible by block_size=32'),
    (RandomPatchMask, dict(block_size=28), 'block_size=28x28'),
    (BlockPatchMask, dict(img_size=225), 'img_size=225x225'),
    (BlockPatchMask, dict(num_masked=196), 'num_masked'),
    (BlockPatchMask, dict(num_masked=0), 'num_masked'),
    (BlockPatchMask, dict(min_block_patches=80), 'min_block_patches'),
    (BlockPatchMask, dict(min_aspect=0.), 'min_aspect'),
])
def test_bad_settings(generator: type, settings: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        generator(**settings)
    assert words in str(error.value)
