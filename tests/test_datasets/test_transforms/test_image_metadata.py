"""Metadata that is wrong, or much, costs no image; both readers turn it the same way up."""

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conmim_mm.datasets import read_rgb
from conmim_mm.datasets.transforms.image_metadata import orientation_in
from conmim_mm.datasets.transforms.two_views import open_image

UPRIGHT = np.zeros((48, 32, 3), dtype=np.uint8)
UPRIGHT[:16, :16] = 200, 100, 50
UPRIGHT[32:, 16:] = 90, 90, 200
MEGABYTES = bytes(3 << 20)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack('<HHII', tag, kind, count, value)


def tiff(*entries: bytes, tail: bytes = b'') -> bytes:
    """EXIF data of these entries; what they point to starts right behind them."""
    return (b'II*\0' + struct.pack('<IH', 8, len(entries)) + b''.join(entries) + bytes(4) + tail)


SIDE = entry(0x0112, 3, 1, 6)  # lies on its side
BAD_EXIF = {
    'no TIFF': b'no TIFF at all',
    'empty': b'',
    'cut off': tiff(SIDE)[:12],
    'far away': b'II*\0' + struct.pack('<I', 2**31),
    'rational by 0': tiff(SIDE, entry(0x011A, 5, 1, 38), tail=struct.pack('<II', 1, 0)),
    'rational too short': tiff(SIDE, entry(0x011A, 5, 1, 10**6), entry(0x0128, 3, 1, 2)),
    'no number': tiff(SIDE, entry(0x011A, 2, 4, 0x41414141), entry(0x0128, 2, 4, 0x42424242)),
    'nothing of it': tiff(SIDE, entry(0x011A, 5, 0, 0), entry(0x0128, 3, 0, 0)),
    'unknown type': tiff(SIDE, entry(0x011A, 99, 7, 7)),
    'folder elsewhere': tiff(SIDE, entry(0x8769, 4, 1, 2**31), entry(0x8825, 13, 1, 2**32 - 1)),
    'folder in itself': tiff(SIDE, entry(0x8769, 4, 1, 8)),
    'text for a folder': tiff(SIDE, entry(0x8769, 2, 4, 0x41414141)),
    'signed': tiff(SIDE, entry(0x0132, 10, 1, 38), tail=struct.pack('<ii', -1, -2**31)),
}
XMP_SIDE = b'<x tiff:Orientation="6"/>'


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', crc)


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack('>BBH', 0xFF, marker, len(body) + 2) + body


def encoded(kind: str, stored: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(stored).save(file, kind, **options)
    return file.getvalue()


def png(stored: np.ndarray, *chunks: bytes, last: bool = False) -> bytes:
    data = encoded('PNG', stored)
    place = data.index(b'IEND') - 4 if last else 33
    return data[:place] + b''.join(chunks) + data[place:]


def jpeg(stored: np.ndarray, *segments: bytes, jfif: bytes | None = None) -> bytes:
    data = encoded('JPEG', stored, quality=100, subsampling=0)
    kept = data[2:20] if jfif is None else jfif
    return data[:2] + kept + b''.join(segments) + data[20:]


def webp(stored: np.ndarray, exif: bytes) -> bytes:
    return encoded('WEBP', stored, lossless=True, exif=exif)


def tif(stored: np.ndarray, *entries: bytes, compression: str = 'raw') -> bytes:
    """With these entries, too; they have to be in order."""
    data = bytearray(encoded('TIFF', stored, compression=compression))
    start, = struct.unpack_from('<I', data, 4)
    count, = struct.unpack_from('<H', data, start)
    old = [bytes(data[at:at + 12]) for at in range(start + 2, start + 2 + 12 * count, 12)]
    new = {struct.unpack_from('<H', row)[0]: row for row in (*old, *entries)}
    struct.pack_into('<I', data, 4, len(data))
    rows = b''.join(new[tag] for tag in sorted(new))
    return bytes(data) + struct.pack('<H', len(new)) + rows + bytes(4)


SIDEWAYS = UPRIGHT.transpose(1, 0, 2)[::-1].copy()
FILES: dict[str, Callable[[], bytes]] = {
    **{f'{kind} {name}': (lambda make=make, exif=exif: make(
        SIDEWAYS if SIDE in exif else UPRIGHT, exif))
       for (name, exif), (kind, make) in itertools.product(BAD_EXIF.items(), {
           'png': lambda stored, exif: png(stored, chunk(b'eXIf', exif)),
           'png behind': lambda stored, exif: png(stored, chunk(b'eXIf', exif), last=True),
           'jpeg': lambda stored, exif: jpeg(stored, segment(0xE1, b'Exif\0\0' + exif)),
           'jpeg alone': lambda stored, exif: jpeg(
               stored, segment(0xE1, b'Exif\0\0' + exif), jfif=b''),
           'webp': lambda stored, exif: webp(stored, b'Exif\0\0' + exif)}.items())},
    'png sum': lambda: png(SIDEWAYS, chunk(b'eXIf', tiff(SIDE), crc=1)),
    'png text sum': lambda: png(UPRIGHT, chunk(b'tEXt', b'a\0b', crc=1)),
    'png profile': lambda: png(
        SIDEWAYS, chunk(b'iCCP', b'a\0\0' + zlib.compress(MEGABYTES)), chunk(b'eXIf', tiff(SIDE))),
    'png profile by no method': lambda: png(UPRIGHT, chunk(b'iCCP', b'a\0\7x')),
    'png no profile': lambda: png(UPRIGHT, chunk(b'iCCP', b'')),
    'png text': lambda: png(UPRIGHT, chunk(b'zTXt', b'a\0\0' + zlib.compress(MEGABYTES))),
    'png xmp': lambda: png(UPRIGHT, chunk(
        b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(MEGABYTES))),
    'png text behind': lambda: png(
        UPRIGHT, chunk(b'zTXt', b'a\0\0' + zlib.compress(MEGABYTES)), last=True),
    'png much text': lambda: png(UPRIGHT, *[chunk(b'tEXt', b'a\0' + bytes(2**20))] * 66),
    'png short': lambda: png(UPRIGHT, *(chunk(kind, b'a') for kind in (
        b'pHYs', b'gAMA', b'cHRM', b'sRGB', b'zTXt', b'iTXt', b'acTL'))),
    'png exif in hex': lambda: png(SIDEWAYS, chunk(
        b'tEXt', b'Raw profile type exif\0\nexif\n 99\n' + (b'Exif\0\0' + tiff(SIDE)).hex().encode()
    )),
    'png no hex': lambda: png(UPRIGHT, chunk(b'tEXt', b'Raw profile type exif\0\nexif\n9\nxyz')),
    'png xmp turns': lambda: png(
        SIDEWAYS, chunk(b'iTXt', b'XML:com.adobe.xmp\0\0\0\0\0' + XMP_SIDE), chunk(b'eXIf', b'x')),
    'jpeg jfif': lambda: jpeg(UPRIGHT, jfif=segment(0xE0, b'JFIF\0')),
    'jpeg adobe': lambda: jpeg(UPRIGHT, segment(0xEE, b'Adobe')),
    'jpeg flashpix': lambda: jpeg(UPRIGHT, segment(0xE2, b'MPF\0II*\0junk')),
    'jpeg photoshop': lambda: jpeg(UPRIGHT, segment(0xED, b'Photoshop 3.0\0' + b'8BIM\3\xed')),
    'jpeg profile': lambda: jpeg(UPRIGHT, segment(0xE2, b'ICC_PROFILE\0')),
    'jpeg exif and jfif': lambda: jpeg(
        SIDEWAYS, segment(0xE1, b'Exif\0\0' + tiff(SIDE)), jfif=segment(0xE0, b'JFIF\0')),
    'jpeg exif in two': lambda: jpeg(
        SIDEWAYS, *(segment(0xE1, b'Exif\0\0' + part) for part in (tiff(SIDE)[:15],
                                                                  tiff(SIDE)[15:]))),
    'jpeg xmp turns': lambda: jpeg(
        SIDEWAYS, segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0' + XMP_SIDE)),
    **{f'tiff {compression} {name}': (lambda rows=rows, compression=compression: tif(
        SIDEWAYS, SIDE, *rows, compression=compression))
       for (name, rows), compression in itertools.product({
           'right': [], 'resolution': [entry(282, 2, 4, 7), entry(283, 2, 4, 7),
                                       entry(296, 3, 1, 3)],
           'xmp': [entry(700, 13, 1, 7)], 'text': [entry(270, 2, 2**30, 7)],
           'folders': [entry(0x8769, 4, 1, 2**32 - 1), entry(0x8825, 2, 4, 1)],
       }.items(), ('raw', 'tiff_lzw'))},
}


@pytest.mark.parametrize('name', FILES)
@pytest.mark.filterwarnings('ignore')  # Pillow's
def test_no_metadata_costs_an_image(name: str, tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(FILES[name]())
    lossy = name.startswith('jpeg')
    whole = np.asarray(read_rgb(str(path))).astype(int)
    np.testing.assert_allclose(whole, UPRIGHT.astype(int), atol=4 * lossy)
    image = open_image(str(path), 10**6)
    assert image.size == (32, 48)
    region = image.region((0, 0, 32, 48), (10**6, 10**6)).astype(int)
    np.testing.assert_allclose(region, whole, atol=2 * lossy)


@pytest.mark.parametrize('order', '<>')
@pytest.mark.parametrize('kind, code', [(3, 'H'), (4, 'I'), (8, 'h'), (9, 'i')])
def test_orientations_are_pillows(order: str, kind: int, code: str) -> None:
    for value in range(12):
        field = struct.pack(f'{order}HHI{code}', 0x0112, kind, 1, value).ljust(12, b'\0')
        data = (b'II' if order == '<' else b'MM') + struct.pack(f'{order}HIH', 42, 8, 1) \
            + field + bytes(4)
        exif = Image.Exif()
        exif.load(data)
        expected = exif[0x0112] if exif[0x0112] in range(1, 9) else 1
        assert orientation_in(data) == orientation_in(b'Exif\0\0' + data) == expected
