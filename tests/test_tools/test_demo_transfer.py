"""The comparison of three tasks, shortened to two steps each."""

import dataclasses
import json
import subprocess
from types import SimpleNamespace

import pytest
import transfer_tasks as transfer
from PIL import Image
from scenes import SceneSettings, make_scenes
from transfer_tasks import TASKS, format_table

from ..conftest import ROOT, load_tool
from ..ranks import ScriptPopen
from ..test_promises.test_untrusted_files import write_crafted
from ..toy import save_scenes_model

SHORT = """
_base_ = {base!r}
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False{dataset})
val_dataloader = dict(num_workers=0, persistent_workers=False)
param_scheduler = dict(warmup=1)
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""


@pytest.fixture
def demo_folder(tmp_path):
    """What `make demo` leaves, as far as the comparison needs it."""
    demo = tmp_path / 'demo'
    make_scenes(demo / 'scenes-v1', SceneSettings(images=40, size=64, val=20))
    (demo / 'pretrain').mkdir()
    save_scenes_model(demo / 'pretrain' / 'iter_9.pth')
    (demo / 'pretrain' / 'last_checkpoint').write_text('/elsewhere/iter_9.pth')
    (demo / 'results.json').write_text('{}')
    return demo


@pytest.fixture
def compare(run_script, monkeypatch, tmp_path):
    """Calls tools/demo/demo_transfer.py in this process, on short trainings."""
    tool = load_tool('demo/demo_transfer.py')
    short = {}
    for name, task in TASKS.items():
        path = tmp_path / f'short_{name}.py'
        dataset = ', dataset=dict(images_per_class=2)' if name == 'classification' else ''
        path.write_text(SHORT.format(base=str(ROOT / task.config), dataset=dataset))
        short[name] = dataclasses.replace(task, config=str(path))
    monkeypatch.setattr(tool, 'TASKS', short)
    monkeypatch.setattr(tool, 'subprocess', SimpleNamespace(
        Popen=ScriptPopen, STDOUT=subprocess.STDOUT))

    def call(*args: object, inits: tuple[str, ...] = tuple(transfer.INITS)) -> None:
        monkeypatch.setattr(tool, 'INITS', {init: transfer.INITS[init] for init in inits})
        run_script(tool, '--out', tmp_path / 'out', '--demo', tmp_path / 'demo', *args)

    return call


@pytest.mark.slow
def test_three_tasks_twice_then_repeated(compare, demo_folder, tmp_path, capsys,
                                         monkeypatch) -> None:
    out = tmp_path / 'out'
    compare()
    results = json.loads((out / 'results.json').read_text())['metrics']
    assert {task: set(by_init) for task, by_init in results.items()} == {
        task: {'random', 'conmim'} for task in TASKS}
    assert set(results['detection']['conmim']) == {'box AP', 'mask AP'}
    for task in TASKS:
        picture = Image.open(out / f'{task}.png')
        assert picture.size[0] > 800 and len(picture.convert('RGB').getcolors(2**24)) > 1000
        logs = {init: (out / task / init / 'train.log').read_text() for init in transfer.INITS}
        assert 'tensors from' in logs['conmim'] and 'tensors from' not in logs['random']
    assert 'mIoU' in capsys.readouterr().out

    before = (out / 'results.json').stat().st_mtime_ns
    compare()
    assert 'has run already' in capsys.readouterr().out
    assert (out / 'results.json').stat().st_mtime_ns == before

    # an interrupted comparison does not repeat what it finished
    (out / 'results.json').unlink()
    monkeypatch.setattr('predictions.draw_predictions', lambda *_: None)
    trained = (out / 'segmentation' / 'conmim' / 'train.log').stat().st_mtime_ns
    compare()
    assert (out / 'segmentation' / 'conmim' / 'train.log').stat().st_mtime_ns == trained


def test_without_a_demo_one_line(compare, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        compare()
    assert stop.value.code == 2
    assert 'run `make demo` first' in capsys.readouterr().err


def test_failed_training_names_its_log(compare, demo_folder, tmp_path, capsys) -> None:
    (demo_folder / 'pretrain' / 'iter_9.pth').write_bytes(b'no checkpoint')
    with pytest.raises(SystemExit):
        compare('--tasks', 'classification', inits=('conmim',))
    error = capsys.readouterr().err
    assert 'classification from ConMIM failed' in error and 'train.log' in error
    assert not (tmp_path / 'out' / 'results.json').exists()


@pytest.mark.slow
def test_crafted_checkpoint_runs_nothing(compare, demo_folder, tmp_path, capsys) -> None:
    crafted = write_crafted(demo_folder / 'pretrain', 'archive-system')
    crafted.replace(demo_folder / 'pretrain' / 'iter_9.pth')
    with pytest.raises(SystemExit) as stop:
        compare('--tasks', 'classification', inits=('conmim',))
    assert stop.value.code == 2
    error, = (line for line in capsys.readouterr().err.splitlines() if line.startswith('error:'))
    assert 'as plain weights: it asks for posix.system' in error
    assert not (demo_folder / 'pretrain' / 'executed').exists()


def test_table() -> None:
    table = format_table(dict(detection=dict(random={'box AP': 1.25, 'mask AP': 2.},
                                             conmim={'box AP': 3.5, 'mask AP': 1.})))
    lines = table.splitlines()
    assert lines[1].split() == ['detection', 'box', 'AP', '1.2', '%', '3.5', '%', '+2.2']
    assert lines[2].split()[-1] == '-1.0'
