"""A box of a JPEG file, decoded by libjpeg-turbo no further than the box needs it.

A decoder works from top to bottom, and most of its time goes into undoing the entropy coding, which
cannot be entered in the middle. So what lies below the box is left out, by telling the decoder of
fewer rows than there are; and where the box is large, it is decoded at a half, a quarter or an
eighth of its size, each reduced pixel the mean of its square, which costs nothing and does not
alias.
"""

import struct
import threading
from functools import cache
from logging import WARNING
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from .image_metadata import EXIF, XMP, orientation_in, upright
from .loading import has_too_many_scans

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels

START, END = b'\xff\xd8', b'\xff\xd9'
BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
FRAMES = range(0xC0, 0xD0)  # also of kinds that are rare, but not these three:
NO_FRAMES = {0xC4, 0xC8, 0xCC}
SCAN, APP1 = 0xDA, 0xE1
# Markers without a length, which have no place in a header.
STANDALONE = {0x00, 0x01, *range(0xD0, 0xDA)}
MAX_TRAILER = 4096  # bytes after the image that a file may have
LEFT_OVER = 'extraneous bytes before marker'  # libjpeg's words
REDUCTIONS = (8, 4, 2)  # those that libjpeg-turbo is fast at
MAX_SCRATCH = 2**25  # bytes; of which no more than what is used takes memory

_scratch_of_thread = threading.local()


class Frame(NamedTuple):
    """What a JPEG file's header says.

    Attributes:
        rows_at: Where in the file the number of rows stands, as two bytes.
        width: Pixels a row, as stored.
        height: Rows, as stored.
        orientation: EXIF orientation, 1 to 8.
        scan_at: Where the first scan starts.
    """

    rows_at: int
    width: int
    height: int
    orientation: int
    scan_at: int


class JpegImage:
    """A JPEG file's content, not decoded yet.

    Args:
        data: The file's content.
        frame: Of this file.

    Attributes:
        size: Width and height in pixels, upright.
    """

    def __init__(self, data: bytes, frame: Frame) -> None:
        self.orientation = orientation = frame.orientation
        self.data = data
        self.frame = frame
        self.transposed = orientation >= 5
        self.flipped_x = orientation in (2, 3, 6, 7)  # after transposing
        self.flipped_y = orientation in (3, 4, 7, 8)
        stored = frame.width, frame.height
        self.size = stored[::-1] if self.transposed else stored

    def region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        """The pixels of a box, ``(h, w, 3)`` uint8 RGB, valid until this thread reads another.

        Args:
            box: In the upright image. A reduced one is widened or narrowed by less than a reduced
                pixel at each side.
            enough: Width and height below which it must not be reduced.

        Raises:
            ValueError: The file cannot be decoded.
        """
        (width, height), (left, top, right, bottom) = self.size, box
        if self.flipped_x:
            left, right = width - right, width - left
        if self.flipped_y:
            top, bottom = height - bottom, height - top
        if self.transposed:
            left, top, right, bottom = top, left, bottom, right
            enough = enough[::-1]
        pixels = self._stored_region((left, top, right, bottom), enough)
        return upright(pixels, self.orientation)

    def _stored_region(self, box: Box, enough: tuple[int, int]) -> np.ndarray:
        left, top, right, bottom = box
        shrink = next((factor for factor in REDUCTIONS
                       if (right - left) // factor >= enough[0]
                       and (bottom - top) // factor >= enough[1]), 1)
        # Colours may be stored at half the rows, and are interpolated from the row below too.
        rows = min(bottom + 2 * shrink, self.frame.height)
        shortened = bytearray(self.data)
        struct.pack_into('>H', shortened, self.frame.rows_at, rows)
        pixels = _decode(shortened, rows, self.frame.width, shrink)
        left, top, right, bottom = (round(edge / shrink) for edge in (left, top, right, bottom))
        return pixels[top:bottom, left:right]


@cache
def announce_missing_decoder() -> None:
    """Says once in the log, if simplejpeg is not installed, what that costs."""
    if simplejpeg is None:
        print_log('simplejpeg is not installed: JPEG files are decoded whole, which makes the data '
                  'pipeline slower (docs/performance.md); pip install simplejpeg',
                  logger='current', level=WARNING)


def _decode(data: bytearray, rows: int, columns: int, shrink: int) -> np.ndarray:
    """The pixels of a file that is of so many rows or was told so; valid until the next call."""
    height, width = -(-rows // shrink), -(-columns // shrink)
    memory = _scratch(height * width * 3)
    simplejpeg.decode_jpeg_header(data)  # so that what follows comes from the pixels
    try:
        simplejpeg.decode_jpeg(data, min_height=height, min_width=width, min_factor=shrink,
                               buffer=memory)
    except ValueError as error:
        # It names the first thing it finds wrong. What follows the last row that it was told of
        # comes after all the pixels, which are in the memory then.
        if LEFT_OVER not in str(error):
            raise
    return memory[:height * width * 3].reshape(height, width, 3)


def _scratch(size: int) -> np.ndarray:
    """Memory to decode into, this thread's own if that is large enough.

    Memory that is given back to the system after every image is cleared by it for the next, which
    takes a fifth of the time that decoding takes.
    """
    if size > MAX_SCRATCH:
        return np.empty(size, dtype=np.uint8)
    if getattr(_scratch_of_thread, 'memory', None) is None:
        _scratch_of_thread.memory = np.empty(MAX_SCRATCH, dtype=np.uint8)
    return _scratch_of_thread.memory


def parse_jpeg(data: bytes, max_pixels: int) -> JpegImage | None:
    """A file's content as a JPEG image, or None if the plain reader should have it.

    That is what is no JPEG file, a JPEG file of a rare kind (CMYK, lossless, arithmetic), one that
    was cut off, is too large or has too many scans, and anything at all where simplejpeg is not
    installed.

    Args:
        data: The file's content.
        max_pixels: Width times height above which it is too large.
    """
    if simplejpeg is None or data[:2] != START:
        return None
    frame = _parse_header(data)
    if frame is None or frame.width * frame.height > max_pixels:
        return None
    if data.find(END, max(frame.scan_at, len(data) - MAX_TRAILER)) < 0:
        return None
    if _has_several_scans(data, frame) and has_too_many_scans(data):
        return None
    return JpegImage(data, frame)


def _parse_header(data: bytes) -> Frame | None:
    position, size, exif, xmp = len(START), None, b'', b''
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in STANDALONE:
            return None
        if marker == SCAN:
            return size and Frame(*size, orientation_in(exif, xmp), position)
        end = position + 2 + int.from_bytes(data[position + 2:position + 4], 'big')
        if marker in FRAMES and marker not in NO_FRAMES:
            size = _parse_size(data, position)
            if size is None:
                return None
        elif marker == APP1 and data.startswith(EXIF, position + 4):
            exif += data[position + 4 + len(EXIF):end]
        elif marker == APP1 and data.startswith(XMP, position + 4):
            xmp = data[position + 4:end]
        position = end
    return None


def _has_several_scans(data: bytes, frame: Frame) -> bool:
    components = data[frame.rows_at + 4:frame.rows_at + 5]
    return data[frame.rows_at - 4] == PROGRESSIVE or (
        data[frame.scan_at + 4:frame.scan_at + 5] != components)


def _parse_size(data: bytes, position: int) -> tuple[int, int, int] | None:
    """A frame's ``rows_at``, ``width`` and ``height``; None for one of a rare kind."""
    if position + 10 > len(data):
        return None
    marker, precision, rows, width, components = struct.unpack_from('>xBxxBHHB', data, position)
    usual = marker in (BASELINE, EXTENDED, PROGRESSIVE) and precision == 8 and components in (1, 3)
    return (position + 5, width, rows) if usual and rows and width else None
