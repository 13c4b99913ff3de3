"""DICOM files that pydicom writes: units, windows, colours and frames."""

import sys
from pathlib import Path

import numpy as np
import pytest

from conmim_mm.datasets import ImageReading
from conmim_mm.datasets.reading import read_levels, read_stored
from conmim_mm.errors import UnreadableImageError

pydicom = pytest.importorskip('pydicom')

CT = np.random.default_rng(0).integers(0, 4096, (16, 20)).astype('uint16')
MAX = 10**6


def write(path: Path, pixels: np.ndarray, photometric: str = 'MONOCHROME2', bits: int = 12,
          compressed: bool = False, **more: object) -> str:
    """A file of pixels ``(H, W)``, ``(H, W, 3)``, or with frames before these."""
    file = pydicom.Dataset()
    file.file_meta = pydicom.dataset.FileMetaDataset()
    file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = '1.2.840.10008.5.1.4.1.1.7', '1.2.3'
    file.PhotometricInterpretation = photometric
    file.SamplesPerPixel = 3 if photometric in ('RGB', 'YBR_FULL') else 1
    frames = pixels.ndim - (file.SamplesPerPixel > 1) > 2
    if frames:
        file.NumberOfFrames = len(pixels)
    file.Rows, file.Columns = pixels.shape[frames:frames + 2]
    file.BitsAllocated, file.BitsStored = 8 * pixels.itemsize, bits
    file.HighBit, file.PixelRepresentation = bits - 1, int(pixels.dtype.kind == 'i')
    file.PlanarConfiguration = 0
    file.PixelData = pixels.tobytes()
    for name, value in more.items():
        setattr(file, name, value)
    if compressed:
        file.compress(pydicom.uid.RLELossless)
    file.save_as(path, enforce_file_format=True)
    return str(path)


@pytest.mark.parametrize('compressed', [False, True])
def test_units_and_their_range(tmp_path: Path, compressed: bool) -> None:
    path = write(tmp_path / 'a.dcm', CT, compressed=compressed, RescaleSlope=2,
                 RescaleIntercept=-1024)
    stored = read_stored(path, ImageReading(1), MAX)
    assert np.array_equal(stored.pixels[..., 0], 2. * CT - 1024)
    assert stored.window is None and stored.whole == (-1024, 2 * 4095 - 1024)
    levels = read_levels(path, ImageReading(1, (0, 100)))
    assert np.array_equal(levels[..., 0], np.rint(np.clip(2.55 * (2. * CT - 1024), 0, 255)))
    for how in (ImageReading(1), ImageReading(1, 'dtype')):
        assert np.abs(read_levels(path, how)[..., 0] - CT / 4095 * 255).max() <= 0.5
    assert np.array_equal(read_levels(path), read_levels(path, ImageReading(1)).repeat(3, axis=2))


def test_a_window_counts_unless_there_is_a_range(tmp_path: Path) -> None:
    path = write(tmp_path / 'a.dcm', CT, WindowCenter=[2000, 1], WindowWidth=[1001, 9])
    expected = np.clip((CT - 1499.5) / 1000 * 255, 0, 255)
    assert np.abs(read_levels(path, ImageReading(1))[..., 0] - expected).max() <= 0.5
    assert read_stored(path, ImageReading(1)).pixels.dtype == np.uint16
    whole = read_levels(path, ImageReading(1, 'dtype'))
    assert np.abs(whole[..., 0] - CT / 4095 * 255).max() <= 0.5


def test_white_may_be_zero_and_values_signed(tmp_path: Path) -> None:
    signed = CT.astype('int16') - 2048
    path = write(tmp_path / 'a.dcm', signed, 'MONOCHROME1')
    expected = 255 - (signed + 2048) / 4095 * 255
    assert np.abs(read_levels(path, ImageReading(1))[..., 0] - expected).max() <= 0.5


def test_colours_and_frames(tmp_path: Path) -> None:
    colours = (np.stack([CT, CT.T.reshape(16, 20), CT // 3], axis=-1) // 16).astype('uint8')
    path = write(tmp_path / 'a.dcm', colours, 'RGB', bits=8)
    assert np.array_equal(read_levels(path), colours)
    frames = np.stack([CT, CT // 2, CT // 3])
    path = write(tmp_path / 'b.dcm', frames)
    stored = read_stored(path, ImageReading(3, bands_from='pages'), MAX)
    assert np.array_equal(stored.pixels, np.moveaxis(frames, 0, -1))
    assert np.array_equal(read_stored(path, ImageReading(1), MAX).pixels, CT[..., None])
    with pytest.raises(UnreadableImageError) as error:
        read_stored(path, ImageReading(4), MAX)
    assert error.value.reason == (
        'it has 1 channel, not 4 (3 frames, which --bands-from pages takes as bands)')


def test_frames_have_units_of_their_own(tmp_path: Path) -> None:
    """In enhanced files, where those of the file itself do not stand."""
    def group(name: str, **values: object) -> pydicom.Dataset:
        inner, outer = pydicom.Dataset(), pydicom.Dataset()
        inner.update(values)
        setattr(outer, name, [inner])
        return outer

    frames = np.stack([CT, CT // 2])
    path = write(
        tmp_path / 'a.dcm', frames,
        SharedFunctionalGroupsSequence=[group('FrameVOILUTSequence', WindowCenter=40.5,
                                              WindowWidth=401)],
        PerFrameFunctionalGroupsSequence=[
            group('PixelValueTransformationSequence', RescaleSlope=slope, RescaleIntercept=-1024)
            for slope in (1, 3)])
    stored = read_stored(path, ImageReading(2, bands_from='pages'), MAX)
    expected = np.stack([CT - 1024., 3. * (CT // 2) - 1024], axis=-1)
    assert np.array_equal(stored.pixels, expected)
    assert stored.window == (-160, 240) and stored.whole == (-1024, 4095 - 1024)
    assert np.array_equal(read_stored(path, ImageReading(1), MAX).pixels, expected[..., :1])


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / 'a.dcm', CT)
    with pytest.raises(UnreadableImageError, match='more pixels than max_pixels=100'):
        read_stored(path, ImageReading(1), 100)
    (tmp_path / 'b.dcm').write_bytes(Path(path).read_bytes()[:400])
    with pytest.raises(UnreadableImageError):
        read_stored(str(tmp_path / 'b.dcm'), ImageReading(1), MAX)
    lying = write(tmp_path / 'c.dcm', CT, Rows=30000, Columns=30000)
    with pytest.raises(UnreadableImageError):
        read_stored(lying, ImageReading(1), 10**10)
    monkeypatch.setitem(sys.modules, 'pydicom', None)
    with pytest.raises(UnreadableImageError) as error:
        read_stored(path, ImageReading(1), MAX)
    assert error.value.reason == 'a DICOM file needs pydicom: pip install pydicom'
