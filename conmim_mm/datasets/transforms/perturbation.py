"""What the teacher's view differs by (ConMIM paper, section 3.2: asymmetric image perturbation)."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(1, 5)
NUM_ADJUSTMENTS = 4
WITHOUT_COLOURS = BRIGHTNESS, CONTRAST  # those that any number of channels can be adjusted by
NEVER = 256  # a threshold of solarisation that no grey level reaches

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in a grey level (ITU-R BT.601)
BLUR_REACH = 6  # pixels to each side: three standard deviations of the strongest blur, 2
LEVELS = np.arange(256, dtype=np.float32)


class Perturbation(NamedTuple):
    """What is done to one image, in this order; drawn by :class:`TeacherPerturbation`.

    Attributes:
        adjustments: Kinds and factors of the colour jitter, up to four.
        grey: Whether it becomes grey.
        blur: Standard deviation of the Gaussian blur, in pixels; 0 for none.
        solarise: Grey level from which on levels are inverted; 256 for none.
    """

    adjustments: tuple[tuple[int, float], ...]
    grey: bool
    blur: float
    solarise: int

    def to_vector(self) -> np.ndarray:
        """As ``(11,)`` float32, to be collated: four times kind and factor, and the other three."""
        missing = NUM_ADJUSTMENTS - len(self.adjustments)
        return np.array([
            number for pair in self.adjustments + ((0, 1.),) * missing for number in pair
        ] + [self.grey, self.blur, self.solarise], dtype=np.float32)


@TRANSFORMS.register_module()
class TeacherPerturbation:
    """Colour jitter, greyscale, blur and solarisation, each with its probability, in this order.

    All of it acts on colours or very locally, so pixels stay where they are. Defaults as in the
    original implementation. Images of other than three channels have no colours: saturation, hue
    and greyscale leave them as they are; the rest changes all channels alike.

    Args:
        jitter_prob: Probability of the colour jitter.
        brightness: Jitter factor drawn from ``[1 - brightness, 1 + brightness]``.
        contrast: Likewise.
        saturation: Likewise.
        hue: Shift drawn from ``[-hue, hue]``, in turns of the colour circle; at most 0.5.
        grey_prob: Probability of greyscale.
        blur_prob: Probability of Gaussian blur.
        blur_radius: Range of the blur's standard deviation, in pixels.
        solarise_prob: Probability of solarisation.
        solarise_threshold: Grey levels from this one on are inverted.

    Raises:
        InputError: A probability or a range that is none.
    """

    def __init__(self,
                 jitter_prob: float = 0.8,
                 brightness: float = 0.4,
                 contrast: float = 0.4,
                 saturation: float = 0.2,
                 hue: float = 0.1,
                 grey_prob: float = 0.2,
                 blur_prob: float = 0.1,
                 blur_radius: tuple[float, float] = (0.1, 2.0),
                 solarise_prob: float = 0.2,
                 solarise_threshold: int = 128) -> None:
        for name, value in dict(jitter_prob=jitter_prob, grey_prob=grey_prob, blur_prob=blur_prob,
                                solarise_prob=solarise_prob, brightness=brightness,
                                contrast=contrast, saturation=saturation).items():
            if not 0 <= value <= 1:
                raise InputError(f'{name} must lie in [0, 1], but is {value}')
        if not 0 <= hue <= 0.5:
            raise InputError(f'hue must lie in [0, 0.5], but is {hue}')
        if not 0 <= blur_radius[0] <= blur_radius[1]:
            raise InputError(f'blur_radius must be a range from 0 on, but is {blur_radius}')
        self.jitter_prob = jitter_prob
        ranges = (
            (BRIGHTNESS, 1 - brightness, 1 + brightness),
            (CONTRAST, 1 - contrast, 1 + contrast),
            (SATURATION, 1 - saturation, 1 + saturation),
            (HUE, -hue, hue),
        )
        # An empty range must not cost an 8-bit round trip through another colour space.
        self.jitter_ranges = [entry for entry in ranges if entry[1] < entry[2]]
        self.grey_prob = grey_prob
        self.blur_prob = blur_prob
        self.blur_radius = blur_radius
        self.solarise_prob = solarise_prob
        self.solarise_threshold = solarise_threshold

    def draw(self, rng: np.random.Generator) -> Perturbation:
        """Draws what to do to one image."""
        adjustments = ()
        if rng.random() < self.jitter_prob:
            order = [self.jitter_ranges[i] for i in rng.permutation(len(self.jitter_ranges))]
            adjustments = tuple((kind, rng.uniform(low, high)) for kind, low, high in order)
        grey = rng.random() < self.grey_prob
        blur = rng.uniform(*self.blur_radius) if rng.random() < self.blur_prob else 0.
        solarise = self.solarise_threshold if rng.random() < self.solarise_prob else NEVER
        return Perturbation(adjustments, grey, blur, solarise)

    def perturb(self, results: dict, view: np.ndarray, rng: np.random.Generator) -> None:
        """Adds ``teacher_view``, a perturbed copy of ``view``, to a sample."""
        results['teacher_view'] = perturb(view, self.draw(rng))


@TRANSFORMS.register_module()
class DevicePerturbation(TeacherPerturbation):
    """:class:`TeacherPerturbation` that leaves the work to the model's device.

    It draws the same perturbations; :class:`ConMIMDataPreprocessor` carries
    them out for a whole batch. The views differ from the others' by about half a grey level, as
    colours are not rounded on the way.
    """

    def perturb(self, results: dict, view: np.ndarray, rng: np.random.Generator) -> None:
        """Adds ``perturbation`` to a sample, as of :meth:`Perturbation.to_vector`."""
        results['perturbation'] = self.draw(rng).to_vector()


def perturb(image: np.ndarray, perturbation: Perturbation) -> np.ndarray:
    """A perturbed copy of an ``(H, W, C)`` uint8 image, RGB where C is 3, computed by OpenCV.

    As Pillow's and torchvision's functions on 8-bit images, but for roundings and the blur, which
    is a Gaussian where Pillow approximates one. Of a float32 image :func:`perturb_batch` makes it.
    """
    if image.dtype != np.uint8:
        batch = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)
        vector = torch.from_numpy(perturbation.to_vector()).unsqueeze(0)
        return perturb_batch(batch, vector, cut=unchanged)[0].permute(1, 2, 0).numpy()
    has_colours, shape = image.shape[-1] == 3, image.shape
    for kind, factor in perturbation.adjustments:
        if has_colours or kind in WITHOUT_COLOURS:
            image = ADJUSTMENTS[kind](image, factor)
    if perturbation.grey and has_colours:
        image = cv2.cvtColor(_grey(image), cv2.COLOR_GRAY2RGB)
    if perturbation.blur:
        image = cv2.GaussianBlur(image, (0, 0), perturbation.blur, borderType=cv2.BORDER_REPLICATE)
    if perturbation.solarise < NEVER:
        image = cv2.LUT(image, np.where(LEVELS < perturbation.solarise, LEVELS, 255 - LEVELS
                                        ).astype(np.uint8))
    return image.reshape(shape)  # OpenCV drops the axis of one channel


def _adjust_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    return cv2.LUT(image, _to_levels(factor * LEVELS))


def _adjust_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    mean = int((cv2.mean(_grey(image))[0] if image.shape[-1] == 3 else image.mean()) + 0.5)
    return cv2.LUT(image, _to_levels(mean + factor * (LEVELS - mean)))


def _adjust_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(_grey(image), cv2.COLOR_GRAY2RGB)
    # Pillow cuts fractions off, OpenCV rounds; not quite a half, as grey is to stay what it is.
    return cv2.addWeighted(image, factor, grey, 1 - factor, -0.499)


def _adjust_hue(image: np.ndarray, turns: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(int(turns * 255) % 256)  # the circle closes where the byte overflows
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _to_levels(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)


ADJUSTMENTS: dict[int, Callable[[np.ndarray, float], np.ndarray]] = {
    BRIGHTNESS: _adjust_brightness,
    CONTRAST: _adjust_contrast,
    SATURATION: _adjust_saturation,
    HUE: _adjust_hue,
}


def unchanged(levels: torch.Tensor) -> torch.Tensor:
    """The levels, for ``cut`` of :func:`perturb_batch`."""
    return levels


def perturb_batch(images: torch.Tensor, vectors: torch.Tensor,
                  cut: Callable[[torch.Tensor], torch.Tensor] = torch.floor) -> torch.Tensor:
    """What :func:`perturb` does, for many images at once.

    No shape and no step depends on what was drawn, so nothing waits for the device. Images whose
    vector says nothing come back as they are.

    Args:
        images: ``(B, C, H, W)``, RGB where C is 3, float, in grey levels 0 to 255.
        vectors: ``(B, 11)``, as of :meth:`Perturbation.to_vector`.
        cut: Of images of whole levels it cuts off the fractions as Pillow does, or the views would
            be half a level brighter per step; :func:`unchanged` of others.

    Returns:
        ``(B, C, H, W)`` float, in grey levels 0 to 255. Blurs of more than 2 pixels are cut off at
        6 pixels.
    """
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 knows no single levels
        return _perturb(images, vectors, cut)


def _perturb(images: torch.Tensor, vectors: torch.Tensor,
             cut: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    pairs = vectors[:, :2 * NUM_ADJUSTMENTS].unflatten(1, (NUM_ADJUSTMENTS, 2))
    kinds, factors = pairs.unbind(dim=2)
    grey, blur, solarise = vectors[:, 2 * NUM_ADJUSTMENTS:].unbind(dim=1)

    if images.shape[1] == 3:
        # Of an image's adjustments only one turns the hue, so it is done once, between the others.
        turns = kinds == HUE
        after_hue = turns.cumsum(dim=1) > 0
        images = _blend_all(images, kinds * ~after_hue, factors, cut)
        images = _turn_hue(images, (factors * turns).sum(dim=1))
        images = _blend_all(images, kinds * (after_hue & ~turns), factors, cut)
        images = torch.where(_per_image(grey) > 0, _luma(images), images)
    else:
        images = _blend_all(images, kinds * (kinds != SATURATION), factors, cut)
    images = _blur(images, blur)
    solarised = _per_image(solarise)
    return torch.where((images < solarised) | (solarised >= NEVER), images, 255 - images)


def _per_image(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.view(-1, 1, 1, 1)


def _luma(images: torch.Tensor) -> torch.Tensor:
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    red, green, blue = images.unbind(dim=1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)


def _blend_all(images: torch.Tensor, kinds: torch.Tensor, factors: torch.Tensor,
               cut: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Brightness, contrast and saturation in each image's own order; other kinds do nothing.

    All three move the image away from, or towards, something: black, its mean grey, its grey image.
    """
    for kind, factor in zip(kinds.unbind(dim=1), factors.unbind(dim=1), strict=True):
        kind = _per_image(kind)
        luma = _luma(images)
        mean = (luma.mean(dim=(2, 3), keepdim=True) + 0.5).floor()
        towards = (kind == CONTRAST) * mean + (kind == SATURATION) * luma
        blended = cut((towards + _per_image(factor) * (images - towards)).clamp(0, 255))
        blends = (kind == BRIGHTNESS) | (kind == CONTRAST) | (kind == SATURATION)
        images = torch.where(blends, blended, images)
    return images


def _turn_hue(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turns the hue, keeping saturation and value (HSV)."""
    red, green, blue = images.unbind(dim=1)
    value, least = images.amax(dim=1), images.amin(dim=1)
    chroma = value - least
    divisor = chroma.clamp(min=1e-6)
    hue = torch.where(
        value == red, (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor))
    hue = hue + 6 * turns.view(-1, 1, 1)  # in sixths of a turn, each the way between two colours
    channels = []
    for offset in (5, 3, 1):
        position = (hue + offset) % 6
        channels.append(value - chroma * torch.minimum(position, 4 - position).clamp(0, 1))
    return torch.where(_per_image(turns) != 0, torch.stack(channels, dim=1), images)


def _blur(images: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
    """Gaussian blur, each image by its own standard deviation in pixels; 0 leaves it alone."""
    if images.device.type == 'cpu' and not radii.any():  # here nothing has to be waited for
        return images
    batch, channels, height, width = images.shape
    offsets = torch.arange(-BLUR_REACH, BLUR_REACH + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (offsets / radii.clamp(min=0.05).unsqueeze(1))**2)
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    kernels = kernels.view(batch * channels, 1, 1, -1)
    planes = images.reshape(1, batch * channels, height, width)
    planes = F.pad(planes, [BLUR_REACH] * 4, mode='replicate')
    planes = F.conv2d(planes, kernels, groups=batch * channels)
    planes = F.conv2d(planes, kernels.transpose(2, 3), groups=batch * channels)
    return torch.where(_per_image(radii) > 0, planes.view_as(images), images)
