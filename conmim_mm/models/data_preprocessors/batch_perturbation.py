"""The teacher's perturbation of a whole batch, on the model's device."""

import torch
import torch.nn.functional as F

from ...datasets.transforms.perturbation import (
    BRIGHTNESS,
    CONTRAST,
    HUE,
    NEVER,
    NUM_ADJUSTMENTS,
    SATURATION,
)

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in a grey level (ITU-R BT.601)
BLUR_REACH = 6  # pixels to each side: three standard deviations of the strongest blur, 2


def perturb_batch(images: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """What :func:`perturb` does, for many images at once.

    No shape and no step depends on what was drawn, so nothing waits for the device. Images whose
    vector says nothing come back as they are.

    Args:
        images: ``(B, 3, H, W)`` RGB, float, in grey levels 0 to 255.
        vectors: ``(B, 11)``, as of :meth:`Perturbation.to_vector`.

    Returns:
        ``(B, 3, H, W)`` float, in grey levels 0 to 255. Blurs of more than 2 pixels are cut off at
        6 pixels.
    """
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 knows no single levels
        return _perturb(images, vectors)


def _perturb(images: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    pairs = vectors[:, :2 * NUM_ADJUSTMENTS].unflatten(1, (NUM_ADJUSTMENTS, 2))
    kinds, factors = pairs.unbind(dim=2)
    grey, blur, solarise = vectors[:, 2 * NUM_ADJUSTMENTS:].unbind(dim=1)

    # Of an image's adjustments only one turns the hue, so it is done once, between the others.
    turns = kinds == HUE
    after_hue = turns.cumsum(dim=1) > 0
    images = _blend_all(images, kinds * ~after_hue, factors)
    images = _turn_hue(images, (factors * turns).sum(dim=1))
    images = _blend_all(images, kinds * (after_hue & ~turns), factors)

    images = torch.where(_per_image(grey) > 0, _luma(images), images)
    images = _blur(images, blur)
    solarised = _per_image(solarise)
    return torch.where((images < solarised) | (solarised >= NEVER), images, 255 - images)


def _per_image(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.view(-1, 1, 1, 1)


def _luma(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.unbind(dim=1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(1)


def _blend_all(images: torch.Tensor, kinds: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast and saturation in each image's own order; other kinds do nothing.

    All three move the image away from, or towards, something: black, its mean grey, its grey image.
    """
    for kind, factor in zip(kinds.unbind(dim=1), factors.unbind(dim=1), strict=True):
        kind = _per_image(kind)
        luma = _luma(images)
        mean = (luma.mean(dim=(2, 3), keepdim=True) + 0.5).floor()
        towards = (kind == CONTRAST) * mean + (kind == SATURATION) * luma
        # fractions are cut off as Pillow does, or the views would be half a level brighter per step
        blended = (towards + _per_image(factor) * (images - towards)).clamp(0, 255).floor()
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
