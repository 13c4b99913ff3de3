"""Tar shards for tests."""

import io
import tarfile
from pathlib import Path

from conmim_mm.datasets import ImageFiles


def write_shard(path: Path, files: dict[str, bytes], **options) -> Path:
    """A tar file of these files, by name, in their order."""
    with tarfile.open(path, 'w', **options) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def shard_tree(folder: Path, out: Path, per_shard: int) -> Path:
    """Shards of the images below a folder, in the order of ImageFiles: out/0.tar, out/1.tar, ..."""
    images = ImageFiles(data_root=str(folder), serialize_data=False).data_list
    paths = [Path(image['img_path']) for image in images]
    out.mkdir()
    for number, start in enumerate(range(0, len(paths), per_shard)):
        write_shard(out / f'{number}.tar', {
            str(path.relative_to(folder)): path.read_bytes()
            for path in paths[start:start + per_shard]})
    return out
