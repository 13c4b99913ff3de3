import numpy as np
import pytest
import torch

from conmim_mm.datasets import TeacherPerturbation
from conmim_mm.datasets.transforms.perturbation import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    SATURATION,
    Perturbation,
    perturb,
    perturb_batch,
)
from conmim_mm.datasets.transforms.perturbation import NEVER as NEVER_SOLARISED
from conmim_mm.models import ConMIMDataPreprocessor


def images(count: int, side: int = 24) -> np.ndarray:
    """``(count, side, side, 3)`` uint8, smooth and colourful."""
    source = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side] / side
    waves = source.uniform(2, 9, (count, 3, 2, 1, 1))
    levels = np.sin(waves[:, :, 0] * x + waves[:, :, 1] * y + waves[:, :, 0])
    return (127.5 + 127.4 * levels).transpose(0, 2, 3, 1).astype(np.uint8)


def on_device(batch: np.ndarray, drawn: list[Perturbation]) -> np.ndarray:
    vectors = torch.from_numpy(np.stack([one.to_vector() for one in drawn]))
    levels = torch.from_numpy(batch).permute(0, 3, 1, 2).float()
    return perturb_batch(levels, vectors).permute(0, 2, 3, 1).numpy()


def one(*adjustments: tuple[int, float], grey: bool = False, blur: float = 0.,
        solarise: int = NEVER_SOLARISED) -> Perturbation:
    return Perturbation(adjustments, grey, blur, solarise)


@pytest.mark.parametrize('drawn, most', [
    (one((BRIGHTNESS, 1.3)), 0.01), (one((CONTRAST, 0.6)), 1.01), (one((SATURATION, 1.2)), 1.01),
    (one((HUE, 0.1)), 12), (one((HUE, -0.1)), 12), (one(grey=True), 0.6), (one(blur=0.1), 0.51),
    (one(blur=1.7), 1.01), (one(solarise=100), 0.01),
    (one((CONTRAST, 0.7), (HUE, 0.05), (BRIGHTNESS, 1.4), (SATURATION, 0.8)), 12),
    (one((CONTRAST, 0.7), (BRIGHTNESS, 1.4)), 1.5), (one((BRIGHTNESS, 1.4), (CONTRAST, 0.7)), 1.5),
])
def test_each_step_is_the_workers(drawn: Perturbation, most: float) -> None:
    batch = images(3)
    expected = np.stack([perturb(image, drawn) for image in batch])
    gaps = np.abs(on_device(batch, [drawn] * 3) - expected)
    assert gaps.max() <= most and gaps.mean() < 1.4
    assert (expected != batch).any() or drawn.blur == 0.1


def bands(count: int, channels: int) -> np.ndarray:
    """``(count, side, side, channels)`` uint8, as :func:`images`."""
    return np.concatenate([images(count)] * 5, axis=-1)[..., 1:channels + 1]


@pytest.mark.parametrize('channels', [1, 2, 4, 13])
@pytest.mark.parametrize('drawn, most', [
    (one((BRIGHTNESS, 1.3)), 0.01), (one((CONTRAST, 0.6)), 1.01), (one(blur=1.7), 1.01),
    (one(solarise=100), 0.01), (one((BRIGHTNESS, 1.4), (CONTRAST, 0.7)), 1.5)])
def test_other_channels(channels: int, drawn: Perturbation, most: float) -> None:
    """All alike, the same by both; what needs colours does nothing."""
    batch = bands(2, channels)
    expected = np.stack([perturb(image, drawn) for image in batch])
    assert expected.shape == batch.shape and expected.dtype == np.uint8
    assert np.abs(on_device(batch, [drawn] * 2) - expected).max() <= most
    assert (expected != batch).mean() > 0.2
    coloured = drawn._replace(grey=True, adjustments=(
        (HUE, 0.1), *drawn.adjustments, (SATURATION, 1.2)))
    assert np.array_equal(perturb(batch[0], coloured), expected[0])
    assert np.array_equal(on_device(batch, [coloured] * 2), on_device(batch, [drawn] * 2))


def test_contrast_of_other_channels_is_about_their_common_mean() -> None:
    image = np.array([[[10, 60], [20, 110]]], dtype=np.uint8)  # whose mean is 50
    assert perturb(image, one((CONTRAST, 0.5))).tolist() == [[[30, 55], [35, 80]]]
    assert perturb(image, one((BRIGHTNESS, 1.5))).tolist() == [[[15, 90], [30, 165]]]
    assert perturb(image, one(solarise=100)).tolist() == [[[10, 60], [20, 145]]]


@pytest.mark.parametrize('channels', [1, 3, 13])
def test_floats_keep_their_fractions_and_are_the_same_on_both(channels: int) -> None:
    """As of whole levels, but for what rounding does there."""
    drawing, source = TeacherPerturbation(blur_prob=0.5), np.random.default_rng(0)
    drawn, whole = [drawing.draw(source) for _ in range(20)], bands(20, channels)
    batch = whole + np.float32(0.3)
    views = torch.from_numpy(batch).permute(0, 3, 1, 2)
    preprocessor = ConMIMDataPreprocessor(mean=None, std=None)
    vectors = torch.from_numpy(np.stack([how.to_vector() for how in drawn]))
    on_the_device = preprocessor(dict(inputs=dict(
        student_view=views, perturbation=vectors)))['inputs']['teacher_view']
    expected = np.stack([perturb(image, how) for image, how in zip(batch, drawn, strict=True)])
    np.testing.assert_allclose(on_the_device.permute(0, 2, 3, 1), expected, atol=1e-3)
    rounded = np.stack([perturb(image, how) for image, how in zip(whole, drawn, strict=True)])
    assert np.median(np.abs(rounded - expected)) < 1.5
    assert (expected != np.floor(expected)).mean() > 0.5


def test_each_image_has_its_own() -> None:
    drawing, source = TeacherPerturbation(blur_prob=0.5), np.random.default_rng(0)
    drawn, batch = [drawing.draw(source) for _ in range(60)], images(60)
    expected = np.stack([perturb(image, how) for image, how in zip(batch, drawn, strict=True)])
    # Few differences are large: solarising makes one of a single level so.
    gaps = np.abs(on_device(batch, drawn) - expected)
    assert np.median(gaps) < 0.5 and np.quantile(gaps, 0.95) < 4
    assert np.median(np.abs(expected - batch)) > 10
    alone = np.concatenate([on_device(batch[i:i + 1], drawn[i:i + 1]) for i in range(60)])
    np.testing.assert_allclose(on_device(batch, drawn), alone, atol=1e-3)


def test_mixed_precision_does_not_reach_the_levels() -> None:
    """Training steps prepare their data under autocast."""
    batch, drawn = images(2), [one((HUE, 0.1), blur=1.3), one((CONTRAST, 0.8), blur=0.7)]
    with torch.autocast('cpu', torch.bfloat16):
        seen = on_device(batch, drawn)
    assert np.array_equal(seen, on_device(batch, drawn))


def test_nothing_drawn_changes_nothing() -> None:
    batch = images(2)
    assert np.array_equal(on_device(batch, [one()] * 2), batch)


def test_preprocessor_makes_the_teachers_view_of_the_students() -> None:
    batch, drawn = images(4), [one((BRIGHTNESS, 0.5)), one(grey=True), one(), one(solarise=10)]
    student = torch.from_numpy(batch).permute(0, 3, 1, 2)
    vectors = torch.from_numpy(np.stack([how.to_vector() for how in drawn]))
    mask = torch.ones(4, 9, dtype=torch.bool)
    preprocessor = ConMIMDataPreprocessor()
    inputs = preprocessor(dict(inputs=dict(
        student_view=student, perturbation=vectors, mask=mask)))['inputs']
    assert set(inputs) == {'student_view', 'teacher_view', 'mask'} and inputs['mask'] is mask
    levels = inputs['teacher_view'] * preprocessor.std + preprocessor.mean
    expected = torch.from_numpy(on_device(batch, drawn)).permute(0, 3, 1, 2)
    torch.testing.assert_close(levels, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        inputs['student_view'], (student - preprocessor.mean) / preprocessor.std)


def test_preprocessor_perturbs_rgb_whatever_the_images_are() -> None:
    batch = torch.from_numpy(images(1)).permute(0, 3, 1, 2)
    vectors = torch.from_numpy(one((SATURATION, 0.2)).to_vector()).unsqueeze(0)

    def teacher_view(images: torch.Tensor, to_rgb: bool) -> torch.Tensor:
        return ConMIMDataPreprocessor(to_rgb=to_rgb)(dict(inputs=dict(
            student_view=images, perturbation=vectors)))['inputs']['teacher_view']

    assert torch.equal(teacher_view(batch, False), teacher_view(batch.flip(1), True))
