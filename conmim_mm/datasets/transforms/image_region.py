"""An image from which a box is cut, decoded only as far as the box needs it."""

import numpy as np

from .jpeg_region import Box, JpegImage, parse_jpeg
from .loading import read_rgb, reading


class WholeImage:
    """An image whose pixels are all there.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB, upright.

    Attributes:
        size: Width and height in pixels.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.size = pixels.shape[1], pixels.shape[0]

    def region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        """The pixels of a box, ``(h, w, 3)`` uint8 RGB, as they are."""
        left, top, right, bottom = box
        return self.pixels[top:bottom, left:right]


class LazyJpeg:
    """A JPEG file that is decoded when the box is known; by the plain reader if that fails.

    Args:
        jpeg: The file's content.
        path: What errors call it.
        max_pixels: As in :func:`open_image`.

    Attributes:
        size: Width and height of the upright image in pixels.
    """

    def __init__(self, jpeg: JpegImage, path: str, max_pixels: int) -> None:
        self.jpeg = jpeg
        self.path = path
        self.max_pixels = max_pixels
        self.size = jpeg.size

    def region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        """As :meth:`JpegImage.region`."""
        with reading(self.path):
            try:
                return self.jpeg.region(box, enough)
            except ValueError:  # whether a damaged file is readable, the plain reader decides
                image = read_rgb(self.path, self.max_pixels, self.jpeg.data)
                return WholeImage(np.asarray(image)).region(box, enough)


def open_image(path: str, max_pixels: int, data: bytes | None = None) -> WholeImage | LazyJpeg:
    """Opens an image file for cutting boxes out of it.

    The usual kinds of JPEG files are decoded no further than a box needs, anything else by
    :func:`read_rgb`, and it refuses what that refuses. Except that
    damage below the box goes unnoticed; a file that was cut off does not.

    Args:
        path: The file.
        max_pixels: As for :func:`read_rgb`.
        data: The file's content, if it is known already.

    Raises:
        UnreadableImageError: As :func:`read_rgb`; ``region`` too may
            raise it.
    """
    with reading(path):
        if data is None:
            with open(path, 'rb') as file:
                data = file.read()
        jpeg = parse_jpeg(data, max_pixels)
        if jpeg is None:
            return WholeImage(np.asarray(read_rgb(path, max_pixels, data)))
        return LazyJpeg(jpeg, path, max_pixels)
