"""Small whole images of every kind, and the ways to damage a file or nested values."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# in the place of any value of JSON or of a checkpoint
ODD = [None, True, -1, 0, 2**80, 1e308, float('nan'), float('inf'), '', 'x' * 10**5, '\0\n\u202e',
       '../' * 9, '\ud800', [], [[]] * 3, {}, {'': None}, {'step': 'x'}, [None], ['a', 1, {}]]


OUTSIDE = 'outside'  # folder beside that of a case, which nothing may touch
SECRET, SECRET_TEXT = 'secret', 'text of a file outside'  # in it, which nothing may show


class Fault(Exception):
    """A reader has neither refused a file nor read it as it is to be read."""


def encoded() -> list[bytes]:
    """Small whole files of every kind."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    rgba = Image.fromarray(rng.integers(0, 256, (13, 17, 4), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 2**16, (13, 17), dtype=np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = 'a description'
    saved = [
        (rgb, 'JPEG', {}),
        (rgb.convert('L'), 'JPEG', {}),
        (rgb.convert('CMYK'), 'JPEG', {}),
        (rgb, 'JPEG', dict(progressive=True)),
        (rgb, 'JPEG', dict(exif=exif)),
        (rgb, 'PNG', {}),
        (deep, 'PNG', {}),
        (rgb.quantize(16), 'PNG', dict(transparency=3)),
        (rgba, 'PNG', dict(exif=exif)),
        (rgb.convert('1'), 'PNG', {}),
        (rgb, 'WEBP', {}),
        (rgba, 'WEBP', dict(lossless=True, exif=exif)),
        (rgb, 'BMP', {}),
        (rgb.quantize(16), 'BMP', {}),
        (rgb, 'TIFF', {}),
        (deep, 'TIFF', {}),
        (rgb, 'TIFF', dict(compression='tiff_lzw')),
        (rgb, 'TIFF', dict(compression='jpeg')),
    ]
    files = []
    for image, kind, options in saved:
        file = io.BytesIO()
        image.save(file, kind, **options)
        files.append(file.getvalue())
    return [*files, interlaced_png()]


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG, with its check sum."""
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def interlaced_png() -> bytes:
    """Adam7, which Pillow reads but does not write."""
    grey = np.random.default_rng(1).integers(0, 256, (13, 17), dtype=np.uint8)
    starts_and_steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2),
                        (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for y, x, dy, dx in starts_and_steps for row in grey[y::dy, x::dx]]
    pixels = zlib.compress(b''.join(b'\0' + row.tobytes() for row in rows))
    header = struct.pack('>IIBBBBB', 17, 13, 8, 0, 0, 0, 1)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', pixels) \
        + chunk(b'IEND', b'')


def flip(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    for place in rng.integers(len(file), size=rng.integers(1, 9)):
        file[place] ^= 1 << rng.integers(8)


def flip_in_header(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    for place in rng.integers(min(len(file), 64), size=rng.integers(1, 4)):
        file[place] = rng.integers(256)


def truncate(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    del file[rng.integers(len(file)):]


def insert(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    place = rng.integers(len(file))
    file[place:place] = rng.bytes(rng.integers(1, 33))


def cut_out(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    place = rng.integers(len(file))
    del file[place:place + rng.integers(1, 33)]


def blank(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    place = rng.integers(len(file))
    file[place:place + 16] = bytes([rng.choice([0, 255])]) * len(file[place:place + 16])


def swap_header(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    length = rng.integers(2, 40)
    file[:length] = other[:length]


def flip_behind_check_sums(file: bytearray, other: bytes, rng: np.random.Generator) -> None:
    """In a PNG, where check sums would stop a decoder early; elsewhere like ``flip``."""
    if not file.startswith(b'\x89PNG'):
        return flip(file, other, rng)
    chunks, place = [], 8
    while place < len(file):
        length, = struct.unpack_from('>I', file, place)
        chunks.append((bytes(file[place + 4:place + 8]), file[place + 8:place + 8 + length]))
        place += 12 + length
    kind, body = chunks[rng.integers(len(chunks) - 1)]  # the last one is empty
    body[rng.integers(len(body))] = rng.integers(256)
    file[8:] = b''.join(chunk(kind, bytes(body)) for kind, body in chunks)


DAMAGES = [flip, flip_in_header, truncate, insert, cut_out, blank, swap_header,
           flip_behind_check_sums]


def choose(rng: np.random.Generator, items: list) -> object:
    """One of them, as it is."""
    return items[rng.integers(len(items))]


def damaged(content: bytes, others: list[bytes], rng: np.random.Generator) -> bytes:
    """Some bytes of a file are others, or missing."""
    file = bytearray(content)
    choose(rng, DAMAGES)(file, choose(rng, others), rng)
    return bytes(file)


def with_odd_value(value: object, rng: np.random.Generator) -> object:
    """The same nested dicts and lists, with one value or key of another kind at some depth."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = choose(rng, list(value))
        if rng.random() < 0.1:
            return {**value, choose(rng, ['', '__class__', 'x\n']): value[key]}
        return type(value)(value | {key: with_odd_value(value[key], rng)})
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.integers(len(value))
        return [*value[:place], with_odd_value(value[place], rng), *value[place + 1:]]
    return choose(rng, ODD)
