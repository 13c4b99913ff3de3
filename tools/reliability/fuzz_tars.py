"""Damaged tar files for fuzz.py."""

import io
import tarfile
from pathlib import Path

import numpy as np
from damages import Fault, choose, damaged

from conmim_mm.datasets import TarShards


def write_tar(folder: Path, rng: np.random.Generator) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode='w', format=int(rng.integers(3)),
                      encoding='utf-8') as tar:
        for name in ('a.jpg', f'{"long" * 20}/{"long" * 20}.png', 'größe.webp', 'a.cls', 'd.jpg'):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 600, {'comment': 'x' * int(rng.integers(1, 30))}
            info.mtime = 1.5  # which only pax can say
            tar.addfile(info, io.BytesIO(bytes(600)))
    blocks = bytearray(content.getvalue())
    if rng.random() < 0.05:  # headers that lead from one to the next
        kind = choose(rng, [b'L', b'K', b'x', b'S'])
        blocks[:0] = header(b'a.jpg', b'0' * 11, kind) * int(rng.integers(1, 5000))
    for _ in range(rng.integers(1, 4)):
        damage_tar(blocks, rng)
    (folder / 'a.tar').write_bytes(blocks)


def header(name: bytes, size: bytes, kind: bytes) -> bytes:
    """A block that tarfile takes for a header."""
    block = bytearray(name.ljust(124, b'\0') + size.ljust(32, b'\0') + kind).ljust(512, b'\0')
    block[257:265] = b'ustar\x0000'
    sign(block, 0)
    return bytes(block)


def sign(blocks: bytearray, start: int) -> None:
    """Makes a header's check sum right."""
    blocks[start + 148:start + 156] = b' ' * 8
    blocks[start + 148:start + 156] = b'%06o\0 ' % sum(blocks[start:start + 512])


def damage_tar(blocks: bytearray, rng: np.random.Generator) -> None:
    """In a header whose check sum is made right again, or anywhere."""
    starts = [start for start in range(0, len(blocks) - 512, 512)
              if blocks[start + 257:start + 262] == b'ustar']
    if not starts or rng.random() < 0.3:
        blocks[:] = damaged(bytes(blocks), [bytes(blocks[512:]) or b'x'], rng) or b'x'
        return
    start = choose(rng, starts)
    places = [(124, 12), (156, 1), (0, 100), (345, 155), (386, 97), (512, 300)]  # size, kind, ...
    place, length = choose(rng, places)
    values = [rng.bytes(length), b'\xff' * length, b'\x80' + bytes(length - 1), b'7' * length,
              choose(rng, [b'x', b'g', b'S', b'L', b'K', b'1', b'V']),
              b'99 size=' + b'9' * 80 + b'\n', b'30 GNU.sparse.map=0,9,9\n',
              b'999999999 path=a\n', b'-5 path=a\n']
    blocks[start + place:start + place + length] = choose(rng, values)[:length].ljust(length, b'\0')
    sign(blocks, start)


def read_tar(folder: Path) -> None:
    shards = TarShards(str(folder / 'a.tar'))
    for number in range(min(len(shards), 20)):
        info = shards.get_data_info(number)
        if len(shards.source(info)['img_bytes']) != info['num_bytes']:
            raise Fault('an image is shorter than its header says')
