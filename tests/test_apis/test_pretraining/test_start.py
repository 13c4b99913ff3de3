"""Pre-training from Python; as typed it is tested with conmim_mm.commands."""

import subprocess
import sys

import pytest
from run_comparison import run_differences

from conmim_mm.apis import pretrain
from conmim_mm.apis.pretraining import start
from conmim_mm.apis.pretraining.plan import Plan
from conmim_mm.checkpoint.reading import read_meta
from conmim_mm.errors import InputError
from conmim_mm.utils.run_config import read_config
from conmim_mm.utils.work_dir_lock import WorkDirInUseError

from ...conftest import ROOT
from ...runs import HOLD, environment
from ...toy_run import BATCH, EPOCHS


def test_the_same_run_as_by_the_command(toy, tmp_path) -> None:
    said = []
    out = pretrain(toy.photos, tmp_path / 'run', config=toy.config, epochs=EPOCHS,
                   batch_size=BATCH, say=said.append)
    assert out == tmp_path / 'run' and run_differences(out, toy.out) == []
    plan, = said
    assert plan.startswith('images         9 in ') and f'{out}/report.html' in plan


def test_goes_on(run_copy, capsys) -> None:
    said = []
    assert pretrain(out=run_copy, resume=True, epochs=EPOCHS + 1, say=said.append) == run_copy
    assert read_meta(run_copy / 'epoch_3.pth')['epoch'] == 3
    cfg = read_config(str(run_copy / 'config.py'))
    # the checkpoint that it went on from is not in it
    assert (cfg.train_cfg.max_epochs, cfg.resume, cfg.load_from) == (3, False, None)
    assert said == [
        '3 epochs in place of 2: learning rate and momentum follow the curves of the longer run '
        'from here on', f'going on with the run in {run_copy}: epoch 2 of 3']
    pretrain(out=str(run_copy), resume=True, say=said.append)
    assert 'is finished (epoch 3 of 3)' in said[-1]


def test_goes_back_to_the_checkpoint_that_is_whole(run_copy, monkeypatch) -> None:
    """A damaged last one does not make the run a finished one, wherever the damage is."""
    content = bytearray((run_copy / 'epoch_2.pth').read_bytes())
    content[content.index(b'PK\x03\x04', 100) + 32] = 0xff  # a name in the archive, no UTF-8 now
    (run_copy / 'epoch_2.pth').write_bytes(content)
    started, said = [], []
    monkeypatch.setattr(start, 'run_training', lambda cfg, **_: started.append(cfg))
    pretrain(out=run_copy, resume=True, say=said.append)
    assert [(cfg.load_from, cfg.resume) for cfg in started] == [
        (str(run_copy / 'epoch_1.pth'), True)]
    assert said == [f'going on with the run in {run_copy}: epoch 1 of 2']


def test_a_start_that_fails_leaves_nothing_behind(toy, run_copy, monkeypatch) -> None:
    """Whatever it fails of; a terminal that cannot show the plan, say."""
    files = sorted(path.name for path in run_copy.iterdir())
    for error in (InputError('bad'), RuntimeError('defect'), OSError(5, 'terminal')):
        def fail(_: str, error=error) -> None:
            raise error

        for out, overwrite in ((run_copy.parent / 'new', False), (run_copy, True)):
            with pytest.raises(type(error)):
                pretrain(toy.photos, out, config=toy.config, overwrite=overwrite, say=fail)
        assert not (run_copy.parent / 'new').exists()
        assert sorted(path.name for path in run_copy.iterdir()) == files


@pytest.mark.parametrize('gpus', [None, 2])
def test_what_another_run_has_taken_is_not_taken_back(toy, run_copy, monkeypatch, gpus) -> None:
    """It was faster, between the writing of the config and the training."""
    holders = []

    def hold(*_: object, **__: object) -> None:
        holders.append(subprocess.Popen(
            [sys.executable, '-c', HOLD, run_copy], text=True, env=environment(ROOT),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        holders[0].stdout.readline()
        if gpus:
            raise subprocess.CalledProcessError(2, 'bash')

    monkeypatch.setattr(start, 'fit_to_machine', hold)
    monkeypatch.setattr(subprocess, 'run', hold)
    try:
        with pytest.raises(subprocess.CalledProcessError if gpus else WorkDirInUseError):
            pretrain(toy.photos, run_copy, config=toy.config, overwrite=True, gpus=gpus)
    finally:
        holders[0].communicate()
    aside, = run_copy.parent.glob('copy.earlier-*')
    assert (run_copy / 'config.py').is_file() and (aside / 'epoch_2.pth').is_file()


def test_a_config_that_cannot_be_written_brings_the_run_back(toy, run_copy, monkeypatch) -> None:
    files = sorted(path.name for path in run_copy.iterdir())

    def fail(*_: object) -> None:
        raise InputError('the disk is full')

    monkeypatch.setattr(Plan, 'write', fail)
    with pytest.raises(InputError, match='the disk is full'):
        pretrain(toy.photos, run_copy, config=toy.config, overwrite=True)
    assert sorted(path.name for path in run_copy.iterdir()) == files
    assert [path.name for path in run_copy.parent.glob('copy*')] == ['copy']


def test_several_processes_are_waited_for(toy, tmp_path, monkeypatch) -> None:
    called = []
    monkeypatch.setattr(subprocess, 'run', lambda words, **kwargs: called.append((words, kwargs)))
    out = pretrain(toy.photos, tmp_path / 'run', config=toy.config, batch_size=4, gpus=2)
    (words, kwargs), = called
    assert words[2:] == [f'{out}/config.py', '2', '--work-dir', str(out)]
    assert kwargs['check'] and kwargs['env']['PYTHON'] == sys.executable


def test_changes_to_the_config_are_of_the_run(toy, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(start, 'run_training', lambda cfg, **_: None)
    options = {'randomness.seed': 3, 'model.head.loss.temperature': 0.2}
    out = pretrain(toy.photos, tmp_path / 'run', config=toy.config, cfg_options=options)
    cfg = read_config(str(out / 'config.py'))
    assert (cfg.randomness.seed, cfg.model.head.loss.temperature) == (3, 0.2)
    assert cfg.started_with.cfg_options == options
    assert ('--cfg-options  randomness.seed=3, model.head.loss.temperature=0.2 (above all'
            in (out / 'config.py').read_text(encoding='utf-8'))
    pretrain(out=out, resume=True, cfg_options=options)
    with pytest.raises(InputError, match='would be another one: randomness.seed: 3 .*4 here'):
        pretrain(out=out, resume=True, cfg_options={'randomness.seed': 4})


@pytest.mark.parametrize('options, words', [
    (dict(arch='xl'), "--arch as one of tiny, s, b, l; not 'xl'"),
    (dict(arch='s', config='x.py'), 'give --config, or --arch'),
    (dict(cfg_options={'optim_wrapper.optimizer.lr': 1}), 'give --lr in place of --cfg-options'),
])
def test_bad_arguments(toy, tmp_path, options, words) -> None:
    with pytest.raises(InputError, match=words):
        pretrain(toy.photos, tmp_path / 'run', **options)
    with pytest.raises(InputError, match='give --data, .* or --list or --shards; or --resume'):
        pretrain(out=tmp_path / 'run')
    assert not (tmp_path / 'run').exists()
