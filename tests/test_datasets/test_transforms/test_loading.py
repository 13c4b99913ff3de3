import errno
import io
import os
import struct
import warnings
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from conmim_mm.datasets import (
    ConMIMTwoViews,
    LoadRGBImage,
    PackConMIMInputs,
    RandomPatchMask,
    read_rgb,
)
from conmim_mm.datasets.transforms import loading
from conmim_mm.datasets.transforms.two_views import open_image
from conmim_mm.errors import InputError, UnreadableImageError

from ...conftest import ROOT

COLOURS = np.array([[(200, 100, 50), (10, 20, 30)], [(0, 255, 0), (255, 255, 255)],
                    [(90, 90, 200), (0, 0, 0)]], dtype=np.uint8)


def blocks(side: int = 16) -> np.ndarray:
    """Three rows and two columns of squares, aligned with JPEG's own blocks."""
    return COLOURS.repeat(side, axis=0).repeat(side, axis=1)


def saved(image: Image.Image, path: Path, **kwargs) -> str:
    image.save(path, **kwargs)
    return str(path)


def read(path: str) -> np.ndarray:
    image = read_rgb(path)
    assert image.mode == 'RGB'
    return np.asarray(image)


@pytest.mark.parametrize('name, options', [
    ('a.png', {}), ('a.bmp', {}), ('a.tiff', {}), ('a.TIF', {}), ('a.webp', dict(lossless=True)),
    ('a.jp2', {}), ('a.gif', {}), ('a.ppm', {}), ('a.tga', {}),
    ('a.tga', dict(compression='tga_rle'))])
def test_lossless_formats_are_read_exactly(tmp_path: Path, name: str, options: dict) -> None:
    path = saved(Image.fromarray(blocks()), tmp_path / name, **options)
    assert np.array_equal(read(path), blocks())


def test_bytes_take_the_place_of_the_file(tmp_path: Path) -> None:
    content = Path(saved(Image.fromarray(blocks()), tmp_path / 'a.png')).read_bytes()
    results = LoadRGBImage()(dict(img_path='/nowhere/b.png', img_bytes=content))
    assert np.array_equal(results['img'], blocks())
    with pytest.raises(UnreadableImageError) as error:
        LoadRGBImage()(dict(img_path='/nowhere/b.png', img_bytes=content[:100]))
    assert str(error.value).startswith('cannot read the image /nowhere/b.png: ')


@pytest.mark.parametrize('name', ['a.jpg', 'A.JPEG', 'a.jfif', 'a.webp', 'a.avif'])
def test_lossy_formats(tmp_path: Path, name: str) -> None:
    path = saved(Image.fromarray(blocks()), tmp_path / name, quality=100)
    # webp halves the chroma resolution: look inside the squares
    centres = read(path)[8::16, 8::16].astype(int)
    np.testing.assert_allclose(centres, COLOURS.astype(int), atol=5)


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    path = saved(Image.fromarray(blocks()), tmp_path / 'a.jpg', format='png')
    assert np.array_equal(read(path), blocks())


LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16)
BITS = np.eye(8, dtype=bool)
ALPHA = np.array([[0, 255], [128, 0], [1, 254]], dtype=np.uint8)


@pytest.mark.parametrize('mode, stored, expected', [
    ('L', LEVELS, LEVELS[..., None].repeat(3, axis=-1)),
    ('1', BITS, np.where(BITS, 255, 0)[..., None].repeat(3, axis=-1)),
    # transparency is dropped, keeping the colours
    ('RGBA', np.dstack([COLOURS, ALPHA]), COLOURS),
    ('LA', np.dstack([COLOURS[..., 0], ALPHA]), COLOURS[..., :1].repeat(3, axis=-1))])
def test_other_modes_become_rgb(tmp_path: Path, mode: str, stored: np.ndarray,
                                expected: np.ndarray) -> None:
    path = saved(Image.fromarray(stored), tmp_path / 'a.png')
    assert Image.open(path).mode == mode
    assert np.array_equal(read(path), expected)


def palette_image() -> Image.Image:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(3, 2)).convert('P')
    image.putpalette(COLOURS.tobytes())
    return image


@pytest.mark.parametrize('options', [
    {}, dict(transparency=1), dict(transparency=bytes([255, 0, 128, 0, 255, 7]))])
def test_palette_colours_with_and_without_transparency(tmp_path: Path, options: dict) -> None:
    path = saved(palette_image(), tmp_path / 'a.png', **options)
    assert Image.open(path).mode == 'P'
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert np.array_equal(read(path), COLOURS)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(Image.fromarray(blocks()).convert('CMYK'), tmp_path / 'a.jpg', quality=100)
    assert Image.open(path).mode == 'CMYK'
    np.testing.assert_allclose(read(path).astype(int), blocks().astype(int), atol=5)


@pytest.mark.parametrize('name, mode, dtype', [
    ('a.png', 'I;16', '<u2'), ('a.tiff', 'I;16', '<u2'), ('a.tiff', 'I;16B', '>u2')])
def test_16_bit_grey_is_scaled_not_clipped(
        tmp_path: Path, name: str, mode: str, dtype: str) -> None:
    ramp = np.arange(2**16, dtype=dtype).reshape(256, 256)
    path = saved(Image.frombytes(mode, (256, 256), ramp.tobytes()), tmp_path / name)
    assert Image.open(path).mode.startswith('I;16')
    # row i holds the levels 256 i to 256 i + 255
    expected = np.arange(256, dtype=np.uint8)[:, None, None].repeat(256, 1).repeat(3, 2)
    assert np.array_equal(read(path), expected)


# What row 0 and column 0 of the file show, by the EXIF standard: 1 is top and left.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],  # top, right
    3: lambda upright: upright[::-1, ::-1],  # bottom, right
    4: lambda upright: upright[::-1],  # bottom, left
    5: lambda upright: upright.transpose(1, 0, 2),  # left, top
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],  # right, top
    7: lambda upright: upright.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],  # left, bottom
}


@pytest.mark.parametrize('orientation', STORED)
@pytest.mark.parametrize('suffix', ['png', 'jpg'])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](blocks()))
    path = saved(Image.fromarray(stored), tmp_path / f'a.{suffix}', exif=exif, quality=100,
                 subsampling=0)
    results = LoadRGBImage()(dict(img_path=path))
    np.testing.assert_allclose(results['img'].astype(int), blocks().astype(int),
                               atol=0 if suffix == 'png' else 5)
    assert results['img_shape'] == results['ori_shape'] == (48, 32)


def one_line_error(path: Path) -> str:
    with pytest.raises(InputError) as error:
        LoadRGBImage()(dict(img_path=str(path)))
    message = str(error.value)
    assert str(path) in message and '\n' not in message
    return message


@pytest.mark.parametrize('name', ['a.jpg', 'a.png', 'a.webp', 'a.bmp', 'a.tiff'])
@pytest.mark.parametrize('share', [0.05, 0.5, 0.9])
def test_truncated_files(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    saved(Image.fromarray(noise), path)
    content = path.read_bytes()
    path.write_bytes(content[:int(len(content) * share)])
    assert 'cannot read the image' in one_line_error(path)


@pytest.mark.parametrize('content', [b'', b'not an image\n' * 20, b'<html>\n404\n</html>'])
def test_files_that_are_no_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(content)
    assert 'cannot read the image' in one_line_error(path)


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    assert 'no such image' in one_line_error(tmp_path / 'missing.jpg')
    assert 'cannot read the image' in one_line_error(tmp_path)


def test_large_images_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / 'bomb.bmp'
    Image.fromarray(blocks()).save(path)
    content = bytearray(path.read_bytes())
    content[18:26] = struct.pack('<ii', 20000, 20000)  # of which there are 48 x 32
    path.write_bytes(content)
    assert 'max_pixels=67108864' in one_line_error(path)
    # With a limit that lets it pass, it is decoded, which fails otherwise.
    with pytest.raises(UnreadableImageError) as error:
        LoadRGBImage(max_pixels=20000**2)(dict(img_path=str(path)))
    assert 'max_pixels' not in str(error.value)


@pytest.mark.parametrize('name', ['a.png', 'a.webp', 'a.tiff', 'a.jpg'])
@pytest.mark.parametrize('pillows', [10, 500, 10**6])
def test_only_our_own_limit_counts(tmp_path: Path, name: str, pillows: int,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Image.fromarray(blocks()), tmp_path / name)  # 1,536 pixels
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', pillows)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        img = LoadRGBImage(max_pixels=1536)(dict(img_path=path))['img']
        # nor does it fail when its largest box is cropped
        ConMIMTwoViews(size=32, scale=(1., 1.), perturbation=None)(dict(img=img))
    assert img.shape == (48, 32, 3)
    for too_few in (1535, 500):  # Pillow would warn of the one and refuse the other
        with pytest.raises(UnreadableImageError, match=f'max_pixels={too_few}'), \
                warnings.catch_warnings():
            warnings.simplefilter('ignore')
            LoadRGBImage(max_pixels=too_few)(dict(img_path=path))
    assert Image.MAX_IMAGE_PIXELS == pillows  # for everybody else


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name; the path is of what it leaves when it runs."""
    program = tmp_path / 'bin' / 'gs'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ntouch {tmp_path}/ran\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{program.parent}:{os.environ["PATH"]}')
    return tmp_path / 'ran'


EPS = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n'


def test_no_image_starts_a_program(tmp_path: Path, ghostscript: Path) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(EPS)
    assert 'not an image' in one_line_error(path)
    with pytest.raises(OSError):  # as mmseg's and mmdet's loaders read label maps
        mmcv.imfrombytes(EPS, backend='pillow')
    assert not ghostscript.exists()


def test_every_place_names_the_formats_it_opens() -> None:
    for folder in ('conmim_mm', 'tools'):
        for path in (ROOT / folder).rglob('*.py'):
            calls = path.read_text().split('Image.open(')[1:]
            assert all('formats=FORMATS)' in call[:80] for call in calls), path


def test_pipes_devices_and_what_is_too_large(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'zero.png').symlink_to('/dev/zero')
    with (tmp_path / 'large.tif').open('wb') as file:
        file.truncate(loading.MAX_BYTES + 1)
    for name, words in {'pipe.jpg': 'not a regular file', 'zero.png': 'not a regular file',
                        'large.tif': 'bytes, more than any image'}.items():
        assert words in one_line_error(tmp_path / name)
        with pytest.raises(UnreadableImageError, match=words):
            open_image(str(tmp_path / name), 10**6)


def scans(count: int, trailer: bytes = b'') -> bytes:
    """A progressive JPEG file of so many scans, which refine nothing."""
    file = io.BytesIO()
    Image.fromarray(blocks()).convert('L').save(file, 'JPEG', progressive=True)
    data = file.getvalue()
    start = data.rindex(b'\xff\xda')
    before, last = data[:start], data[start:-2]
    return before + last * (count - before.count(b'\xff\xda')) + b'\xff\xd9' + trailer


@pytest.mark.parametrize('count, trailer, words', [
    (loading.MAX_SCANS, b'', None), (loading.MAX_SCANS, b'\xff\xda\0\0' * 99, None),
    (loading.MAX_SCANS + 1, b'', 'more than 50 scans'), (3000, b'', 'more than 50 scans')])
def test_scans_are_limited(tmp_path: Path, count: int, trailer: bytes, words: str | None) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(scans(count, trailer))
    if words is None:
        np.testing.assert_allclose(read(str(path)), open_image(str(path), 10**6).region(
            (0, 0, 32, 48), (64, 64)), atol=2)
        return
    assert words in one_line_error(path)
    with pytest.raises(UnreadableImageError, match=words):
        open_image(str(path), 10**6)


def test_a_size_of_zero(tmp_path: Path) -> None:
    path = tmp_path / 'a.bmp'
    Image.fromarray(blocks()).save(path)
    content = bytearray(path.read_bytes())
    content[18:22] = struct.pack('<i', 0)
    path.write_bytes(content)
    assert 'cannot read the image' in one_line_error(path)


def test_a_limit_of_no_pixels() -> None:
    with pytest.raises(InputError, match='max_pixels must be positive'):
        LoadRGBImage(max_pixels=0)


@pytest.mark.parametrize('cause, reason', [
    (PermissionError(errno.EACCES, 'Permission denied'), 'Permission denied'),
    (MemoryError(), 'MemoryError'), (KeyError(7), '7'), (SyntaxError('a\nb'), 'a b')])
def test_whatever_a_decoder_raises(tmp_path: Path, cause: Exception, reason: str,
                                   monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise cause

    path = saved(Image.fromarray(blocks()), tmp_path / 'a.png')
    monkeypatch.setattr(PngImageFile, 'load', fails)
    with pytest.raises(UnreadableImageError) as error:
        read_rgb(path)
    assert error.value.reason == reason
    assert str(error.value) == f'cannot read the image {path}: {reason}'


def test_pack_gives_what_the_model_takes() -> None:
    student = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    mask = np.array([[True, False, False], [False, False, True]])
    packed = PackConMIMInputs()(dict(
        student_view=student, teacher_view=255 - student, mask=mask, img_path='a.jpg',
        skipped=[('b.jpg', 'not an image')]))
    inputs = packed['inputs']
    assert set(packed) == {'inputs', 'data_samples'}
    assert set(inputs) == {'student_view', 'teacher_view', 'mask'}
    assert inputs['student_view'].shape == (3, 4, 6)
    assert inputs['student_view'].dtype == inputs['teacher_view'].dtype == torch.uint8
    assert inputs['student_view'][2, 1, 3] == student[1, 3, 2]
    assert torch.equal(inputs['teacher_view'], 255 - inputs['student_view'])
    assert inputs['mask'].dtype == torch.bool
    assert inputs['mask'].tolist() == [True, False, False, False, False, True]
    assert packed['data_samples'].img_path == 'a.jpg'
    assert packed['data_samples'].skipped == [('b.jpg', 'not an image')]


def test_whole_pipeline_hides_the_patches_it_says(tmp_path: Path) -> None:
    results = dict(img_path=saved(Image.fromarray(blocks()), tmp_path / 'a.png'))
    for step in (LoadRGBImage(), ConMIMTwoViews(size=(32, 64), perturbation=None),
                 RandomPatchMask(img_size=(32, 64), patch_size=8, block_size=16, mask_ratio=0.5),
                 PackConMIMInputs()):
        results = step(results)
    inputs = results['inputs']
    assert inputs['student_view'].shape == inputs['teacher_view'].shape == (3, 32, 64)
    assert inputs['mask'].shape == (32,) and inputs['mask'].sum() == 16
    # 16-pixel blocks of 8-pixel patches: rows 0 and 1, columns 0 and 1 go together
    grid = inputs['mask'].view(2, 2, 4, 2)
    assert torch.equal(grid.all(dim=3).all(dim=1), grid.any(dim=3).any(dim=1))
