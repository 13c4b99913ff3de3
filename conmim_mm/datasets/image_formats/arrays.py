"""Arrays of NumPy as images."""

import zipfile
from io import BytesIO
from typing import IO

import numpy as np

from .stored import OtherBands, Stored, check_array

NPY, NPZ = b'\x93NUMPY', b'PK\x03\x04'
IMAGE_KEY = 'image'
MAX_HEADER = 10_000  # characters, as NumPy's own limit


def read_array(data: bytes, channels: int, max_pixels: int) -> Stored:
    """An array ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)`` of a .npy or .npz file.

    Of several arrays it is that of the name ``image``. Nothing but numbers is read, so nothing in
    the file is ever run.

    Args:
        data: The file's content.
        channels: C, which tells the bands from the rows; where both ends of the shape are C, the
            last one is the bands.
        max_pixels: Height times width above which nothing is read.

    Raises:
        ValueError: Another shape or type, too large, or damaged.
    """
    if data.startswith(NPY):
        return Stored(_read(BytesIO(data), channels, max_pixels))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name.endswith('.npy')]
        name = names[0] if len(names) == 1 else f'{IMAGE_KEY}.npy'
        if name not in names:
            raise ValueError(f'it has {len(names)} arrays, none of them called {IMAGE_KEY}')
        with archive.open(name) as one:
            return Stored(_read(one, channels, max_pixels))


def _read(file: IO[bytes], channels: int, max_pixels: int) -> np.ndarray:
    major, _ = np.lib.format.read_magic(file)
    header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if major not in header:
        raise ValueError(f'it is of version {major} of the format, which is for names of fields')
    shape, is_fortran, dtype = header[major](file, max_header_size=MAX_HEADER)
    axis = _band_axis(shape, channels)
    check_array(shape, dtype, max_pixels, 1 if axis is None else shape[axis])
    size = int(np.prod(shape)) * dtype.itemsize
    content = file.read(size)
    if len(content) < size:
        raise ValueError('it ends too early')
    pixels = np.frombuffer(content, dtype).reshape(shape, order='F' if is_fortran else 'C')
    return pixels[..., np.newaxis] if axis is None else np.moveaxis(pixels, axis, -1)


def _band_axis(shape: tuple[int, ...], channels: int) -> int | None:
    if len(shape) == 2:
        return None
    if len(shape) == 3:
        for bands in (channels, 1):  # one band may be repeated
            for axis in (-1, 0):
                if shape[axis] == bands:
                    return axis
    reason = f'it has the shape {shape}, which is neither (H, W, {channels}) nor ({channels}, H, W)'
    raise OtherBands(reason, min(shape[0], shape[-1])) if len(shape) == 3 else ValueError(reason)
