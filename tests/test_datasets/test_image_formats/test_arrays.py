"""Arrays of NumPy are images, whichever axis the bands are; nothing in their files is run."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conmim_mm.datasets import ImageReading
from conmim_mm.datasets.reading import read_stored
from conmim_mm.errors import UnreadableImageError

PIXELS = np.random.default_rng(0).integers(0, 2**16, (10, 12, 5)).astype('uint16')
MAX = 1000


def stored(path: Path, channels: int = 5) -> np.ndarray:
    return read_stored(str(path), ImageReading(channels), MAX).pixels


@pytest.mark.parametrize('array, expected', [
    (PIXELS, PIXELS), (PIXELS.transpose(2, 0, 1), PIXELS), (np.asfortranarray(PIXELS), PIXELS),
    (PIXELS.astype('>u2'), PIXELS), (PIXELS.astype('float16'), PIXELS.astype('float16')),
    (PIXELS[:5, :5], PIXELS[:5, :5])],
    ids=['last', 'first', 'Fortran', 'big-endian', 'half', 'both'])
def test_each_form(tmp_path: Path, array: np.ndarray, expected: np.ndarray) -> None:
    np.save(tmp_path / 'a.npy', array)
    np.savez(tmp_path / 'b.npz', array)
    np.savez_compressed(tmp_path / 'c.npz', labels=array[..., 0], image=array)
    for name in ('a.npy', 'b.npz', 'c.npz'):
        assert np.array_equal(stored(tmp_path / name), expected), name


def test_one_band(tmp_path: Path) -> None:
    for number, array in enumerate((PIXELS[..., 0], PIXELS[..., :1], PIXELS[None, ..., 0])):
        np.save(tmp_path / f'{number}.npy', array)
        assert np.array_equal(stored(tmp_path / f'{number}.npy', 1), PIXELS[..., :1])
        assert np.array_equal(stored(tmp_path / f'{number}.npy', 3), PIXELS[..., [0, 0, 0]])


def saved(array: np.ndarray, **kwargs: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


def header(shape: tuple, dtype: str = '<u2') -> bytes:
    """Of a file without any values."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, dict(descr=dtype, fortran_order=False, shape=shape))
    return file.getvalue()


def zipped(**files: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f'{name}.npy', content)
    return file.getvalue()


@pytest.mark.parametrize('content, reason', [
    (saved(PIXELS[..., :4]), 'it has the shape (10, 12, 4), which is neither (H, W, 5) nor '
     '(5, H, W)'),
    (saved(PIXELS[0, 0]), 'it has the shape (5,), which is neither'),
    (saved(np.array([[print]]), allow_pickle=True), 'its values are object, which are no grey'),
    (saved(np.zeros((2, 2), 'c16')), 'its values are complex128, which are no grey levels'),
    (saved(np.zeros((0, 2), 'u2')), 'it has no pixels'),
    (saved(PIXELS)[:-1], 'it ends too early'), (saved(PIXELS)[:30], ''),
    (header((10**4, 10**4, 5)), 'more pixels than max_pixels=1000'),
    (zipped(image=header((10**4, 10**4, 5)) + bytes(10**6)), 'more pixels than max_pixels'),
    (header((30, 30, 5)), 'it ends too early'),
    (zipped(a=saved(PIXELS), b=saved(PIXELS)), 'it has 2 arrays, none of them called image'),
    (zipped(), 'not an image'), (zipped(a=saved(PIXELS))[:-40], '')],
    ids=lambda value: '' if isinstance(value, bytes) else value[:30])
def test_others_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / 'a.npy').write_bytes(content)
    with pytest.raises(UnreadableImageError) as error:
        stored(tmp_path / 'a.npy')
    assert error.value.reason.startswith(reason) or reason in error.value.reason
