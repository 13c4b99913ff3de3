"""Sizes from headers are those of the loaded image."""

import os
from pathlib import Path

import pytest
from PIL import Image

from conmim_mm.datasets import read_rgb
from conmim_mm.datasets.image_formats.image_size import opened, upright_size
from conmim_mm.datasets.transforms import loading
from conmim_mm.errors import UnreadableImageError


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('ending', ['jpg', 'png', 'tif', 'webp'])
def test_sizes_are_upright(tmp_path: Path, orientation: int, ending: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = str(tmp_path / f'a.{ending}')
    Image.new('RGB', (4, 7)).save(path, exif=exif)
    assert upright_size(path) == read_rgb(path).size == ((4, 7) if orientation < 5 else (7, 4))


def test_what_is_no_image_file_is_not_opened(tmp_path: Path, monkeypatch) -> None:
    os.mkfifo(tmp_path / 'pipe')
    Image.new('L', (40, 40)).save(tmp_path / 'large.png')
    monkeypatch.setattr(loading, 'MAX_BYTES', 50)
    for name, words in dict(pipe='not a regular file', missing='no such image',
                            **{'large.png': 'more than any image'}).items():
        with (pytest.raises(UnreadableImageError, match=words), opened(str(tmp_path / name))):
            pass
