"""The student's and the teacher's view of an image."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS

from ...errors import InputError
from ...utils.sizes import to_size
from ..image_formats.stored import Stored
from ..reading import RGB, ImageReading, read_levels, read_stored
from ..sample_rng import sample_rng
from .jpeg_region import Box, JpegImage, announce_missing_decoder, parse_jpeg
from .load_image import LoadImage
from .loading import MAX_PIXELS, read_file, read_rgb, reading

CROP_ATTEMPTS = 10


class WholeImage:
    """An image whose pixels are all there.

    Args:
        pixels: ``(H, W, C)``, upright.

    Attributes:
        size: Width and height in pixels.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.size = pixels.shape[1], pixels.shape[0]

    def region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        """The pixels of a box, ``(h, w, C)``, as they are."""
        left, top, right, bottom = box
        return self.pixels[top:bottom, left:right]


class StoredImage(WholeImage):
    """An image as its file has it, of which a box becomes grey levels.

    Args:
        stored: The image.
        how: Makes the levels.
    """

    def __init__(self, stored: Stored, how: ImageReading) -> None:
        super().__init__(stored.pixels)
        self.stored = stored
        self.how = how

    def region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        """The levels of a box, as of :meth:`ImageReading.levels`."""
        return self.how.levels(super().region(box, enough), self.stored)


class LazyJpeg:
    """A JPEG file that is decoded when the box is known; by the plain reader if that fails.

    Args:
        jpeg: The file's content.
        path: What errors call it.
        max_pixels: As in :func:`open_image`.
        how: Of three channels; makes the levels.

    Attributes:
        size: Width and height of the upright image in pixels.
    """

    def __init__(self, jpeg: JpegImage, path: str, max_pixels: int, how: ImageReading) -> None:
        self.jpeg = jpeg
        self.path = path
        self.max_pixels = max_pixels
        self.how = how
        self.size = jpeg.size

    def region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        """As :meth:`JpegImage.region`, as levels."""
        with reading(self.path):
            try:
                pixels = self.jpeg.region(box, enough)
            except ValueError:  # whether a damaged file is readable, the plain reader decides
                image = read_rgb(self.path, self.max_pixels, self.jpeg.data)
                pixels = WholeImage(np.asarray(image)).region(box, enough)
            return self.how.levels(pixels)


def open_image(path: str, max_pixels: int, data: bytes | None = None,
               how: ImageReading = RGB) -> WholeImage | LazyJpeg:
    """Opens an image file for cutting boxes out of it.

    The usual kinds of JPEG files are decoded no further than a box needs, anything else by
    :func:`read_rgb`, and it refuses what that refuses. Except that
    damage below the box goes unnoticed; a file that was cut off does not.

    Args:
        path: The file.
        max_pixels: As for :func:`read_rgb`.
        data: The file's content, if it is known already.
        how: Makes grey levels of the pixels.

    Raises:
        UnreadableImageError: As :func:`read_stored`; ``region`` too may raise it.
    """
    with reading(path):
        data = read_file(path) if data is None else data
        jpeg = parse_jpeg(data, max_pixels) if how.channels == 3 else None
        if jpeg is not None:
            return LazyJpeg(jpeg, path, max_pixels, how)
        if how.is_rgb:
            return WholeImage(read_levels(path, how, max_pixels, data))
        stored = read_stored(path, how, max_pixels, data)
        how.range_of(stored)  # refuses what has none
        return StoredImage(stored, how)


@TRANSFORMS.register_module()
class ConMIMTwoViews(BaseTransform):
    """One random crop, seen twice: as it is (student) and perturbed (teacher).

    Both views come from the same flip and the same crop, so pixel (y, x) of one shows the same spot
    as pixel (y, x) of the other.

    Required keys:

    - img: ``(H, W, C)`` uint8, or float32 in grey levels 0 to 255.

    Added keys:

    - student_view, teacher_view: ``(h, w, C)`` of the same type. With a
      :class:`DevicePerturbation` there is ``perturbation`` in the place of the latter.

    Args:
        size: Height and width of the views in pixels; an int for square ones.
        scale: Range of the crop's share of the image area.
        ratio: Range of the crop's width over height.
        flip_prob: Probability of a horizontal flip.
        perturbation: Config of a :class:`TeacherPerturbation`, which is also the type if none is
            given; None for two equal views (the ablation without asymmetric perturbation).
        channel_order: ``'rgb'``, or ``'bgr'`` if the image comes from OpenMMLab's loaders.

    Raises:
        InputError: An unknown channel order, a scale or ratio that is no positive range.
    """

    def __init__(self,
                 size: int | Sequence[int] = 224,
                 scale: tuple[float, float] = (0.08, 1.0),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3),
                 flip_prob: float = 0.5,
                 perturbation: dict | None = dict(),  # noqa: B006  (read only)
                 channel_order: str = 'rgb') -> None:
        self.size = to_size(size)
        for name, (low, high) in dict(scale=scale, ratio=ratio).items():
            if not 0 < low <= high:
                raise InputError(f'{name} must be a range of positive numbers, but is '
                                 f'({low}, {high})')
        if not 0 <= flip_prob <= 1:
            raise InputError(f'flip_prob must lie in [0, 1], but is {flip_prob}')
        if channel_order not in ('rgb', 'bgr'):
            raise InputError(f"channel_order must be 'rgb' or 'bgr', but is {channel_order!r}")
        self.scale = scale
        self.ratio = ratio
        self.flip_prob = flip_prob
        self.perturbation = None if perturbation is None else TRANSFORMS.build(
            dict(type='TeacherPerturbation') | perturbation)
        self.channel_order = channel_order

    def transform(self, results: dict) -> dict:
        """Adds the two views."""
        img = results['img']
        if self.channel_order == 'bgr':
            img = img[..., ::-1]
        return self.add_views(results, WholeImage(img))

    def add_views(self, results: dict, image: WholeImage | LazyJpeg) -> dict:
        """Adds the two views of an image."""
        rng = sample_rng(results)
        view = self.crop(image, rng)
        results['student_view'] = view
        if self.perturbation is None:
            results['teacher_view'] = view
        else:
            self.perturbation.perturb(results, view, rng)
        return results

    def crop(self, image: WholeImage | LazyJpeg, rng: np.random.Generator) -> np.ndarray:
        """Random flip and random resized crop (bicubic) of an image."""
        flip = rng.random() < self.flip_prob
        box = random_crop_box(image.size, self.scale, self.ratio, rng)
        # Pillow's pixels cannot be written to, of which PyTorch would warn.
        pixels = np.require(image.region(box, self.size[::-1]), requirements='CW')
        # The crop is uniform, so flipping it is flipping the image.
        # OpenCV drops the axis of one channel.
        flipped = cv2.flip(pixels, 1).reshape(pixels.shape) if flip else pixels
        return resize_bicubic(flipped, self.size)


@TRANSFORMS.register_module()
class LoadTwoViews(ConMIMTwoViews):
    """:class:`ConMIMTwoViews` of a file, of which no more is decoded than the crop needs.

    With the same random numbers it sees the same crops as ``LoadRGBImage`` and ``ConMIMTwoViews``,
    from the same files, and refuses the same ones (:func:`open_image`); crops of more than twice
    the views' size may differ by single grey levels and are cut at whole pixels of the reduced
    image. Without simplejpeg files are decoded whole, which a line in the log says.

    Required keys:

    - img_path
    - img_bytes (optional): the file's content, where the data set has read it.

    Added keys: as of :class:`ConMIMTwoViews`.

    Args:
        max_pixels: Images of more pixels than this are not decoded but count as unreadable.
        reading: Keys of an :class:`ImageReading`; by default 8-bit RGB.
        **kwargs: As in :class:`ConMIMTwoViews`, but for ``channel_order``.

    Raises:
        InputError: As :class:`ConMIMTwoViews`; ``max_pixels`` below 1; a ``channel_order``; a
            ``reading`` that is none.
        UnreadableImageError: From :meth:`transform`, as :func:`read_stored`.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS, reading: Mapping | None = None,
                 **kwargs) -> None:
        if 'channel_order' in kwargs:
            raise InputError('LoadTwoViews reads files as RGB and has no channel_order; remove it')
        super().__init__(**kwargs)
        loader = LoadImage(reading, max_pixels)
        self.max_pixels, self.reading = loader.max_pixels, loader.reading
        announce_missing_decoder()

    def transform(self, results: dict) -> dict:
        """Adds the two views."""
        return self.add_views(results, open_image(
            results['img_path'], self.max_pixels, results.get('img_bytes'), self.reading))

    def crop(self, image: WholeImage | LazyJpeg, rng: np.random.Generator) -> np.ndarray:
        """As :meth:`ConMIMTwoViews.crop`, in the type that the reading asks for."""
        return self.reading.view(super().crop(image, rng))


def resize_bicubic(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes grey levels ``(H, W, C)`` to ``(h, w, C)``, with antialiasing, as Pillow does."""
    # in this order, or PyTorch does not see that the channels come last and takes longer
    batch = torch.from_numpy(pixels).unsqueeze(0).permute(0, 3, 1, 2)
    resized = F.interpolate(batch, size, mode='bicubic', antialias=True)
    if resized.is_floating_point():  # a spline overshoots at edges; of whole levels it is cut off
        resized = resized.clamp_(0, 255)
    return resized.permute(0, 2, 3, 1)[0].numpy()


def random_crop_box(image_size: tuple[int, int], scale: tuple[float, float],
                    ratio: tuple[float, float],
                    rng: np.random.Generator) -> Box:
    """Draws the box of a random resized crop, as in torchvision's ``RandomResizedCrop``.

    Args:
        image_size: Width and height of the image in pixels.
        scale: Range of the crop's share of the image area.
        ratio: Range of the crop's width over height; drawn uniformly on a log scale.
        rng: Source of randomness.

    Returns:
        Left, top, right, bottom in pixels. Where ten draws do not fit, the largest central box
        whose ratio lies in the range.
    """
    width, height = image_size
    for _ in range(CROP_ATTEMPTS):
        area = width * height * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return left, top, left + w, top + h

    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h
