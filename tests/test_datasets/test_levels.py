"""From stored pixels to grey levels, and to views of them."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from conmim_mm.datasets import (
    ConMIMTwoViews,
    ImageReading,
    LoadImage,
    LoadRGBImage,
    LoadTwoViews,
    PackConMIMInputs,
    RandomPatchMask,
)
from conmim_mm.datasets.image_formats.stored import Stored
from conmim_mm.datasets.reading import read_levels
from conmim_mm.errors import InputError, UnreadableImageError
from conmim_mm.models import ConMIMDataPreprocessor

NAN, INF = float('nan'), float('inf')


@pytest.mark.parametrize('value_range, dtype, values, expected', [
    (None, 'uint8', [0, 7, 255], [0, 7, 255]), ('dtype', 'uint8', [0, 7, 255], [0, 7, 255]),
    (None, 'uint16', [0, 257, 65535], [0, 1, 255]), ('dtype', 'int16', [-32768, 32767], [0, 255]),
    ((0, 4095), 'uint16', [0, 2048, 4095, 9999], [0, 127.5311, 255, 255]),
    ((-1000, 1000), 'int16', [-3000, -1000, 0, 1000], [0, 0, 127.5, 255]),
    ((2**31, 2**31 + 10), 'uint32', [2**31, 2**31 + 5, 2**31 + 10], [0, 127.5, 255]),
    (None, 'float32', [-1, 0.4, 255, 300], [0, 0.4, 255, 255]), (None, 'bool', [0, 1], [0, 255]),
    ((0, 1), 'float16', [0, 0.5, 1], [0, 127.5, 255]),
    ((5, 15), 'float32', [NAN, INF, -INF, 10], [0, 0, 0, 127.5]),
    ((0, 51), 'uint8', [0, 10, 51, 60], [0, 50, 255, 255])])
def test_levels(value_range: object, dtype: str, values: list, expected: list) -> None:
    pixels = np.array(values, dtype=dtype).reshape(1, -1, 1)
    levels = ImageReading(1, value_range).levels(pixels)
    np.testing.assert_allclose(levels.ravel(), expected, atol=1e-4)
    assert levels.dtype == ('uint8' if expected == values and dtype == 'uint8' else 'float32')
    negative = ImageReading(1, value_range).levels(pixels, Stored(pixels, is_negative=True))
    # what is no number is black either way
    inverted = np.where(np.isfinite(pixels.ravel().astype(float)), 255 - np.array(expected), 0)
    np.testing.assert_allclose(negative.ravel(), inverted, atol=1e-4)


def test_floats_have_no_range_of_their_own() -> None:
    with pytest.raises(InputError, match='give --value-range LOW HIGH, or auto'):
        ImageReading(1, 'dtype').levels(np.zeros((1, 1, 1), np.float32))


@pytest.mark.parametrize('keys, reason', [
    (dict(channels=0), 'channels must be 1 or more, but is 0'),
    (dict(value_range=(5, 5)), r'low below high.*\(5, 5\)'),
    (dict(value_range=(0, INF)), 'low below high'), (dict(value_range='auto'), 'low below high'),
    (dict(value_range=[1]), 'low below high'), (dict(bands_from='files'), 'channels, pages'),
    (dict(view_dtype='int8'), "uint8, float32, but is 'int8'"),
    (dict(bands=3), 'reading has no key bands; it has channels, ')])
def test_wrong_keys(keys: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        TRANSFORMS.build(dict(type='mmpretrain.LoadImage', reading=keys))


def test_keys_and_back() -> None:
    how = ImageReading(13, [0, 10000], view_dtype='float32')
    assert how.keys() == dict(channels=13, value_range=(0, 10000), view_dtype='float32')
    assert ImageReading.from_keys(how.keys()) == how and not how.is_rgb
    assert ImageReading.from_keys(None).is_rgb and ImageReading().keys() == {}


@pytest.fixture
def tile(tmp_path: Path) -> tuple[str, np.ndarray]:
    """A file of 13 bands whose values differ by less than 8 bits of 16 tell, and its pixels."""
    y, x = np.mgrid[:60, :80]
    pixels = np.stack([2000 + 3 * y * (k % 3) + 2 * x + k for k in range(13)], axis=-1)
    tifffile.imwrite(tmp_path / 'a.tif', pixels.astype('uint16'), photometric='minisblack',
                     planarconfig='contig')
    return str(tmp_path / 'a.tif'), pixels


def test_a_whole_image(tile) -> None:
    path, pixels = tile
    keys = dict(channels=13, value_range=(2000, 2510))
    results = LoadImage(keys)(dict(img_path=path))
    exact = np.clip((pixels - 2000) / 2, 0, 255)
    assert results['img'].dtype == np.uint8 and np.abs(results['img'] - exact).max() <= 0.5
    assert results['img_shape'] == results['ori_shape'] == (60, 80)
    floats = LoadImage(keys | dict(view_dtype='float32'))(dict(img_path=path))['img']
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, exact, atol=1e-4)


@pytest.mark.parametrize('view_dtype, most', [('uint8', 0.51), ('float32', 1e-3)])
def test_views_keep_the_depth(tile, view_dtype: str, most: float) -> None:
    """They are resized before they are rounded, and are the crops of the image in floats."""
    path, pixels = tile
    keys = dict(channels=13, value_range=(1900, 2500), view_dtype=view_dtype)
    exact = ((pixels - 1900) / 600 * 255).astype(np.float32)
    for seed in range(5):
        rng = {'rng': np.random.default_rng(seed)}
        view = LoadTwoViews(reading=keys, size=32, perturbation=None)(
            dict(img_path=path) | rng)['student_view']
        expected = ConMIMTwoViews(size=32, perturbation=None)(
            dict(img=exact, rng=np.random.default_rng(seed)))['student_view']
        assert view.dtype == view_dtype and view.shape == (32, 32, 13)
        assert np.abs(view - expected.clip(0, 255)).max() <= most


@pytest.mark.parametrize('view_dtype', ['uint8', 'float32'])
def test_up_to_the_model(tile, view_dtype: str) -> None:
    steps = [LoadTwoViews(reading=dict(channels=13, view_dtype=view_dtype), size=32),
             RandomPatchMask(img_size=32, patch_size=16), PackConMIMInputs()]
    results = dict(img_path=tile[0])
    for step in steps:
        results = step(results)
    inputs = {key: value[None] for key, value in results['inputs'].items()}
    assert inputs['student_view'].dtype == getattr(torch, view_dtype)
    assert inputs['student_view'].shape == inputs['teacher_view'].shape == (1, 13, 32, 32)
    preprocessor = ConMIMDataPreprocessor(mean=range(13), std=range(1, 14))
    views = preprocessor(dict(inputs=inputs))['inputs']
    for name in ('student_view', 'teacher_view'):
        expected = (inputs[name].numpy() - np.arange(13)[:, None, None]) / np.arange(
            1, 14)[:, None, None]
        np.testing.assert_allclose(views[name].numpy(), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match='the images have 13 channels, and .* means of 3'):
        ConMIMDataPreprocessor()(dict(inputs=inputs))


@pytest.mark.parametrize('name', ['a.png', 'a.jpg', 'a.webp'])
def test_eight_bits_stay_what_they_are(tmp_path: Path, name: str) -> None:
    """Whichever way leads to them."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype='uint8')
    Image.fromarray(pixels).save(tmp_path / name)
    path = str(tmp_path / name)
    expected = LoadRGBImage()(dict(img_path=path))['img']
    assert np.array_equal(read_levels(path), expected)
    for how in (ImageReading(view_dtype='float32'), ImageReading(3, (0, 255))):
        levels = read_levels(path, how)
        assert levels.dtype == how.view_dtype and np.array_equal(levels, expected)
    views = [LoadTwoViews(reading=keys, size=16, perturbation=None)(dict(
        img_path=path, rng=np.random.default_rng(0)))['student_view']
        for keys in (None, {}, dict(channels=3), dict(value_range=(0, 255)))]
    assert all(np.array_equal(view, views[0]) for view in views)


def test_a_view_of_what_has_no_range_is_unreadable(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / 'a.tif', np.ones((20, 20), np.float32))
    with pytest.raises(UnreadableImageError, match='floats have no range'):
        LoadTwoViews(reading=dict(channels=1, value_range='dtype'))(
            dict(img_path=str(tmp_path / 'a.tif')))
