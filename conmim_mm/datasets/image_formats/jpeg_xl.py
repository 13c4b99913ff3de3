"""What the header of a JPEG XL file says: its reader for Pillow decodes all to find out."""

from typing import NamedTuple

MARKS = b'\xff\x0a', b'\0\0\0\x0cJXL \r\n\x87\n'  # a bare code stream, and one in a container
_BOXES = (b'jxlc', 4), (b'jxlp', 8)  # of a code stream or its parts, and how far behind these it is
_LENGTHS = 9, 13, 18, 30  # bits that a side may have
_RATIOS = 1, 1.2, 4 / 3, 1.5, 16 / 9, 1.25, 2  # width over height, by their numbers from 1
_DEPTHS = 8, 10, 12  # by their numbers from 0; the next is for others


class Header(NamedTuple):
    """What a header says.

    Attributes:
        pixels: Height times width.
        depth: Bits of a whole number; 0 for floats, and where it is not known.
        orientation: EXIF's, which decoders undo.
    """

    pixels: int
    depth: int
    orientation: int


def read_header(data: bytes) -> Header:
    """The header of a file (ISO 18181-1, D.2 and D.3).

    Raises:
        ValueError: A container without a code stream.
    """
    start = 0 if data.startswith(MARKS[0]) else min(
        (place + skip for name, skip in _BOXES if (place := data.find(name)) >= 0), default=None)
    if start is None:
        raise ValueError('a JPEG XL file without a code stream')
    bits = int.from_bytes(data[start + 2:start + 34], 'little')

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & (1 << count) - 1, bits >> count
        return value

    def take_size() -> int:
        is_small = take(1)

        def side() -> int:
            return 8 * (take(5) + 1) if is_small else take(_LENGTHS[take(2)]) + 1

        height = side()
        ratio = take(3)
        return height * (int(height * _RATIOS[ratio - 1]) if ratio else side())

    pixels = take_size()
    if take(1):  # all is as usual
        return Header(pixels, 8, 1)
    orientation, is_still = 1, True
    if take(1):
        orientation = take(3) + 1
        if take(1):
            take_size()  # that it is to be shown at
        is_still = not take(2)  # else there is a preview, or are frames, and more of these
    is_float, number = take(1), take(2)
    depth = _DEPTHS[number] if number < len(_DEPTHS) else take(6) + 1
    return Header(pixels, depth if is_still and not is_float else 0, orientation)
