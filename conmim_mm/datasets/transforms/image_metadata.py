"""What an image file says beside its pixels: which way is up, and a copy without all the rest.

Metadata is written by many programs, and often wrongly. It must not cost an image.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np

ORIENTATION = 0x0112
EXIF, XMP = b'Exif\0\0', b'http://ns.adobe.com/xap/1.0/\0'  # how such segments of a JPEG begin
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_INTEGERS = {3: 'H', 4: 'I', 8: 'h', 9: 'i'}  # by TIFF's number of the type

_JPEG, _PNG = b'\xff\xd8', b'\x89PNG\r\n\x1a\n'
_NEEDED_CHUNKS = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
# JFIF and Adobe tell in which colours the pixels are.
_JFIF, _ADOBE, _COMMENT, _SCAN = 0xE0, 0xEE, 0xFE, 0xDA
_SHORTEST = {_JFIF: 14, _ADOBE: 12}
_NEEDED_TAGS = {
    *range(254, 260), 262, 266, 273, ORIENTATION, 277, 278, 279, 284, 292, 293, 317, 320,
    *range(322, 326), 332, 334, 338, 339, 347, *range(512, 522), *range(529, 533)}


def orientation_in(exif: bytes, xmp: bytes = b'') -> int:
    """How an image is to be turned, 1 to 8 as in EXIF; 1, as it is, where nothing says so.

    Args:
        exif: EXIF data, which are a TIFF file, with or without their name before them.
        xmp: XMP, which counts where EXIF has nothing.
    """
    tiff, found = re.sub(b'^(Exif\0\0){1,2}', b'', exif), None
    with suppress(KeyError, struct.error):
        order = {b'II': '<', b'MM': '>'}[tiff[:2]]
        start, = struct.unpack_from(f'{order}I', tiff, 4)
        entries, = struct.unpack_from(f'{order}H', tiff, start)
        for place in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f'{order}HHI', tiff, place)
            if tag == ORIENTATION and count == 1 and kind in _INTEGERS:
                found, = struct.unpack_from(order + _INTEGERS[kind], tiff, place + 8)
    if found is None and (match := _XMP_ORIENTATION.search(xmp)):
        found = int(match[1])
    return found if found in range(1, 9) else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """A view of ``(H, W, C)`` pixels as they are to be seen.

    Args:
        pixels: As they are stored.
        orientation: EXIF's, 1 to 8.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    return pixels[::-1 if orientation in (3, 4, 7, 8) else 1,
                  ::-1 if orientation in (2, 3, 6, 7) else 1]


def without_metadata(data: bytes) -> bytes | None:
    """A PNG, JPEG or TIFF file's content, less what its pixels do not need; upright as it was.

    Returns:
        None for other formats, and where its structure is damaged.
    """
    with suppress(struct.error, IndexError):
        if data.startswith(_PNG):
            return _PNG + b''.join(_needed_chunks(data))
        if data.startswith(_JPEG):
            return _needed_segments(data)
        if data[:4] in (b'II*\0', b'MM\0*'):
            return _with_needed_tags(data)
    return None


def _needed_chunks(data: bytes) -> Iterator[bytes]:
    place = len(_PNG)
    while place < len(data):
        length, kind = struct.unpack_from('>I4s', data, place)
        end = place + 12 + length
        if kind in _NEEDED_CHUNKS:
            yield data[place:end]
        elif kind == b'eXIf':
            content = kind + data[place + 8:end - 4]  # its check sum may be what is wrong
            yield struct.pack('>I', length) + content + struct.pack('>I', zlib.crc32(content))
        place = end


def _needed_segments(data: bytes) -> bytes:
    kept, exif, xmp, place = [], b'', b'', len(_JPEG)
    while data[place] == 0xFF and data[place + 1] != _SCAN:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        end = place + 2 + struct.unpack_from('>H', data, place + 2)[0]
        content = data[place + 4:end]
        if content.startswith(EXIF):
            exif += content[len(EXIF):]
        elif content.startswith(XMP):
            xmp = content
        if not (0xE0 <= marker < 0xF0 or marker == _COMMENT) or (
                len(content) >= _SHORTEST.get(marker, 1 << 16)):
            kept.append(data[place:end])
        place = end
    return b''.join([_JPEG, _exif_segment(orientation_in(exif, xmp)), *kept, data[place:]])


def _exif_segment(orientation: int) -> bytes:
    tiff = struct.pack('<2sHIHHHIHHI', b'II', 42, 8, 1, ORIENTATION, 3, 1, orientation, 0, 0)
    return struct.pack('>BBH', 0xFF, 0xE1, 2 + len(EXIF + tiff)) + EXIF + tiff


def _with_needed_tags(data: bytes) -> bytes:
    order = '<' if data.startswith(b'II') else '>'
    start, = struct.unpack_from(f'{order}I', data, 4)
    count, = struct.unpack_from(f'{order}H', data, start)
    entries = [data[place:place + 12] for place in range(start + 2, start + 2 + 12 * count, 12)]
    kept = [entry for entry in entries if struct.unpack_from(f'{order}H', entry)[0] in _NEEDED_TAGS]
    table = struct.pack(f'{order}H', len(kept)) + b''.join(kept)
    # in the old one's place, as short as it is, and the last one of the file
    return data[:start] + table + bytes(4) + data[start + len(table) + 4:]
