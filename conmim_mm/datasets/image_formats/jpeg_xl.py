"""How many pixels a JPEG XL file has: its reader for Pillow decodes them all to find out."""

MARKS = b'\xff\x0a', b'\0\0\0\x0cJXL \r\n\x87\n'  # a bare code stream, and one in a container
_BOXES = (b'jxlc', 4), (b'jxlp', 8)  # of a code stream or its parts, and how far behind these it is
_LENGTHS = 9, 13, 18, 30  # bits that a side may have
_RATIOS = 1, 1.2, 4 / 3, 1.5, 16 / 9, 1.25, 2  # width over height, by their numbers from 1


def count_pixels(data: bytes) -> int:
    """Height times width, from the header (ISO 18181-1, D.2).

    Raises:
        ValueError: A container without a code stream.
    """
    start = 0 if data.startswith(MARKS[0]) else min(
        (place + skip for name, skip in _BOXES if (place := data.find(name)) >= 0), default=None)
    if start is None:
        raise ValueError('a JPEG XL file without a code stream')
    bits = int.from_bytes(data[start + 2:start + 14], 'little')

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & (1 << count) - 1, bits >> count
        return value

    is_small = take(1)

    def side() -> int:
        return 8 * (take(5) + 1) if is_small else take(_LENGTHS[take(2)]) + 1

    height = side()
    ratio = take(3)
    return height * (int(height * _RATIOS[ratio - 1]) if ratio else side())
