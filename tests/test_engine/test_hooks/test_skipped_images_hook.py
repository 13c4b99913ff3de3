"""Bad images in real runs: skipped, counted by name, and too many of them end the run."""

import builtins
import os
import struct
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from conmim_mm.datasets import EpochSeededSampler
from conmim_mm.engine import SkippedImagesHook
from conmim_mm.engine.hooks import skipped_images_hook
from conmim_mm.engine.hooks.skipped_images_hook import add_counts, allowed_unreadable, write_counts
from conmim_mm.errors import InputError

from ...ranks import train_on_ranks
from ...toy import run_cfg, write_config, write_noise_images

EPOCHS = 3


def bomb() -> bytes:
    """A BMP of 60 bytes that declares 3.6 gigapixels."""
    return (b'BM' + struct.pack('<IHHI', 60, 0, 0, 54)
            + struct.pack('<IiiHHIIiiII', 40, 60000, 60000, 1, 24, 0, 6, 0, 0, 0, 0) + bytes(6))


def make_images(folder: Path) -> Path:
    """20 whole images, one of them a PNG named .jpg, and the bad ones of ``BAD``."""
    folder.mkdir()
    write_noise_images(folder, count=20, side=40)
    (folder / '0.png').rename(folder / '0.jpg')
    whole = (folder / '1.png').read_bytes()
    (folder / 'bad_bomb.bmp').write_bytes(bomb())
    (folder / 'bad_empty.jpg').touch()
    (folder / 'bad_link.png').symlink_to(folder / 'vanished')
    (folder / 'bad_secret.png').write_bytes(whole)
    (folder / 'bad_secret.png').chmod(0)
    (folder / 'bad_text.jpg').write_text('no image\n' * 100)
    (folder / 'bad_truncated.png').write_bytes(whole[:len(whole) // 2])
    Path(os.fsdecode(bytes(folder) + b'/bad_\xff\n.png')).write_bytes(b'GIF89a')
    return folder


# Which they are, as in skipped.txt, and why with the loader of Pillow, and of OpenCV.
BAD = {
    'bad_\\udcff\\n.png': ('not an image', 'failed to load image: '),
    'bad_bomb.bmp': ('it has more pixels than max_pixels=67108864 allows',
                     'OpenCV('),
    'bad_empty.jpg': ('not an image', 'OpenCV('),
    'bad_link.png': ('no such file', 'no such file'),
    'bad_secret.png': ('Permission denied', 'Permission denied'),
    'bad_text.jpg': ('not an image', 'failed to load image: '),
    'bad_truncated.png': ('image file is truncated', 'failed to load image: '),
}


@pytest.fixture
def bad_images(tmp_path, monkeypatch) -> Path:
    """The folder; root may read any file, so there permission is denied by hand."""
    real = builtins.open

    def deny(file: object, *args: object, **kwargs: object):
        if str(file).endswith('bad_secret.png'):
            raise PermissionError(13, 'Permission denied', file)
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, 'open', deny)
    return make_images(tmp_path / 'images')


def bad_run(images: Path, work_dir: Path, workers: int = 0, **overrides) -> dict:
    """A run that takes each image once an epoch, and as many bad ones as there are."""
    cfg = run_cfg(images, work_dir, epochs=EPOCHS, batch_size=9, **overrides)
    # MMEngine keeps one message hub per name and second; tests are faster than that.
    cfg['experiment_name'] = f'{work_dir.parent.name}_{work_dir.name}'
    cfg['train_dataloader']['num_workers'] = workers
    cfg['default_hooks']['skipped_images'] = dict(type='SkippedImagesHook', max_share=0.5)
    return cfg


def train(cfg: dict) -> Runner:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def skipped(work_dir: Path) -> dict[str, tuple[int, str]]:
    """Name, times and reason of each line of skipped.txt."""
    lines = (work_dir / 'skipped.txt').read_text().splitlines()
    assert lines == sorted(lines)
    rows = [line.split('\t') for line in lines]
    return {os.path.basename(path): (int(times), reason) for path, times, reason in rows}


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('decoder', ['Pillow', 'OpenCV'])
def test_bad_images_are_skipped_and_counted(bad_images, tmp_path, workers: int,
                                            decoder: str) -> None:
    cfg = bad_run(bad_images, tmp_path / 'run', workers)
    if decoder == 'OpenCV':
        pipeline = cfg['train_dataloader']['dataset']['pipeline']
        pipeline[0] = dict(type='LoadImageFromFile')
        pipeline[1]['channel_order'] = 'bgr'
    runner = train(cfg)
    assert runner.iter == 3 * EPOCHS
    found = skipped(tmp_path / 'run')
    assert list(found) == list(BAD)
    for name, reasons in BAD.items():
        times, reason = found[name]
        assert times >= EPOCHS  # once in its turn, and wherever it was drawn in another's place
        assert reason.startswith(reasons[decoder == 'OpenCV'])
    assert not list((tmp_path / 'run').glob('skipped.txt.*'))


def test_a_list_that_cannot_be_written_ends_no_run(bad_images, tmp_path, monkeypatch) -> None:
    def fill_disk(*_: object) -> None:
        raise InputError('cannot write skipped.txt: No space left on device')

    monkeypatch.setattr(skipped_images_hook, 'write_counts', fill_disk)
    runner = train(bad_run(bad_images, tmp_path / 'run'))
    assert runner.iter == 3 * EPOCHS
    assert len(runner.message_hub.get_info(skipped_images_hook.COUNTS)) == len(BAD)


def test_neither_workers_nor_repetition_change_a_run(bad_images, tmp_path) -> None:
    weights, files = [], []
    for name, workers in dict(a=0, b=0, c=2).items():
        weights.append(train(bad_run(bad_images, tmp_path / name, workers)).model.state_dict())
        files.append((tmp_path / name / 'skipped.txt').read_bytes())
    assert files[0] == files[1] == files[2]
    for other in weights[1:]:
        assert all(torch.equal(value, other[key]) for key, value in weights[0].items())


def test_a_file_that_vanishes_during_training(bad_images, tmp_path) -> None:
    runner = Runner.from_cfg(bad_run(bad_images, tmp_path / 'run'))
    runner.train_dataloader.dataset.full_init()
    (bad_images / '7.png').unlink()
    runner.train()
    assert skipped(tmp_path / 'run')['7.png'][1] == 'no such file'


def test_resuming_goes_on_counting(bad_images, tmp_path) -> None:
    train(bad_run(bad_images, tmp_path / 'whole'))
    checkpoint = torch.load(tmp_path / 'whole' / 'epoch_1.pth', weights_only=False)
    counts = checkpoint['message_hub']['runtime_info']['skipped_images']
    assert len(counts) == len(BAD)

    train(bad_run(bad_images, tmp_path / 'part', resume=True,
                  load_from=str(tmp_path / 'whole' / 'epoch_1.pth')))
    assert skipped(tmp_path / 'part') == skipped(tmp_path / 'whole')
    times = sum(times for times, _ in skipped(tmp_path / 'whole').values())
    assert sum(times for times, _ in counts.values()) < times


def test_nothing_to_skip_leaves_no_file(bad_images, tmp_path) -> None:
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'skipped.txt').write_text('of an earlier run\n')
    for path in bad_images.glob('bad*'):
        path.unlink()
    train(bad_run(bad_images, tmp_path / 'run'))
    assert not (tmp_path / 'run' / 'skipped.txt').exists()


def test_too_many_end_the_run(bad_images, tmp_path) -> None:
    cfg = bad_run(bad_images, tmp_path / 'run')
    cfg['default_hooks']['skipped_images']['max_share'] = 4 / 27
    runner = Runner.from_cfg(cfg)
    with pytest.raises(InputError) as error:
        runner.train()
    found = skipped(tmp_path / 'run')
    assert len(found) > 4 and runner.iter < 3
    # by their names, as the folder with the list may go
    named = ', '.join(f'{bad_images}/{name} ({reason})'
                      for name, (_, reason) in list(found.items())[:3])
    assert str(error.value) == (
        f'{len(found)} of 27 images cannot be read, more than max_share=0.148148 of them: {named}, '
        '...; repair or remove them, or raise default_hooks.skipped_images.max_share')


@pytest.mark.parametrize('total, max_share, allowed', [
    (1, 0.01, 0), (2, 0.01, 1), (20, 0.01, 3), (299, 0.01, 3), (400, 0.01, 4), (10**6, 0.01, 10**4),
    (20, 0., 0), (27, 7 / 27, 7), (2, 1., 2)])
def test_how_many_are_allowed(total: int, max_share: float, allowed: int) -> None:
    assert allowed_unreadable(total, max_share) == allowed


def test_just_the_share_is_allowed(bad_images, tmp_path) -> None:
    cfg = bad_run(bad_images, tmp_path / 'run')
    cfg['default_hooks']['skipped_images']['max_share'] = 7 / 27
    assert train(cfg).iter == 3 * EPOCHS


def test_the_log_names_the_first_one_and_tells_how_many(bad_images, tmp_path) -> None:
    runner = Runner.from_cfg(bad_run(bad_images, tmp_path / 'run'))
    messages = []
    runner.logger.warning = messages.append
    runner.train()
    first, last = [message for message in messages if 'skip' in message]
    assert f'skipping {bad_images}/bad_' in first and 'cannot be read' in first
    times = sum(times for times, _ in skipped(tmp_path / 'run').values())
    assert last == ('7 of 27 images could not be read and were skipped (skips in all: '
                    f'{times}): see {tmp_path}/run/skipped.txt')


def test_counts_add_up(tmp_path) -> None:
    counts = add_counts({}, [('b', 'x'), ('a', 'y'), ('b', 'z')])
    assert counts == dict(a=[1, 'y'], b=[2, 'z'])
    assert add_counts(counts, [('a', 'w')]) == dict(a=[2, 'w'], b=[2, 'z'])
    assert counts['a'] == [1, 'y']
    write_counts(tmp_path, counts)
    assert (tmp_path / 'skipped.txt').read_text() == 'a\t1\ty\nb\t2\tz\n'


@pytest.fixture
def two_process_config(tmp_path) -> Path:
    """A config for 12 whole images and four bad ones, of which each process gets some."""
    images = tmp_path / 'images'
    images.mkdir()
    write_noise_images(images, count=12, side=40)
    for i in range(4):
        (images / f'bad_{i}.png').write_text('no image')
    order = list(EpochSeededSampler(range(16), seed=0))
    assert all({12, 13, 14, 15} & set(order[rank::2]) for rank in (0, 1))

    return write_config(tmp_path, images)


@pytest.mark.slow
def test_two_processes_count_together(two_process_config, tmp_path) -> None:
    run = train_on_ranks(two_process_config, '--work-dir', tmp_path / 'run', '--cfg-options',
                     'default_hooks.skipped_images.max_share=0.5')
    assert run.returncode == 0, run.stderr
    found = skipped(tmp_path / 'run')
    assert list(found) == [f'bad_{i}.png' for i in range(4)]
    assert all(times >= 2 for times, _ in found.values())
    checkpoint = torch.load(tmp_path / 'run' / 'epoch_2.pth', weights_only=False)
    counts = checkpoint['message_hub']['runtime_info']['skipped_images']
    assert {os.path.basename(path): tuple(row) for path, row in counts.items()} == found
    assert (run.stdout + run.stderr).count('which cannot be read') == 1  # one process tells


@pytest.mark.slow
def test_two_processes_stop_together(two_process_config, tmp_path) -> None:
    run = train_on_ranks(two_process_config, '--work-dir', tmp_path / 'run', '--cfg-options',
                     'default_hooks.skipped_images.interval=50')  # an epoch has four iterations
    assert run.returncode != 0
    for start in ('error: ', '[rank 1] error: '):
        assert f'\n{start}4 of 16 images cannot be read, more than max_share=0.01' in run.stderr
    assert len(skipped(tmp_path / 'run')) == 4
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize('settings, words', [
    (dict(max_share=1.5), 'max_share must lie in [0, 1], but is 1.5'),
    (dict(max_share=-0.1), 'max_share must lie in [0, 1]'),
    (dict(interval=0), 'interval of SkippedImagesHook must be at least 1, but is 0')])
def test_bad_settings(settings: dict, words: str) -> None:
    with pytest.raises(InputError) as error:
        SkippedImagesHook(**settings)
    assert words in str(error.value)
