"""Two views of a file, of which no more is decoded than they need."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conmim_mm.datasets import (
    ConMIMTwoViews,
    LoadRGBImage,
    LoadTwoViews,
    PackConMIMInputs,
    RandomPatchMask,
    SampleIndex,
)
from conmim_mm.datasets.transforms import jpeg_region, two_views
from conmim_mm.datasets.transforms.two_views import random_crop_box
from conmim_mm.errors import InputError, UnreadableImageError

from .test_jpeg_region import smooth


def saved(tmp_path: Path, name: str, image: np.ndarray, **options) -> str:
    path = tmp_path / name
    Image.fromarray(image).save(path, **options)
    return str(path)


def views(pipeline: list, path: str, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    results = dict(img_path=path, sample_idx=SampleIndex(index, 3, 4))
    for transform in [*pipeline, RandomPatchMask(img_size=64, patch_size=16)]:
        results = transform(results)
    return (results['student_view'].astype(int), results['teacher_view'].astype(int),
            results['mask'])


@pytest.mark.parametrize('name, options', [
    ('a.jpg', dict(quality=95)), ('a.jpg', dict(quality=95, subsampling=0, progressive=True)),
    ('a.png', {}), ('a.webp', dict(lossless=True))])
def test_views_and_mask_are_those_of_the_whole_image(
        tmp_path: Path, name: str, options: dict) -> None:
    path = saved(tmp_path, name, smooth(100, 120), **options)
    perturbation = dict(solarise_prob=0.)  # which makes one level more or less a large difference
    whole = [LoadRGBImage(), ConMIMTwoViews(size=64, perturbation=perturbation)]
    in_part = [LoadTwoViews(size=64, perturbation=perturbation)]
    for index in range(12):
        expected, seen = views(whole, path, index), views(in_part, path, index)
        assert all(np.abs(a - b).max() <= 6 and np.abs(a - b).mean() < 0.3
                   for a, b in zip(expected[:2], seen[:2], strict=True))
        assert np.array_equal(expected[2], seen[2])


def test_large_crops_are_seen_alike(tmp_path: Path) -> None:
    y, x = np.mgrid[:1600, :2000]
    waves = [127 + 120 * np.sin(x / 150 + y / 210), 127 + 120 * np.cos(x / 170 - y / 130), x // 8]
    path = saved(tmp_path, 'a.jpg', np.stack(waves, axis=-1).astype(np.uint8), quality=95)
    whole = [LoadRGBImage(), ConMIMTwoViews(size=64, perturbation=None)]
    in_part = [LoadTwoViews(size=64, perturbation=None)]
    gaps = [np.abs(views(whole, path, index)[0] - views(in_part, path, index)[0]).mean()
            for index in range(6)]
    assert max(gaps) < 3  # a box's edges lie up to half a reduced pixel aside


def test_no_more_is_decoded_than_the_crop_needs(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, 'a.jpg', smooth(800, 1000))
    decode, shapes = jpeg_region._decode, []

    def recorder(data: bytearray, rows: int, columns: int, shrink: int) -> np.ndarray:
        shapes.append((rows, columns, shrink))
        return decode(data, rows, columns, shrink)

    monkeypatch.setattr(jpeg_region, '_decode', recorder)
    loader = LoadTwoViews(size=64)
    for seed in range(30):
        source = np.random.default_rng(seed)
        loader(dict(img_path=path, rng=np.random.default_rng(seed)))
        source.random()
        left, top, right, bottom = random_crop_box((1000, 800), (0.08, 1.), (3 / 4, 4 / 3), source)
        rows, columns, shrink = shapes.pop()
        side = min(right - left, bottom - top)
        assert columns == 1000 and rows == min(bottom + 2 * shrink, 800)
        assert shrink == (8 if side >= 512 else 4 if side >= 256 else 2)


def test_reduced_images_do_not_alias(tmp_path: Path) -> None:
    """Stripes too fine for the views become grey, as they do when the whole image is resized."""
    stripes = np.zeros((1024, 1024, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    path = saved(tmp_path, 'a.jpg', stripes, quality=100, subsampling=0)
    for index in range(5):
        view = views([LoadTwoViews(size=64, scale=(0.5, 1.), perturbation=None)], path, index)[0]
        assert np.abs(view - 127.5).max() < 4
        nearest = np.asarray(Image.open(path).resize((64, 64), Image.Resampling.NEAREST))
        assert nearest.std() > 100 or nearest.mean() in (0, 255)  # what aliasing would look like


def test_views_keep_their_pixels(tmp_path: Path) -> None:
    """What the decoder writes into is used again for the next image."""
    settings = dict(size=64, scale=(1., 1.), ratio=(1., 1.), perturbation=None)
    paths = [saved(tmp_path, f'{name}.jpg', image) for name, image in
             dict(a=smooth(64, 64), b=255 - smooth(64, 64)).items()]
    first = LoadTwoViews(**settings)(dict(img_path=paths[0]))['student_view']
    before = first.copy()
    assert not np.array_equal(LoadTwoViews(**settings)(dict(img_path=paths[1]))['student_view'],
                              before)
    assert np.array_equal(first, before)


def test_a_files_content_may_come_with_the_sample(tmp_path: Path) -> None:
    path = saved(tmp_path, 'a.jpg', smooth(100, 120))
    results = dict(img_path='shard.tar/a.jpg', img_bytes=Path(path).read_bytes())
    for loader in ([LoadTwoViews(size=64)], [LoadRGBImage(), ConMIMTwoViews(size=64)]):
        seen = results | dict(sample_idx=SampleIndex(1))
        expected = dict(img_path=path, sample_idx=SampleIndex(1))
        for transform in loader:
            seen, expected = transform(seen), transform(expected)
        assert np.array_equal(seen['teacher_view'], expected['teacher_view'])
    with pytest.raises(UnreadableImageError, match='shard.tar/a.jpg: not an image'):
        LoadTwoViews()(dict(img_path='shard.tar/a.jpg', img_bytes=b'no image'))


def test_device_perturbation_leaves_the_teachers_view_to_the_model(tmp_path: Path) -> None:
    path = saved(tmp_path, 'a.jpg', smooth(100, 120))
    sample = dict(img_path=path, sample_idx=SampleIndex(1), mask=np.ones((4, 4), dtype=bool))
    here = PackConMIMInputs()(LoadTwoViews(size=64)(dict(sample)))['inputs']
    there = PackConMIMInputs()(LoadTwoViews(
        size=64, perturbation=dict(type='DevicePerturbation'))(dict(sample)))['inputs']
    assert set(there) == {'student_view', 'perturbation', 'mask'}
    assert torch.equal(here['student_view'], there['student_view'])
    assert there['perturbation'].shape == (11,) and there['perturbation'].dtype == torch.float32


def test_a_file_that_the_decoder_refuses_is_the_plain_readers(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, 'a.jpg', smooth(100, 120))
    expected = views([LoadTwoViews(size=64)], path, 0)

    def refuses(*_: object) -> None:
        raise ValueError('premature end of data segment')

    monkeypatch.setattr(jpeg_region, '_decode', refuses)
    asked, read_rgb = [], two_views.read_rgb
    monkeypatch.setattr(two_views, 'read_rgb', lambda *args: asked.append(1) or read_rgb(*args))
    seen = views([LoadTwoViews(size=64)], path, 0)
    assert asked and all(np.abs(a - b).mean() < 1 for a, b in zip(expected[:2], seen[:2],
                                                                  strict=True))


def test_without_the_decoder_it_works_and_says_once_that_it_is_slower(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, 'a.jpg', smooth(100, 120))
    expected = views([LoadTwoViews(size=64)], path, 0)
    monkeypatch.setattr(jpeg_region, 'simplejpeg', None)
    said = []
    monkeypatch.setattr(jpeg_region, 'print_log', lambda message, **_: said.append(message))
    jpeg_region.announce_missing_decoder.cache_clear()
    loaders = [LoadTwoViews(size=64) for _ in range(3)]
    jpeg_region.announce_missing_decoder.cache_clear()
    assert len(said) == 1 and 'slower' in said[0] and 'pip install simplejpeg' in said[0]
    seen = views([loaders[2]], path, 0)
    assert all(np.abs(a - b).mean() < 1 for a, b in zip(expected[:2], seen[:2], strict=True))


@pytest.mark.parametrize('content, words', [
    (b'', 'not an image'), (b'\xff\xd8\xff\xe0 no JPEG', 'Truncated'), (None, 'no such image')])
def test_unreadable_files(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / 'a.jpg'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=words):
        LoadTwoViews()(dict(img_path=str(path)))


@pytest.mark.filterwarnings('ignore')  # Pillow's, of a limit that it takes for its own
def test_limit_of_pixels(tmp_path: Path) -> None:
    path = saved(tmp_path, 'a.jpg', smooth(100, 120))
    LoadTwoViews(max_pixels=12000)(dict(img_path=path))
    with pytest.raises(UnreadableImageError, match='more pixels than max_pixels=11999'):
        LoadTwoViews(max_pixels=11999)(dict(img_path=path))
    with pytest.raises(InputError, match='max_pixels must be positive'):
        LoadTwoViews(max_pixels=0)
    with pytest.raises(InputError, match='no channel_order; remove it'):
        LoadTwoViews(channel_order='bgr')
