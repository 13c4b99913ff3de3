from collections import Counter

import numpy as np
import pytest
import torchvision.transforms.functional as F
from PIL import Image

from conmim_mm.datasets import DevicePerturbation, TeacherPerturbation
from conmim_mm.datasets.transforms.perturbation import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    Perturbation,
    perturb,
)
from conmim_mm.datasets.transforms.perturbation import NEVER as NEVER_SOLARISED
from conmim_mm.errors import InputError

from .test_two_views import NEVER, inverted, luma, noise, rng, within

NO_JITTER = dict(brightness=0., contrast=0., saturation=0., hue=0.)


@pytest.mark.parametrize('name, prob', [
    ('jitter_prob', 0.8), ('grey_prob', 0.2), ('blur_prob', 0.1), ('solarise_prob', 0.2)])
def test_default_probabilities(name: str, prob: float) -> None:
    settings = {key: value for key, value in NEVER.items() if key != name}
    drawing, source = TeacherPerturbation(**settings, blur_radius=(1., 2.)), rng()
    image = noise(8, 8)
    changed = [not np.array_equal(perturb(image, drawing.draw(source)), image)
               for _ in range(3000)]
    within(changed, prob, (prob * (1 - prob))**0.5)


def test_steps_are_drawn_independently() -> None:
    drawing, source = TeacherPerturbation(blur_radius=(1., 2.)), rng()
    out = [perturb(noise(8, 8), drawing.draw(source)) for _ in range(2000)]
    unchanged = 0.2 * 0.8 * 0.9 * 0.8
    within([np.array_equal(one, noise(8, 8)) for one in out], unchanged,
           (unchanged * (1 - unchanged))**0.5)
    within([np.all(one == one[..., :1]) for one in out], 0.2, 0.4)
    only_grey = 0.2 * 0.2 * 0.9 * 0.8
    within([np.abs(one.astype(int) - luma(noise(8, 8))).max() <= 1 for one in out], only_grey,
           (only_grey * (1 - only_grey))**0.5)


@pytest.mark.parametrize('settings, threshold', [({}, 128), (dict(solarise_threshold=200), 200)])
def test_solarise_inverts_from_the_threshold_on(settings: dict, threshold: int) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=-1)
    drawing = TeacherPerturbation(**NEVER | dict(solarise_prob=1.), **settings)
    out = perturb(levels, drawing.draw(rng()))
    assert [int(out[tuple(divmod(level, 16))][0]) for level in (0, threshold - 1, threshold, 255)
            ] == [0, threshold - 1, 255 - threshold, 0]
    assert np.array_equal(out, inverted(levels, threshold))


def check_uniform(values: list[float], low: float, high: float) -> None:
    """They fill the range, with the mean and the spread of a uniform distribution."""
    margin, std = 0.02 * (high - low), (high - low) / 12**0.5
    assert low <= min(values) < low + margin and high - margin < max(values) <= high
    within(values, (low + high) / 2, std)
    assert np.std(values) == pytest.approx(std, rel=0.07)


def test_blur_radius_is_uniform_between_0_1_and_2() -> None:
    blur, source = TeacherPerturbation(**NEVER | dict(blur_prob=1.)), rng()
    check_uniform([blur.draw(source).blur for _ in range(1500)], 0.1, 2.)


@pytest.mark.parametrize('kind, low, high', [
    (BRIGHTNESS, 0.6, 1.4), (CONTRAST, 0.6, 1.4), (SATURATION, 0.8, 1.2), (HUE, -0.1, 0.1)])
def test_jitter_is_uniform(kind: int, low: float, high: float) -> None:
    """What an adjustment by a factor does is compared with torchvision below."""
    drawing, source = TeacherPerturbation(**NEVER | dict(jitter_prob=1.)), rng()
    check_uniform([dict(drawing.draw(source).adjustments)[kind] for _ in range(1500)], low, high)


def test_jitter_of_no_range_changes_nothing() -> None:
    drawing = TeacherPerturbation(**NEVER | dict(jitter_prob=1.), **NO_JITTER)
    assert np.array_equal(perturb(noise(), drawing.draw(rng())), noise())


def test_jitter_comes_in_all_orders_equally_often() -> None:
    drawing, source = TeacherPerturbation(), rng()
    orders = Counter(tuple(kind for kind, _ in drawing.draw(source).adjustments)
                     for _ in range(3000))
    none = orders.pop(())
    assert abs(none - 600) < 5 * (600 * 0.8)**0.5
    assert len(orders) == 24 and all(
        sorted(order) == [BRIGHTNESS, CONTRAST, SATURATION, HUE] for order in orders)
    assert all(abs(count - 100) < 5 * (100 * 23 / 24)**0.5 for count in orders.values())


# Kinds of adjustments, and the function of Pillow's pictures that they stand for.
TORCHVISION = {
    BRIGHTNESS: F.adjust_brightness, CONTRAST: F.adjust_contrast,
    SATURATION: F.adjust_saturation, HUE: F.adjust_hue,
}


@pytest.mark.parametrize('kind, factor, most, mean', [
    (BRIGHTNESS, 0.6, 0, 0.), (BRIGHTNESS, 1.4, 0, 0.),
    (CONTRAST, 0.6, 1, 0.02), (CONTRAST, 1.4, 1, 0.02),
    (SATURATION, 0.8, 1, 0.2), (SATURATION, 1.2, 1, 0.2),
    # both round the colours to a byte each, on their own ways
    (HUE, -0.1, 12, 1.2), (HUE, 0.1, 12, 1.2), (HUE, 0.5, 12, 1.2),
])
def test_adjustments_are_torchvisions(kind: int, factor: float, most: int, mean: float) -> None:
    out = perturb(noise(), Perturbation(((kind, factor),), False, 0., NEVER_SOLARISED))
    expected = np.asarray(TORCHVISION[kind](Image.fromarray(noise()), factor))
    gaps = np.abs(out.astype(int) - expected)
    assert gaps.max() <= most and gaps.mean() <= mean
    assert np.abs(expected.astype(int) - noise()).mean() > 3


@pytest.mark.parametrize('kind, factor', [
    (SATURATION, 0.8), (SATURATION, 1.13), (SATURATION, 1.2), (HUE, 0.1)])
def test_colours_of_grey_are_left_alone(kind: int, factor: float) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=-1)
    out = perturb(greys, Perturbation(((kind, factor),), False, 0., NEVER_SOLARISED))
    assert np.array_equal(out, greys)


@pytest.mark.parametrize('radius', [0.5, 1., 2.])
def test_blur_is_a_gaussian(radius: float) -> None:
    impulse = np.zeros((33, 33, 3), dtype=np.uint8)
    impulse[16, 16] = 255
    out = perturb(impulse, Perturbation((), False, radius, NEVER_SOLARISED))
    y, x = np.mgrid[-16:17, -16:17]
    kernel = np.exp(-(x**2 + y**2) / (2 * radius**2))
    np.testing.assert_allclose(out[..., 1], 255 * kernel / kernel.sum(), atol=1.5)


def test_a_vector_tells_what_is_done() -> None:
    drawn = Perturbation(((HUE, -0.25), (CONTRAST, 1.5)), True, 0.5, 128)
    assert drawn.to_vector().tolist() == [4, -0.25, 2, 1.5, 0, 1, 0, 1, 1, 0.5, 128]
    assert drawn.to_vector().dtype == np.float32
    nothing = Perturbation((), False, 0., NEVER_SOLARISED)
    assert nothing.to_vector().tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 256]


def test_the_device_draws_what_the_worker_draws() -> None:
    here, there = TeacherPerturbation(), DevicePerturbation()
    for seed in range(50):
        results = {}
        there.perturb(results, noise(), rng(seed))
        assert list(results) == ['perturbation']
        assert np.array_equal(results['perturbation'], here.draw(rng(seed)).to_vector())


@pytest.mark.parametrize('settings, words', [
    (dict(jitter_prob=1.2), 'jitter_prob must lie in [0, 1], but is 1.2'),
    (dict(grey_prob=-0.1), 'grey_prob must lie in [0, 1]'),
    (dict(blur_prob=2), 'blur_prob must lie in [0, 1]'),
    (dict(solarise_prob=float('nan')), 'solarise_prob must lie in [0, 1]'),
    (dict(brightness=1.5), 'brightness must lie in [0, 1], but is 1.5'),
    (dict(contrast=-0.4), 'contrast must lie in [0, 1]'),
    (dict(saturation=-0.2), 'saturation must lie in [0, 1]'),
    (dict(hue=0.6), 'hue must lie in [0, 0.5], but is 0.6'),
    (dict(blur_radius=(2.0, 0.1)), 'blur_radius'),
    (dict(blur_radius=(-1.0, 2.0)), 'blur_radius'),
])
def test_bad_perturbations(settings: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        TeacherPerturbation(**settings)
    assert words in str(error.value)
