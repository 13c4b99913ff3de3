"""tools/train.py and its launchers, as typed."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from ..conftest import TOOLS, load_tool
from ..test_engine.test_hooks.test_atomic_checkpoint_hook import damage
from ..toy import write_config, write_noise_images


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_noise_images(tmp_path_factory.mktemp('images'), count=8, side=48)


@pytest.fixture
def config(tmp_path, images) -> Path:
    return write_config(tmp_path, images)


@pytest.fixture
def train(run_script, monkeypatch, tmp_path):
    """Calls tools/train.py in this process with the given arguments."""
    monkeypatch.chdir(tmp_path)
    return partial(run_script, 'train.py')


@pytest.fixture
def train_fails(refused, monkeypatch, tmp_path):
    """The same where it must end with one line, which it gives back."""
    monkeypatch.chdir(tmp_path)
    return partial(refused, 'train.py')


def last_checkpoint(work_dir: Path) -> dict:
    path = Path((work_dir / 'last_checkpoint').read_text())
    return torch.load(path, weights_only=False)


def test_trains_into_the_default_folder_and_resumes(train, config, tmp_path) -> None:
    train(config)
    work_dir = tmp_path / 'work_dirs' / 'toy'
    assert last_checkpoint(work_dir)['meta']['epoch'] == 2

    train(config, '--resume', '--cfg-options', 'train_cfg.max_epochs=3')
    checkpoint = last_checkpoint(work_dir)
    assert checkpoint['meta']['epoch'] == 3 and checkpoint['meta']['iter'] == 12

    train(config, '--work-dir', tmp_path / 'other', '--resume', work_dir / 'epoch_3.pth',
          '--cfg-options', 'train_cfg.max_epochs=4')
    assert last_checkpoint(tmp_path / 'other')['meta']['iter'] == 16


def test_a_damaged_checkpoint_is_refused_or_passed_over(train, config, tmp_path, capfd) -> None:
    work_dir = tmp_path / 'run'
    train(config, '--work-dir', work_dir)
    newest = work_dir / 'epoch_2.pth'
    damage(newest, 'one bit turned')
    with pytest.raises(SystemExit):
        train(config, '--work-dir', work_dir, '--resume', newest)
    assert f'error: {newest} is damaged' in capfd.readouterr().err

    train(config, '--work-dir', work_dir, '--resume')
    output = capfd.readouterr()
    assert f'{newest} is missing or damaged: going back' in output.out + output.err
    assert last_checkpoint(work_dir)['meta']['iter'] == 8


def test_a_work_dir_in_use_is_left_alone(train_fails, config, tmp_path, holder) -> None:
    error = train_fails(config, '--work-dir', tmp_path / 'run')
    assert f'{tmp_path / "run"} is in use by process {holder.pid} on ' in error
    assert [path.name for path in (tmp_path / 'run').iterdir()] == ['.lock']


def test_checkpoints_on_another_disk_are_resumed_from(train, config, tmp_path) -> None:
    options = '--work-dir', tmp_path / 'run', '--cfg-options', (
        f'default_hooks.checkpoint.out_dir={tmp_path / "disk"}')
    train(config, *options)
    train(config, '--resume', *options, 'train_cfg.max_epochs=3')
    assert last_checkpoint(tmp_path / 'run')['meta']['iter'] == 12
    names = [path.name for path in (tmp_path / 'disk' / 'run').iterdir()]
    assert 'epoch_3.pth' in names and not list((tmp_path / 'run').glob('*.pth'))


def test_a_restarted_run_goes_on_from_what_it_was_given(train, config, tmp_path,
                                                        monkeypatch) -> None:
    """torchrun restarts a run that had not saved anything yet."""
    train(config, '--work-dir', tmp_path / 'first')
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')
    train(config, '--work-dir', tmp_path / 'second', '--resume', tmp_path / 'first/epoch_1.pth')
    log = next((tmp_path / 'second').glob('*/*.log')).read_text()
    assert 'resumed epoch: 1, iter: 4' in log
    assert [path.name for path in (tmp_path / 'second').glob('*.pth')] == ['epoch_2.pth']


def load_cfg(monkeypatch, *args: object) -> Config:
    tool = load_tool('train.py')
    monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, args)])
    return tool.load_config(tool.parse_args())


def test_options_reach_the_config(monkeypatch, config, tmp_path) -> None:
    cfg = load_cfg(monkeypatch, config, '--amp', '--auto-scale-lr', '--work-dir', tmp_path,
                   '--cfg-options', 'optim_wrapper.optimizer.lr=0.5',
                   'optim_wrapper.type=GuardedOptimWrapper', 'optim_wrapper.max_bad_steps=3')
    assert cfg.optim_wrapper.type == 'mmpretrain.ConMIMAmpOptimWrapper'
    assert cfg.optim_wrapper.max_bad_steps == 3
    assert cfg.auto_scale_lr.enable
    assert cfg.work_dir == str(tmp_path)
    assert cfg.optim_wrapper.optimizer.lr == 0.5


def test_eval_data_reaches_the_config(monkeypatch, config, tmp_path) -> None:
    cfg = load_cfg(monkeypatch, config, '--eval-data', tmp_path)
    assert cfg.val_cfg == dict(type='mmpretrain.FeatureValLoop')
    assert cfg.val_dataloader.dataset.data_root == str(tmp_path)
    assert cfg.default_hooks.checkpoint.save_best == 'val/knn_top1'


def test_a_tracker_is_added_or_missed_before_the_start(monkeypatch, config, train_fails) -> None:
    specs = {name: ModuleSpec(name, None, origin='there') for name in ('tensorboard', 'wandb')}
    monkeypatch.setattr('conmim_mm.visualization.trackers.importlib.util.find_spec', specs.get)
    cfg = load_cfg(monkeypatch, config, '--track', 'tensorboard', 'wandb')
    assert [backend.type for backend in cfg.visualizer.vis_backends] == [
        'LocalVisBackend', 'TensorboardVisBackend', 'mmpretrain.WandbRunBackend']
    assert train_fails(config, '--track', 'tensorboard', 'mlflow').endswith('pip install mlflow')


@pytest.mark.parametrize(('batches', 'ratio'), [(1, 1 / 2), (2, 1), (4, 2)])
def test_auto_scale_lr_scales_by_the_images_of_a_step(train, config, tmp_path, batches,
                                                      ratio) -> None:
    """Also when the config that the run has saved is trained from."""
    for source, run in ((config, tmp_path / 'run'), (tmp_path / 'run' / 'toy.py', tmp_path / '2')):
        train(source, '--auto-scale-lr', '--work-dir', run, '--cfg-options',
              'default_hooks.logger.interval=1', 'train_cfg.max_epochs=1',
              f'optim_wrapper.accumulative_counts={batches}')
        logs = next(run.glob('*/vis_data/scalars.json')).read_text().splitlines()
        assert json.loads(logs[0])['lr'] == pytest.approx(1e-3 * ratio)


@pytest.mark.parametrize('switched_off', [
    ('start_checks', 'learning_monitor', 'teacher', 'skipped_images', 'bad_numbers'),
    ('runtime_info', 'timer', 'logger', 'param_scheduler', 'checkpoint', 'sampler_seed', 'stop',
     'live', 'report')], ids=['of the method', 'of the run'])
def test_hooks_are_switched_off_by_name(train, config, tmp_path, monkeypatch,
                                        switched_off) -> None:
    """It trains to the end without them, and with the others."""
    there = []

    def noting(runner: Runner, real: Callable = Runner.train) -> None:
        there.extend(type(hook).__name__ for hook in runner.hooks)
        real(runner)

    monkeypatch.setattr(Runner, 'train', noting)
    train(config, '--work-dir', tmp_path / 'run', '--cfg-options',
          *(f'default_hooks.{name}=None' for name in switched_off))
    hooks = Config.fromfile(config).default_hooks
    assert sorted(there) == sorted(hook.type.removeprefix('mmpretrain.')
                                   for name, hook in hooks.items() if name not in switched_off)


@pytest.mark.parametrize('options, words', [
    (['train_dataloader.dataset.data_root=/no/such/place'], 'no such folder: /no/such/place'),
    (['train_dataloader.dataset.data_root={empty}'], 'no images in {empty}: looked for .jpg .jpeg'),
    (['train_dataloader.dataset.pipeline.2.block_size=12'], 'not divisible by block_size=12'),
    (['model.backbone.arch=huge'], "num_layers'], but is 'huge'"),
    (['train_dataloader.dataset.pipeline.2.type=RandomMask'],
     "unknown transform type 'RandomMask' in the config; did you mean RandomPatchMask"),
    (['model.backbone.depht=3'], "ConMIMViT has no setting 'depht'"),
    (['load_from=/no/such.pth'], 'no such checkpoint: /no/such.pth'),
    (['load_from={other}'], 'the checkpoint does not fit the model'),
    (['load_from={text}'], 'is no checkpoint'),
    (['train_dataloader.dataset.pipeline.7.size=3'], '--cfg-options do not fit'),
    (['model.backbone.img_size.x=3'], '--cfg-options do not fit'),
    (['compile=3'], 'another kind than it must be: compile=3'),
    (['optim_wrapper.optimizer.type=Lion'], 'optimizer.type=Lion'),
    (['optim_wrapper.optimizer.betas=3'], 'optimizer.betas=3'),
    (['train_dataloader.batch_size=abc'], 'batch_size=abc'),
    (['param_scheduler.warmup=[1,2]'], 'param_scheduler.warmup=[1,2]'),
    (['words'], '--cfg-options takes KEY=VALUE'),
])
def test_bad_input_gets_one_line(train_fails, config, tmp_path, options, words) -> None:
    (tmp_path / 'empty').mkdir()
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'other.pth')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    places = dict(empty=tmp_path / 'empty', other=tmp_path / 'other.pth',
                  text=tmp_path / 'text.pth')
    error = train_fails(config, '--cfg-options', *(option.format(**places) for option in options))
    assert words.format(**places) in error
    assert not list(tmp_path.rglob('epoch_*.pth'))


def test_unreadable_image_is_named(train_fails, config, tmp_path) -> None:
    """Though a worker read it."""
    folder = tmp_path / 'broken'
    folder.mkdir()
    for i in range(4):
        (folder / f'{i}.png').write_bytes(b'no image')
    error = train_fails(config, '--cfg-options', f'train_dataloader.dataset.data_root={folder}',
                        'train_dataloader.num_workers=1')
    assert error.startswith(f'error: cannot read the image {folder}')
    assert error.endswith(': not an image; nor could any of 100 others drawn in its place be read')


def test_no_such_config(train_fails) -> None:
    assert train_fails('no/such/config.py').startswith('error: no such config: no/such/config.py')


def test_defects_keep_their_traceback() -> None:
    from conmim_mm.utils.cli import run_tool

    def broken() -> None:
        raise KeyError('a bug')

    with pytest.raises(KeyError, match='a bug'):
        run_tool(broken)


@pytest.mark.parametrize('script, args', [('dist_train.sh', ['config.py']),
                                          ('dist_train.sh', ['config.py', 'eight']),
                                          ('dist_test.sh', ['config.py', 'checkpoint.pth']),
                                          ('dist_test.sh', ['config.py', 'checkpoint.pth', 'two']),
                                          ('slurm_train.sh', ['cpu', 'job'])])
def test_launchers_explain_themselves(script: str, args: list[str]) -> None:
    result = subprocess.run([TOOLS / script, *args], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith('usage:') and len(result.stderr.splitlines()) == 1


def test_reasons_of_openmmlabs_own_errors_are_cut_out() -> None:
    from conmim_mm.utils.cli import explain

    worker = FileNotFoundError('Caught FileNotFoundError in DataLoader worker process 0.\n'
                               'Original Traceback (most recent call last):\n  File "x.py"\n'
                               "FileNotFoundError: [Errno 2] No such file or directory: '/a.png'")
    assert explain(worker).startswith(
        "no such file or folder: [Errno 2] No such file or directory: '/a.png'")
    assert explain(ValueError('need at least one array to concatenate')).startswith('no sample')
    assert explain(ValueError('anything else')) is None
