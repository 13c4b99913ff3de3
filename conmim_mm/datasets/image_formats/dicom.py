"""DICOM files, by pydicom where that is installed."""

from io import BytesIO

import numpy as np

from .stored import Range, Stored, check_array, check_bands, range_of_bits

MARK = b'DICM'
MARK_AT = 128


def is_dicom(data: bytes) -> bool:
    """Whether a file's content says that it is a DICOM file."""
    return data[MARK_AT:MARK_AT + len(MARK)] == MARK


def read_dicom(data: bytes, channels: int, bands_from: str, max_pixels: int) -> Stored:
    """The first frame, or all of them, in the units that the file tells (of a CT, Hounsfield's).

    Its window is the first that the file has for the first frame; without one the range of its bits
    counts. Windows of other shapes than a line are taken for one.

    Args:
        data: The file's content.
        channels: How many bands are asked for; nothing is decoded of a file with others.
        bands_from: ``'channels'``, or ``'pages'`` to put those of all frames behind one another.
        max_pixels: Height times width above which nothing is decoded.

    Raises:
        ValueError: pydicom is missing, or one of its decoders; no image, too large, or damaged.
    """
    try:
        from pydicom import dcmread
        from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
    except ImportError:
        raise ValueError('a DICOM file needs pydicom: pip install pydicom') from None
    file = dcmread(BytesIO(data))
    if 'PixelData' not in file:
        raise ValueError('a DICOM file without an image of whole numbers')
    frames, bands = int(file.get('NumberOfFrames') or 1), int(file.SamplesPerPixel)
    taken = frames if bands_from == 'pages' else 1
    signed = file.get('PixelRepresentation') == 1
    dtype = np.dtype(f'{"i" if signed else "u"}{max(1, file.BitsAllocated // 8)}')
    check_array((taken, file.Rows, file.Columns, bands), dtype, max_pixels, taken * bands)
    kind = file.PhotometricInterpretation
    hint = f'{frames} frames, which --bands-from pages takes as bands' if frames > taken else ''
    if kind != 'PALETTE COLOR':
        check_bands(taken * bands, channels, hint=hint)
    parts = [np.atleast_3d(pixel_array(file, index=number)) for number in range(taken)]
    if kind == 'PALETTE COLOR':
        return Stored(apply_color_lut(parts[0][..., 0], file))
    whole = range_of_bits(file.BitsStored, signed)
    if not kind.startswith('MONOCHROME'):
        return Stored(np.concatenate(parts, axis=-1), whole=whole)
    for number in reversed(range(taken)):  # so that the first frame's are left
        _take_settings(file, number)
        if _is_rescaled(file):
            parts[number] = apply_modality_lut(parts[number], file).astype(np.float32)
    if _is_rescaled(file):
        whole = tuple(sorted(apply_modality_lut(np.array(whole), file).tolist()))
    return Stored(np.concatenate(parts, axis=-1), _window(file), whole, kind == 'MONOCHROME1')


def _take_settings(file: 'pydicom.Dataset', frame: int) -> None:  # noqa: F821
    """Puts a frame's units and window, which enhanced files have beside, into the file itself."""
    for groups, place in (('Shared', 0), ('PerFrame', frame)):
        for group in file.get(f'{groups}FunctionalGroupsSequence', [])[place:place + 1]:
            for name in ('PixelValueTransformationSequence', 'FrameVOILUTSequence'):
                for settings in group.get(name, [])[:1]:
                    file.update(settings)


def _is_rescaled(file: 'pydicom.Dataset') -> bool:  # noqa: F821  (need not be installed)
    return 'ModalityLUTSequence' in file or (
        float(file.get('RescaleSlope') or 1), float(file.get('RescaleIntercept') or 0)) != (1, 0)


def _window(file: 'pydicom.Dataset') -> Range | None:  # noqa: F821
    centre, width = (np.atleast_1d(file.get(name) or 0).astype(float)[0]
                     for name in ('WindowCenter', 'WindowWidth'))
    if width <= 1:
        return None
    if file.get('VOILUTFunction', 'LINEAR') == 'LINEAR':  # part 3 of the standard, C.11.2.1.2.1
        centre, width = centre - 0.5, width - 1
    return centre - width / 2, centre + width / 2
