import numpy as np
import pytest
from mmpretrain.datasets.transforms import ResizeEdge
from PIL import Image

from conmim_mm.datasets import ResizeToCover
from conmim_mm.errors import InputError


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('shape', [(37, 91), (91, 37), (50, 50), (3, 64), (33, 34)])
def test_a_square_is_as_by_the_short_edge(shape) -> None:
    by_edge = ResizeEdge(24, 'short', backend='pillow', interpolation='bicubic')
    assert np.array_equal(ResizeToCover(24)(dict(img=image(*shape)))['img'],
                          by_edge(dict(img=image(*shape)))['img'])


@pytest.mark.parametrize(('shape', 'size', 'expected'), [
    ((100, 200), (16, 32), (16, 32)), ((200, 100), (16, 32), (64, 32)),
    ((100, 300), (16, 32), (16, 48)), ((30, 70), (48, 16), (48, 112)),
    ((7, 3), (48, 16), (48, 20)), ((3, 7), (48, 16), (48, 112))])
def test_an_oblong_size_is_just_covered(shape, size, expected) -> None:
    found = ResizeToCover(size)(dict(img=image(*shape)))
    assert found['img'].shape == (*expected, 3) and found['img_shape'] == expected
    assert expected[0] >= size[0] and expected[1] >= size[1] and (
        expected[0] == size[0] or expected[1] == size[1])


@pytest.mark.parametrize(('channels', 'dtype'), [(13, np.uint8), (1, np.float32), (3, np.float32)])
def test_any_channels_and_floats(channels: int, dtype: type) -> None:
    """As each channel by Pillow; uint8 within rounding, and none beyond 0 to 255."""
    pixels = np.concatenate([image(40, 70) for _ in range(5)], axis=2)[..., :channels].astype(dtype)
    found = ResizeToCover((16, 32))(dict(img=pixels))['img']
    assert found.dtype == dtype and found.min() >= 0 and found.max() <= 255
    for channel in range(channels):
        plain = Image.fromarray(pixels[..., channel]).resize((32, 18), Image.Resampling.BICUBIC)
        assert np.abs(np.clip(plain, 0, 255).astype(float) - found[..., channel]).max() <= (
            1 if dtype == np.uint8 else 0.01)


def test_no_size() -> None:
    with pytest.raises(InputError, match='one positive int'):
        ResizeToCover((16, 32, 3))
