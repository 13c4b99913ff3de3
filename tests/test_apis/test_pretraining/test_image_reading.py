"""Options for images that are not 8-bit RGB: what they write, and what they refuse."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config
from PIL import Image

from conmim_mm.apis import pretrain
from conmim_mm.apis.pretraining.image_reading import with_range
from conmim_mm.apis.pretraining.plan import PretrainOptions, plan_run
from conmim_mm.apis.pretraining.resumed_run import apply_options
from conmim_mm.apis.pretraining.starting_weights import spread_channels
from conmim_mm.checkpoint.plain_data import plain_data
from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.checkpoint.settings import saved_reading
from conmim_mm.commands import main
from conmim_mm.datasets import ImageReading
from conmim_mm.datasets.image_formats.stored import Stored
from conmim_mm.engine.hooks.start_checks.changed_settings import changed_settings
from conmim_mm.errors import InputError
from conmim_mm.models import ConMIMViT
from conmim_mm.utils.run_config import read_config
from conmim_mm.utils.work_dir import last_checkpoint

from ...labelled import write_labelled_images, write_labelled_maps
from .test_starting_weights import source_of

CHANNELS, COUNT, SIZE = 5, 10, 40


@pytest.fixture(scope='module')
def tiles(tmp_path_factory) -> Path:
    """Files of five bands, 12 bits in 16; band k has values around 1000 + 200 k."""
    folder, rng = tmp_path_factory.mktemp('tiles') / 'tiles', np.random.default_rng(0)
    folder.mkdir()
    for number in range(COUNT):
        pixels = rng.normal(1000, 100, (SIZE, SIZE, CHANNELS)) + 200 * np.arange(CHANNELS)
        tifffile.imwrite(folder / f'{number}.tif', pixels.clip(0, 4095).astype('uint16'),
                         photometric='minisblack', planarconfig='contig')
    return folder


def planned(folder: Path, **options: object):
    return plan_run(PretrainOptions(
        data=folder, out=folder.parent / 'run', **dict(arch='tiny', epochs=1) | options))


def reader(plan) -> dict:
    return plan.cfg.train_dataloader.dataset.pipeline[0]


def test_what_is_measured_is_written(tiles: Path) -> None:
    plan = planned(tiles, channels=CHANNELS, value_range='auto', show_bands=(3, 2, 1))
    values = np.stack([tifffile.imread(path) for path in sorted(tiles.iterdir())]).astype(float)
    low, high = reader(plan).reading.value_range
    assert (low, high) == pytest.approx(np.percentile(values, (0.5, 99.5)), abs=1)
    assert reader(plan).reading.channels == plan.cfg.model.backbone.in_channels == CHANNELS
    levels = ((values - low) / (high - low) * 255).clip(0, 255)
    own = plan.cfg.model.data_preprocessor
    np.testing.assert_allclose(own.mean, levels.mean(axis=(0, 1, 2)), atol=0.01)
    np.testing.assert_allclose(own.std, levels.std(axis=(0, 1, 2)), atol=0.01)
    assert own.shown_bands == (3, 2, 1)
    assert plan.lines['value range'].endswith(
        '(percentiles 0.5 and 99.5 of the images, which are uint16)')
    assert plan.lines['channels'] == '5' and not plan.lines['grey levels']
    # chosen so where nothing is said, as 12 bits of 16 would be lost else
    other = planned(tiles, channels=CHANNELS)
    assert reader(other).reading == reader(plan).reading


@pytest.mark.parametrize('asked, expected', [
    ((0., 4095.), (0, 4095)), ('dtype', 'dtype')])
def test_a_range_is_taken_as_it_is(tiles: Path, asked: object, expected: object) -> None:
    plan = planned(tiles, channels=CHANNELS, value_range=asked, view_dtype='float32')
    assert reader(plan).reading == dict(
        channels=CHANNELS, value_range=expected, view_dtype='float32')
    assert ('--value-range auto' in plan.lines['grey levels']) is (asked == 'dtype')


@pytest.mark.parametrize('options, reason', [
    (dict(channels=4), '10 of 10 images looked at do not have 4 channels: .*/0.tif: it has 5 '
     'channels, not 4; give --channels 5'), ({}, 'it has 5 channels, not 3; give --channels 5'),
    (dict(channels=5, value_range=(5000., 9000.)), 'from 5000 to 9000, all pixels have one grey '
     r'level \(percentiles 0.5 and 99.5 of the images: \d+.* and \d+'),
    (dict(channels=5, value_range=(9., 3.)), 'low below high'),
    (dict(channels=5, mean_std='imagenet'), "ImageNet's are of 3 channels, the images have 5"),
    (dict(channels=5, show_bands=(1, 6, 2)), r'one or three of the channels 1 to 5, but are 1 6 2'),
    (dict(channels=5, show_bands=(1, 2)), r'--show-bands.* but are 1 2'),
    (dict(channels=5, mean_std='Auto'), "mean_std must be 'auto' or 'imagenet', but is 'Auto'")])
def test_what_is_refused(tiles: Path, options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        planned(tiles, **options)


@pytest.mark.parametrize('channels, count, refused', [
    (None, 4, False), (None, 6, True), (5, 6, False), (5, 4, True), (2, 6, True)])
def test_most_images_must_have_the_channels(tmp_path: Path, channels: int | None, count: int,
                                            refused: bool) -> None:
    """Of arrays and pictures; the others are skipped while training."""
    (tmp_path / 'mixed').mkdir()
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        bands = 5 if number < count else 3
        tifffile.imwrite(tmp_path / 'mixed' / f'{number}.tif', rng.integers(
            0, 256, (SIZE, SIZE, bands), 'uint8'), photometric='rgb')
    if refused:
        with pytest.raises(InputError, match=rf'images looked at do not have {channels or 3} '
                           f'channels: .*; give --channels {3 if channels == 5 else 5}$'):
            planned(tmp_path / 'mixed', channels=channels)
    else:
        assert planned(tmp_path / 'mixed', channels=channels).cfg.model.backbone.get(
            'in_channels', 3) == (channels or 3)


def test_pages_may_be_meant(tmp_path: Path) -> None:
    (tmp_path / 'pages').mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / 'pages' / f'{number}.tif',
                         np.full((4, SIZE, SIZE), number, 'uint8'), photometric='minisblack')
    with pytest.raises(InputError, match=r'4 pages, which .*; give --bands-from pages, or '
                       '--channels 1$'):
        planned(tmp_path / 'pages', channels=4)


def test_a_folder_of_others_leaves_no_run_behind(tiles: Path, capsys) -> None:
    out = tiles.parent / 'none'
    with pytest.raises(SystemExit):
        main(['pretrain', '--data', str(tiles), '--out', str(out), '--arch', 'tiny'])
    assert capsys.readouterr().err.rstrip().endswith('not 3; give --channels 5')
    assert not out.exists()


def written(folder: Path, *kinds: str) -> Path:
    """One-band arrays, each over the whole range of its type; floats up to 1."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, kind in enumerate(kinds):
        dtype, _, highest = kind.partition(':')
        top = float(highest) if highest else np.iinfo(dtype).max if dtype[0] in 'ui' else 1
        np.save(folder / f'{number}.npy', (rng.random((SIZE, SIZE)) * top).round(
            6 if dtype[0] == 'f' else 0).astype(dtype))
    return folder


@pytest.mark.parametrize('kinds', [
    ('uint8', *4 * ['uint16']), (*4 * ['uint16'], 'uint8'), (*3 * ['uint8'], *3 * ['uint16']),
    ('uint8', *4 * ['float32']), ('float32:60000', *4 * ['uint8']), ('uint16', *3 * ['float64'])])
@pytest.mark.parametrize('asked', [None, 'auto'])
def test_types_that_no_range_fits_are_refused_by_name(tmp_path: Path, kinds: tuple[str, ...],
                                                      asked: str | None) -> None:
    folder = written(tmp_path / 'mixed', *kinds)
    with pytest.raises(InputError) as error:
        planned(folder, channels=1, value_range=asked)
    named = dict(re.findall(r'(\d)\.npy, which is (\w+)', str(error.value)))
    assert len(named) == 2
    assert all(kinds[int(number)].partition(':')[0] == kind for number, kind in named.items())


@pytest.mark.parametrize('kinds, low, high', [
    (('uint16:3000', 'int16:3000', 'float32:3000'), 0, 3000), (('uint8', 'float32:255'), 0, 255),
    (('uint8:40', 'uint16:255'), 0, 255), (3 * ['bool'], 0, 1)])
def test_types_of_the_same_values_are_measured_together(tmp_path: Path, kinds: tuple[str, ...],
                                                        low: float, high: float) -> None:
    plan = planned(written(tmp_path / 'mixed', *kinds), channels=1)
    assert reader(plan).reading.value_range == pytest.approx((low, high), abs=high / 60)
    assert plan.lines['value range'].endswith(
        f'which are {" and ".join(sorted({kind.partition(":")[0] for kind in kinds}))})')


@pytest.mark.parametrize('windows, words', [
    (3, 'the window of each file'),
    (2, 'the window of each file (1 of 3 looked at have none: that of their bits)'),
    (1, '0 to 999 (percentiles 0.5 and 99.5 of the images, which are uint16)')])
def test_windows_count_where_most_files_have_one(windows: int, words: str) -> None:
    """Whichever comes first."""
    pixels = np.arange(1000, dtype='uint16').reshape(10, 100, 1)
    samples = [Stored(pixels, window=(0, 100) if number >= 3 - windows else None)
               for number in range(3)]
    how, said = with_range(samples, ImageReading(1), None)
    assert re.sub(r'^4.* to 99\S*', '0 to 999', said) == words
    assert bool(how.value_range) == (windows < 2)


def test_units_without_a_window_are_measured(tmp_path: Path) -> None:
    pytest.importorskip('pydicom')
    from ...test_datasets.test_image_formats.test_dicom import write as write_dicom

    (tmp_path / 'ct').mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        write_dicom(tmp_path / 'ct' / f'{number}.dcm',
                    rng.integers(0, 1001, (SIZE, SIZE)).astype('int16'), bits=16,
                    RescaleSlope=1, RescaleIntercept=-500)
    plan = planned(tmp_path / 'ct', channels=1)
    assert reader(plan).reading.value_range == pytest.approx((-500, 500), abs=10)
    assert plan.lines['value range'].endswith('of the images, which are float32)')


def test_each_type_may_have_its_own_range(tmp_path: Path) -> None:
    plan = planned(written(tmp_path / 'mixed', 'uint8', 'uint16'), channels=1, value_range='dtype')
    assert plan.lines['value range'] == 'that of each file, such as 0 to 255 or 0 to 65535'
    np.testing.assert_allclose(plan.cfg.model.data_preprocessor.mean, 127.5, atol=3)


def test_images_of_one_value(tmp_path: Path) -> None:
    (tmp_path / 'flat').mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / 'flat' / f'{number}.tif', np.full((40, 40), 7, 'uint16'))
    with pytest.raises(InputError, match='all pixels have one grey level .*: 7 and 7'):
        planned(tmp_path / 'flat', channels=1, value_range='auto')


def test_gaps_are_told_of(tmp_path: Path) -> None:
    (tmp_path / 'gaps').mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).normal(size=(40, 40)).astype('float32')
        pixels[:3] = np.nan if number else 0
        tifffile.imwrite(tmp_path / 'gaps' / f'{number}.tif', pixels)
    plan = planned(tmp_path / 'gaps', channels=1)
    assert plan.lines['grey levels'] == (
        '3 of 4 images looked at hold NaN or infinity: that is read as black (docs/own_images.md)')
    assert np.isfinite(plan.cfg.model.data_preprocessor.mean).all()


def test_three_channels_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / 'photos').mkdir()
    for number in range(4):
        Image.fromarray(np.random.default_rng(number).integers(
            0, 200, (40, 40, 3), dtype='uint8')).save(tmp_path / 'photos' / f'{number}.png')
    usual, same = planned(tmp_path / 'photos'), planned(tmp_path / 'photos', channels=3)
    assert usual.cfg.model == same.cfg.model and 'reading' not in reader(usual)
    assert reader(same).reading == {} and 'mean' not in usual.lines
    measured = planned(tmp_path / 'photos', mean_std='auto')
    np.testing.assert_allclose(measured.cfg.model.data_preprocessor.mean, 3 * [99.5], atol=3)
    stretched = planned(tmp_path / 'photos', value_range='auto', mean_std='imagenet')
    assert reader(stretched).reading.value_range[1] < 200
    assert stretched.cfg.model.data_preprocessor == usual.cfg.model.data_preprocessor


@pytest.mark.parametrize('channels', [1, 5])
def test_weights_of_colours_are_spread(channels: int) -> None:
    """Images whose channels are all alike give what grey ones gave."""
    source = source_of()
    spread = spread_channels(source, channels)
    assert spread.settings['in_channels'] == spread.sizes.in_channels == channels
    assert spread_channels(source, 3) is source
    grey = torch.randn(2, 1, 32, 32)
    tokens = []
    for one in (source, spread):
        vit = ConMIMViT(**one.settings)
        vit.load_state_dict(one.weights)
        tokens.append(vit.eval().patch_tokens(grey.expand(-1, one.settings['in_channels'], -1, -1)))
    torch.testing.assert_close(*tokens, rtol=1e-4, atol=1e-5)
    assert f'the patch embedding is of {channels} channels in place of 3' in spread.notes[-1]


@pytest.fixture(scope='module')
def run(tiles: Path, toy) -> Path:
    """A run on the tiles, from a run on colours."""
    # not the toy's name: of two runs of a name in one second MMEngine mixes the logs
    out = tiles.parent / 'run-on-tiles'
    main(['pretrain', '--data', str(tiles), '--init', str(toy.out), '--channels', '5', '--epochs',
          '1', '--batch-size', '4', '--out', str(out), '--config', str(toy.config),
          '--show-bands', '4', '--value-range', '500', '2500'])
    return out


def test_a_run(run: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = load_checkpoint_file(last_checkpoint(run))
    keys = dict(channels=5, value_range=(500., 2500.))
    assert saved_reading(checkpoint) == keys
    assert checkpoint['state_dict']['backbone.patch_embed.proj.weight'].shape[1] == 5
    cfg = read_config(str(run / 'config.py'))
    assert reader_of(cfg).type == 'mmpretrain.LoadImage' and reader_of(cfg).reading == keys
    assert 'Shown as grey: channel 4 of 5.' in (run / 'report.html').read_text()
    text = (run / 'config.py').read_text()
    assert re.search('changed +.*the patch embedding is of 5 channels in place of 3', text)


def reader_of(cfg) -> dict:
    return cfg.train_dataloader.dataset.pipeline[0]


def test_goes_on_as_it_was(run: Path, tiles: Path) -> None:
    for options in (dict(channels=5), dict(value_range=(500., 2500.)), dict(show_bands=4), {}):
        pretrain(tiles, run, resume=True, **options)
    for options in (dict(channels=4), dict(value_range='auto'), dict(view_dtype='float32')):
        with pytest.raises(InputError, match=f'started with --{[*options][0].replace("_", "-")} '):
            pretrain(tiles, run, resume=True, allow_mismatch=True, **options)
    with pytest.raises(InputError, match='one or three of the channels 1 to 5, but are 9'):
        pretrain(tiles, run, resume=True, show_bands=[9])


def test_other_bands_may_be_shown_later(tiles: Path, tmp_path: Path) -> None:
    first = planned(tiles, channels=CHANNELS)
    cfg = Config(first.cfg.to_dict())
    apply_options(cfg, PretrainOptions(out=tmp_path, show_bands=(4, )))
    assert cfg.model.data_preprocessor.shown_bands == (4, )
    assert not changed_settings(
        dict(settings=plain_data(first.cfg.to_dict())), cfg.to_dict()).others


@pytest.mark.parametrize('write', [write_labelled_images, write_labelled_maps])
def test_judging_images_have_the_same_channels(tiles: Path, tmp_path: Path, write) -> None:
    write(tmp_path / 'labelled')
    with pytest.raises(InputError, match=r'--eval-data: \d+ of \d+ images looked at cannot be read '
                       'as those to train on, channels 5, .* it has 3 channels, not 5'):
        planned(tiles, channels=CHANNELS, eval_data=tmp_path / 'labelled')


@pytest.mark.parametrize('key', ['pipeline.0.reading', 'pipeline.0.reading.channels'])
def test_the_reading_has_options(tiles: Path, key: str) -> None:
    with pytest.raises(InputError, match='give --channels, --value-range and the like in place of'):
        planned(tiles, channels=CHANNELS, cfg_options={f'train_dataloader.dataset.{key}': 1})


@pytest.mark.parametrize('words, reason', [
    ('--value-range 1', "--value-range needs LOW HIGH, auto or dtype, but is '1'"),
    ('--value-range low high', "but is 'low high'"), ('--value-range 1 2 3', "but is '1 2 3'"),
    ('--channels 0', 'must be at least 1')])
def test_what_cannot_be_typed(words: str, reason: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(['pretrain', '--data', 'x', *words.split()])
    assert reason in capsys.readouterr().err


def test_sparse_images_have_a_range(tmp_path: Path) -> None:
    """Of which both percentiles are the background."""
    rng = np.random.default_rng(0)
    (tmp_path / 'scans').mkdir()
    for number in range(COUNT):
        pixels = np.where(rng.random((SIZE, SIZE)) > .999, 2000, 0).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / 'scans' / f'{number}.png')
    plan = planned(tmp_path / 'scans', channels=1)
    assert reader(plan).reading.value_range == (0, 2000)


def test_what_is_shown_changes_no_normalisation(tiles: Path, tmp_path: Path) -> None:
    first = planned(tiles, channels=CHANNELS)
    first.write(tmp_path / 'config.py')
    plan = planned(tiles, config=str(tmp_path / 'config.py'), arch=None, show_bands=(2, ))
    assert plan.cfg.model.data_preprocessor.mean == first.cfg.model.data_preprocessor.mean
    assert plan.cfg.model.data_preprocessor.shown_bands == (2, )
    assert reader(plan).reading == reader(first).reading and 'mean' not in plan.lines


def test_weights_of_colours_get_the_mean_of_other_channels(tiles: Path, toy, tmp_path) -> None:
    """Also where the config reads such images already, so that its own mean might seem to do."""
    first = planned(tiles, channels=CHANNELS)
    first.write(tmp_path / 'config.py')
    plan = planned(tiles, config=str(tmp_path / 'config.py'), arch=None, channels=CHANNELS,
                   init=str(toy.out))
    assert plan.cfg.model.data_preprocessor.mean == first.cfg.model.data_preprocessor.mean
