import math

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter
from torchvision.transforms import RandomResizedCrop

from conmim_mm.datasets import ConMIMTwoViews
from conmim_mm.datasets.transforms.two_views import WholeImage, random_crop_box
from conmim_mm.errors import InputError

NEVER = dict(jitter_prob=0., grey_prob=0., blur_prob=0., solarise_prob=0.)
SCALE, RATIO = (0.08, 1.), (3 / 4, 4 / 3)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(height: int = 48, width: int = 64) -> np.ndarray:
    return rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ramps(side: int = 120) -> np.ndarray:
    """Red tells x, green tells y: both twice the coordinate."""
    y, x = np.mgrid[:side, :side] * 2
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def views(img: np.ndarray, seed: int = 0, **settings) -> tuple[np.ndarray, np.ndarray]:
    results = ConMIMTwoViews(**settings)(dict(img=img, rng=rng(seed)))
    return results['student_view'], results['teacher_view']


def luma(view: np.ndarray) -> np.ndarray:
    """ITU-R 601-2, in the fixed-point form Pillow documents, on three channels."""
    weighted = view.astype(int) @ np.array([19595, 38470, 7471]) + 0x8000
    return (weighted >> 16).astype(np.uint8)[..., None].repeat(3, axis=-1)


def inverted(view: np.ndarray, threshold: int = 128) -> np.ndarray:
    return np.where(view < threshold, view, 255 - view)


def within(values: np.ndarray, mean: float, std: float, rounding: float = 0.) -> None:
    """The mean lies within five of its standard errors."""
    error = 5 * std / len(values)**0.5 + rounding
    assert abs(np.mean(values) - mean) < error, (np.mean(values), mean, error)


def test_views_are_equal_without_perturbation() -> None:
    for seed in range(5):
        student, teacher = views(noise(), seed, size=32, perturbation=None)
        assert np.array_equal(student, teacher)


@pytest.mark.parametrize('prob, function', [
    ('grey_prob', luma),
    ('solarise_prob', inverted),
])
def test_teacher_sees_the_students_pixels_perturbed(prob: str, function) -> None:
    for seed in range(20):  # flipped and unflipped ones, all kinds of boxes
        student, teacher = views(noise(), seed, size=(24, 40), perturbation=NEVER | {prob: 1.})
        assert student.std() > 20
        np.testing.assert_allclose(teacher.astype(int), function(student).astype(int), atol=1)


def test_steps_come_in_the_originals_order() -> None:
    settings = NEVER | dict(grey_prob=1., blur_prob=1., blur_radius=(1.5, 1.5), solarise_prob=1.)
    student, teacher = views(noise(), size=32, perturbation=settings)
    grey = Image.fromarray(luma(student))
    blurred = np.asarray(grey.filter(ImageFilter.GaussianBlur(1.5)))
    certain = np.abs(blurred.astype(int) - 128) > 12  # Pillow approximates the Gaussian
    gaps = np.abs(teacher.astype(int) - inverted(blurred))[certain]
    assert gaps.max() <= 12 and gaps.mean() < 3 and certain.mean() > 0.1


def test_views_do_not_share_pixels_with_each_other() -> None:
    img = noise()
    before = img.copy()
    student, _ = views(img, 3, size=32)
    alone, _ = views(img, 3, size=32, perturbation=None)
    assert np.array_equal(student, alone) and np.array_equal(img, before)


@pytest.mark.parametrize('flip_prob', [0., 1.])
def test_views_are_torchvisions_bicubic_crops(flip_prob: float) -> None:
    image = Image.fromarray(noise())
    for seed in range(5):
        source = rng(seed)
        source.random()  # whether to flip
        left, top, right, bottom = random_crop_box(image.size, SCALE, RATIO, source)
        expected = np.asarray(F.resized_crop(
            image, top, left, bottom - top, right - left, [24, 32],
            F.InterpolationMode.BICUBIC))
        student, _ = views(noise(), seed, size=(24, 32), flip_prob=flip_prob)
        student = student[:, ::-1] if flip_prob else student
        gaps = np.abs(student.astype(int) - expected)
        # Both cut what lies beyond black and white off between the axes, in another order.
        assert np.quantile(gaps, 0.99) <= 4 and gaps.mean() < 0.4


def test_half_of_the_views_are_flipped() -> None:
    """Always and never are above."""
    two_views, image, source = ConMIMTwoViews(size=8), WholeImage(ramps()), rng()
    rows = [two_views.crop(image, source)[4, :, 0].astype(int) for _ in range(1500)]
    within([row[0] > row[-1] for row in rows], 0.5, 0.5)


def test_boxes_have_the_area_and_aspect_asked_for() -> None:
    # At most half of a square at 4:3 always fits, so nothing is rejected and all is uniform.
    scale, side, source = (0.1, 0.5), 2000, rng()
    left, top, right, bottom = np.transpose(
        [random_crop_box((side, side), scale, RATIO, source) for _ in range(4000)])
    w, h = right - left, bottom - top
    area, aspect = w * h / side**2, np.log(w / h)
    assert 0.099 < area.min() < 0.11 and 0.49 < area.max() < 0.501
    limit = math.log(4 / 3) + 0.003
    assert -limit < aspect.min() < -0.27 and 0.27 < aspect.max() < limit
    within(area, 0.3, 0.4 / 12**0.5)
    within(area < 0.2, 0.25, (0.25 * 0.75)**0.5)
    within(aspect, 0., 2 * math.log(4 / 3) / 12**0.5)
    within(left / (side - w), 0.5, 12**-0.5, rounding=0.001)
    within(top / (side - h), 0.5, 12**-0.5, rounding=0.001)


def test_boxes_reach_every_border() -> None:
    source = rng()
    boxes = np.array([random_crop_box((6, 9), (0.1, 0.5), RATIO, source) for _ in range(500)])
    assert boxes.min(axis=0)[:2].tolist() == [0, 0]
    assert boxes.max(axis=0)[2:].tolist() == [6, 9]


@pytest.mark.parametrize('size', [(320, 200), (64, 300)])
def test_boxes_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    width, height = size
    image, source, draws = torch.empty(1, height, width), rng(), 2000
    ours = np.array([random_crop_box(size, SCALE, RATIO, source) for _ in range(draws)])
    theirs = np.array([RandomResizedCrop.get_params(image, SCALE, RATIO) for _ in range(draws)])
    top, left, h, w = theirs.T
    theirs = np.stack([left, top, left + w, top + h], axis=1)

    def quantities(boxes: np.ndarray) -> np.ndarray:
        left, top, right, bottom = boxes.T
        w, h = right - left, bottom - top
        return np.stack([w * h, (w * h)**2, w / h, left, top, left * w, top * h]).astype(float)

    a, b = quantities(ours), quantities(theirs)
    error = np.sqrt((a.var(axis=1) + b.var(axis=1)) / draws)
    assert np.all(np.abs(a.mean(axis=1) - b.mean(axis=1)) < 5 * error)


@pytest.mark.parametrize('size, box', [
    # h x 4/3 of 10 pixels are 13, centred; likewise upright
    ((1000, 10), (493, 0, 506, 10)),
    ((10, 1000), (0, 493, 10, 506)),
    ((1000, 1), (499, 0, 500, 1)),
    ((1, 1000), (0, 499, 1, 500)),
    ((1, 1), (0, 0, 1, 1)),
])
def test_box_of_a_very_oblong_image_is_central(size, box) -> None:
    assert random_crop_box(size, SCALE, RATIO, rng()) == box


def test_box_of_the_whole_image() -> None:
    assert random_crop_box((64, 64), (1., 1.), (1., 1.), rng()) == (0, 0, 64, 64)


def test_size_is_height_and_width() -> None:
    assert [view.shape for view in views(noise(), size=32)] == [(32, 32, 3)] * 2
    assert [view.shape for view in views(noise(), size=(16, 40))] == [(16, 40, 3)] * 2
    assert all(view.dtype == np.uint8 for view in views(noise()))


@pytest.mark.parametrize('shape', [(1, 1), (3, 500), (500, 3), (17, 19)])
def test_any_image_size_works(shape: tuple[int, int]) -> None:
    for seed in range(5):
        student, teacher = views(noise(*shape), seed, size=16)
        assert student.shape == teacher.shape == (16, 16, 3)


def test_bgr_input_gives_the_same_views() -> None:
    rgb = views(noise(), 2, size=32)
    bgr = views(noise()[..., ::-1], 2, size=32, channel_order='bgr')
    assert all(np.array_equal(a, b) for a, b in zip(rgb, bgr, strict=True))


@pytest.mark.parametrize('settings, words', [
    (dict(channel_order='RGB'), "channel_order must be 'rgb' or 'bgr', but is 'RGB'"),
    (dict(scale=(0., 1.)), 'scale must be a range of positive numbers, but is (0.0, 1.0)'),
    (dict(scale=(1., 0.08)), 'scale must be a range of positive numbers'),
    (dict(scale=(float('nan'), 1.)), 'scale must be a range of positive numbers'),
    (dict(ratio=(-1., 1.)), 'ratio must be a range of positive numbers'),
    (dict(size=0), 'a size must be one positive int or (height, width)'),
    (dict(size=(1, 2, 3)), 'a size must be one positive int or (height, width)'),
    (dict(size=22.4), 'a size must be one positive int or (height, width)'),
    (dict(flip_prob=1.5), 'flip_prob must lie in [0, 1], but is 1.5'),
    (dict(flip_prob=-0.5), 'flip_prob must lie in [0, 1]'),
])
def test_bad_settings(settings: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        ConMIMTwoViews(**settings)
    assert words in str(error.value)
