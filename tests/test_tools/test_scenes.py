"""The generated scenes: layouts, determinism, and that colour does not tell the class."""

import hashlib
import json
import os
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image
from scenes import (
    ADE_CLASS_NAMES,
    CLASS_NAMES,
    SceneSettings,
    classification_image,
    make_scenes,
    min_visible_pixels,
    scene_image,
)
from scenes.coco import rle
from scenes.shapes import CLASSES

from ..conftest import load_tool

SETTINGS = SceneSettings(images=40, size=48, seed=5, val=20)
SPLITS = {'train': ('training', 'train2017', 40, 10), 'val': ('validation', 'val2017', 20, 5)}


def tree_hash(folder):
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp('scenes') / 'data'
    assert make_scenes(out, SETTINGS) is True
    return out


# Determinism


def test_bytes_do_not_depend_on_the_workers(made, tmp_path):
    make_scenes(tmp_path / 'two', SETTINGS, workers=2)
    assert tree_hash(tmp_path / 'two') == tree_hash(made)


def test_another_seed_gives_other_pictures():
    for split in SPLITS:
        a, b = (classification_image(seed, split, 3, 32) for seed in (0, 1))
        assert np.abs(a.astype(int) - b).mean() > 10
    a, b = (classification_image(0, split, 3, 32) for split in SPLITS)
    assert np.abs(a.astype(int) - b).mean() > 10


def test_more_pictures_leave_the_first_ones_as_they_are(made, tmp_path):
    make_scenes(tmp_path / 'more', SceneSettings(images=60, size=48, seed=5, val=30))
    for path in made.rglob('*'):
        if path.suffix in ('.jpg', '.png'):
            assert path.read_bytes() == (tmp_path / 'more' / path.relative_to(made)).read_bytes()
    name = 'coco/annotations/instances_train2017.json'
    few, many = (json.loads((d / name).read_text()) for d in (made, tmp_path / 'more'))
    assert many['annotations'][: len(few['annotations'])] == few['annotations']


def test_the_generator_version_stands_for_these_bytes():
    # A change that moves pixels must raise GENERATOR_VERSION and these numbers with it. The means
    # rather than a hash: they stand a rounding that another machine might do differently.
    image = classification_image(0, 'train', 0, 64)
    scene = scene_image(0, 'train', 0, 64)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), IMAGE_MEANS, atol=0.05)
    np.testing.assert_allclose(scene.image.mean(axis=(0, 1)), SCENE_MEANS, atol=0.05)
    assert scene.labels == SCENE_LABELS


IMAGE_MEANS = (114.93, 80.16, 150.04)
SCENE_MEANS = (162.53, 140.80, 120.17)
SCENE_LABELS = [0, 1, 2]


# Layouts


@pytest.mark.parametrize('split', SPLITS)
def test_imagenet_layout_is_balanced(made, split):
    count = SPLITS[split][2]
    folders = sorted(p.name for p in (made / 'imagenet' / split).iterdir())
    assert folders == sorted(CLASS_NAMES)
    for label, name in enumerate(CLASS_NAMES):
        files = sorted((made / 'imagenet' / split / name).iterdir())
        assert [int(f.stem) for f in files] == list(range(label, count, 10))
        with Image.open(files[0]) as image:
            assert (image.size, image.mode, image.format) == ((48, 48), 'RGB', 'JPEG')


@pytest.mark.parametrize('split', SPLITS)
def test_ade_layout_has_no_unlabelled_pixel(made, split):
    ade, coco, _, count = SPLITS[split]
    images = sorted((made / 'ade' / 'images' / ade).iterdir())
    maps = sorted((made / 'ade' / 'annotations' / ade).iterdir())
    assert len(images) == count and [p.stem for p in images] == [p.stem for p in maps]
    seen = set()
    for image, label_map in zip(images, maps, strict=True):
        with Image.open(label_map) as opened:
            assert opened.mode == 'L' and opened.size == (48, 48)
            values = np.unique(np.asarray(opened))
        assert values.min() == 1 and values.max() <= len(ADE_CLASS_NAMES) == 11
        seen.update(values.tolist())
        assert image.read_bytes() == (made / 'coco' / coco / image.name).read_bytes()
    assert len(seen) > 5


@pytest.mark.parametrize('split', SPLITS)
def test_coco_layout_agrees_with_the_label_maps(made, split):
    api = pytest.importorskip('pycocotools.coco')
    ade, coco, _, count = SPLITS[split]
    data = api.COCO(str(made / 'coco' / 'annotations' / f'instances_{coco}.json'))
    assert [c['name'] for c in data.loadCats(range(1, 11))] == list(CLASS_NAMES)
    assert len(data.imgs) == count and min(data.imgs) == 1 and min(data.anns) > 0
    for image_id, image in data.imgs.items():
        assert (made / 'coco' / coco / image['file_name']).is_file()
        painted = np.ones((48, 48), np.uint8)
        for entry in data.loadAnns(data.getAnnIds(image_id)):
            mask = data.annToMask(entry).astype(bool)
            ys, xs = np.nonzero(mask)
            assert entry['area'] == mask.sum() >= min_visible_pixels(48)
            box = [xs.min(), ys.min(), xs.max() + 1 - xs.min(), ys.max() + 1 - ys.min()]
            assert entry['bbox'] == box and entry['iscrowd'] == 0
            assert (painted[mask] == 1).all()  # visible parts do not overlap
            painted[mask] = entry['category_id'] + 1
        name = Path(image['file_name']).with_suffix('.png')
        truth = np.asarray(Image.open(made / 'ade' / 'annotations' / ade / name))
        np.testing.assert_array_equal(painted, truth)


def test_meta_tells_what_the_folder_holds(made):
    meta = json.loads((made / 'meta.json').read_text())
    assert (meta['seed'], meta['size'], meta['images'], meta['val']) == (5, 48, 40, 20)
    assert meta['counts'] == {
        'classification': {'train': 40, 'val': 20},
        'scene': {'train': 10, 'val': 5},
    }
    assert meta['class_names'] == list(CLASS_NAMES)


def test_run_lengths_by_hand():
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert rle(mask) == {'size': [2, 3], 'counts': [2, 3, 1]}
    assert rle(~mask) == {'size': [2, 3], 'counts': [0, 2, 3, 1]}


# Pictures


def test_every_object_varies_within_its_class():
    for shape in CLASSES:
        plans = {
            tuple(np.round(np.concatenate([p.points for p in shape.build(rng)]), 3).ravel())
            for rng in map(np.random.default_rng, range(5))
        }
        assert len(plans) == 5, shape.name


def test_scenes_hold_several_objects_of_every_class():
    scenes = [scene_image(0, 'val', index, 64) for index in range(40)]
    counts = [len(scene.labels) for scene in scenes]
    assert max(counts) >= 5 and np.mean(counts) > 2.5
    assert {label for scene in scenes for label in scene.labels} == set(range(10))
    for scene in scenes:
        sizes = np.bincount(scene.instances.ravel(), minlength=len(scene.labels) + 1)[1:]
        assert len(sizes) == len(scene.labels) and (sizes >= min_visible_pixels(64)).all()


def colour_features(split, count):
    rows = []
    for index in range(count):
        pixels = classification_image(0, split, index, 40).reshape(-1, 3)
        cells = (pixels // 64).astype(int) @ (16, 4, 1)
        shares = np.bincount(cells, minlength=64) / len(pixels)
        moments = (pixels.mean(axis=0) / 255, pixels.std(axis=0) / 255)
        rows.append(np.concatenate([*moments, np.sqrt(shares)]))
    return np.array(rows), np.arange(count) % 10


def test_colour_does_not_tell_the_class():
    (x, y), (test_x, test_y) = colour_features('train', 600), colour_features('val', 300)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-3
    x, test_x = (x - mean) / std, (test_x - mean) / std
    distance = ((test_x[:, None] - x[None]) ** 2).sum(axis=2)
    nearest = y[np.argsort(distance, axis=1, kind='stable')[:, :15]]
    voted = np.array([np.bincount(row, minlength=10).argmax() for row in nearest])
    x1, test_x1 = (np.hstack([a, np.ones((len(a), 1))]) for a in (x, test_x))
    weights = np.linalg.solve(x1.T @ x1 + 10 * np.eye(x1.shape[1]), x1.T @ np.eye(10)[y])
    ridge = (test_x1 @ weights).argmax(axis=1)
    # Chance is 0.10 with a standard deviation of 0.017.
    assert (voted == test_y).mean() < 0.17
    assert (ridge == test_y).mean() < 0.17


# Repeating, refusing


def write(argv):
    tool = load_tool('dataset_converters/make_scenes.py')
    with mock.patch('sys.argv', ['make_scenes.py', *argv]):
        tool.run_tool(tool.main)


def test_repeating_does_nothing(made, capsys):
    def stamps():
        return {p: os.stat(p).st_mtime_ns for p in made.rglob('*')}

    before = stamps()
    write([str(made), *'--images 40 --size 48 --seed 5 --val 20'.split()])
    assert 'already there' in capsys.readouterr().out
    assert stamps() == before


def test_interrupted_and_damaged_folders_are_completed(made, tmp_path):
    out = tmp_path / 'data'
    assert make_scenes(out, SETTINGS, done=lambda count: None)
    whole = tree_hash(out)
    (out / 'imagenet' / 'val' / CLASS_NAMES[0] / '000010.jpg').unlink()
    assert make_scenes(out, SETTINGS) is True and tree_hash(out) == whole

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / 'cut', SETTINGS, done=interrupt)
    assert not (tmp_path / 'cut' / 'meta.json').exists()
    assert make_scenes(tmp_path / 'cut', SETTINGS) is True
    assert tree_hash(tmp_path / 'cut') == whole


def refused(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        write(argv)
    captured = capsys.readouterr()
    assert stop.value.code == 2 and captured.out == ''
    return captured.err.splitlines()[-1]


def test_other_settings_and_foreign_folders_are_refused(made, tmp_path, capsys):
    before = tree_hash(made)
    line = refused([str(made), *'--images 40 --size 48 --seed 6 --val 20'.split()], capsys)
    assert str(made) in line and 'remove it or choose another' in line and 'seed 5' in line
    assert tree_hash(made) == before
    (tmp_path / 'thesis.txt').write_text('mine')
    assert str(tmp_path) in refused([str(tmp_path), '--images', '10', '--size', '32'], capsys)
    (tmp_path / 'meta.json').write_text('[1]')
    assert str(tmp_path) in refused([str(tmp_path), '--images', '10', '--size', '32'], capsys)
    file = tmp_path / 'thesis.txt'
    assert 'not a folder' in refused([str(file), '--images', '10', '--size', '32'], capsys)
    assert refused([str(file / 'sub'), '--images', '10', '--size', '32'], capsys)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['meta.json', 'thesis.txt']


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        ('--images 9 --size 64', 'images'),
        ('--images 10 --size 31', 'size'),
        ('--images 10 --size 32 --seed -1', 'seed'),
        ('--images 10 --size 32 --val 9', 'val'),
        ('--images 10 --size 32 --workers 0', 'workers'),
        ('--images ten --size 32', 'images'),
        ('--size 32', 'images'),
        ('--images 10 --size 32 --colour', 'colour'),
    ],
)
def test_bad_arguments_are_one_line(tmp_path, capsys, options, word):
    out = tmp_path / 'out'
    assert word in refused([str(out), *options.split()], capsys)
    assert not out.exists()


def test_bad_values_in_the_library():
    with pytest.raises(ValueError, match='split'):
        classification_image(0, 'test', 0, 64)
    with pytest.raises(ValueError, match='negative'):
        scene_image(-1, 'train', 0, 64)
