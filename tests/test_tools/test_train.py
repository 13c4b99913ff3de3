"""tools/train.py and its launchers, as typed."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from ..conftest import CONFIGS, ROOT, TOOLS, load_tool
from ..toy import ARCH, write_noise_images

CONFIG = """
_base_ = [{bases}]
pipeline = [
    dict(type='LoadRGBImage'),
    dict(type='ConMIMTwoViews', size=32),
    dict(type='RandomPatchMask', img_size=32, patch_size=8, block_size=8, mask_ratio=0.5),
    dict(type='PackConMIMInputs'),
]
model = dict(
    backbone=dict(type='ConMIMViT', arch={arch}, img_size=32, patch_size=8),
    neck=dict(in_channels=24, hid_channels=32, out_channels=16))
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, pin_memory=False,
    dataset=dict(data_root={images!r}, data_prefix='', pipeline=pipeline))
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = dict(warmup=0)
train_cfg = dict(max_epochs=2)
auto_scale_lr = dict(base_batch_size=4)
"""
BASES = ('models/conmim.py', 'datasets/images_conmim_224.py', 'schedules/conmim_adamw.py',
         'conmim_runtime.py')


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_noise_images(tmp_path_factory.mktemp('images'), count=8, side=48)


@pytest.fixture
def config(tmp_path, images) -> Path:
    return write_config(tmp_path, images)


def write_config(folder: Path, images: Path) -> Path:
    path = folder / 'toy.py'
    bases = ', '.join(repr(str(CONFIGS / '_base_' / base)) for base in BASES)
    path.write_text(CONFIG.format(bases=bases, arch=ARCH, images=str(images)))
    return path


@pytest.fixture
def train(monkeypatch, tmp_path):
    """Calls tools/train.py in this process with the given arguments."""
    tool = load_tool('train.py')
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> None:
        monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, args)])
        tool.run_tool(tool.main)

    return call


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
    content = bytearray(newest.read_bytes())
    with zipfile.ZipFile(newest) as file:
        largest = max(file.infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + 200] ^= 1
    newest.write_bytes(content)
    with pytest.raises(SystemExit):
        train(config, '--work-dir', work_dir, '--resume', newest)
    assert f'error: {newest} is damaged' in capfd.readouterr().err

    train(config, '--work-dir', work_dir, '--resume')
    output = capfd.readouterr()
    assert f'{newest} is missing or damaged: going back' in output.out + output.err
    assert last_checkpoint(work_dir)['meta']['iter'] == 8


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
                   '--cfg-options', 'optim_wrapper.optimizer.lr=0.5')
    assert cfg.optim_wrapper.type == 'mmpretrain.ConMIMAmpOptimWrapper'
    assert cfg.auto_scale_lr.enable
    assert cfg.work_dir == str(tmp_path)
    assert cfg.optim_wrapper.optimizer.lr == 0.5


def test_eval_data_reaches_the_config(monkeypatch, config, tmp_path) -> None:
    cfg = load_cfg(monkeypatch, config, '--eval-data', tmp_path)
    assert cfg.val_cfg == dict(type='mmpretrain.FeatureValLoop')
    assert cfg.val_dataloader.dataset.data_root == str(tmp_path)
    assert cfg.default_hooks.checkpoint.save_best == 'val/knn_top1'


def test_a_tracker_is_added_or_missed_before_the_start(monkeypatch, config, train, capfd) -> None:
    specs = {name: ModuleSpec(name, None, origin='there') for name in ('tensorboard', 'wandb')}
    monkeypatch.setattr('conmim_mm.visualization.trackers.importlib.util.find_spec', specs.get)
    cfg = load_cfg(monkeypatch, config, '--track', 'tensorboard', 'wandb')
    assert [backend.type for backend in cfg.visualizer.vis_backends] == [
        'LocalVisBackend', 'TensorboardVisBackend', 'mmpretrain.WandbRunBackend']
    with pytest.raises(SystemExit) as end:
        train(config, '--track', 'tensorboard', 'mlflow')
    assert end.value.code == 2 and 'pip install mlflow\n' in capfd.readouterr().err


def test_amp_keeps_the_guard_and_its_settings(monkeypatch, config) -> None:
    cfg = load_cfg(monkeypatch, config, '--amp', '--cfg-options',
                   'optim_wrapper.type=GuardedOptimWrapper', 'optim_wrapper.max_bad_steps=3')
    assert cfg.optim_wrapper.type == 'mmpretrain.ConMIMAmpOptimWrapper'
    assert cfg.optim_wrapper.max_bad_steps == 3


def test_auto_scale_lr_scales_by_the_batch(train, config, tmp_path) -> None:
    train(config, '--auto-scale-lr', '--work-dir', tmp_path / 'run',
          '--cfg-options', 'default_hooks.logger.interval=1')
    logs = next((tmp_path / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    assert json.loads(logs[0])['lr'] == pytest.approx(1e-3 * 2 / 4)


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
    (['model.backbone.img_size=30'], 'img_size=30x30 (height x width) is not divisible by'),
    (['train_dataloader.dataset.pipeline.2.block_size=12'], 'not divisible by block_size=12'),
    (['train_dataloader.dataset.pipeline.2.mask_ratio=1.5'], 'mask_ratio must lie between 0 and 1'),
    (['model.backbone.arch=huge'], "num_layers'], but is 'huge'"),
    (['train_dataloader.dataset.pipeline.2.type=RandomMask'],
     "unknown transform type 'RandomMask' in the config; did you mean RandomPatchMask"),
    (['model.backbone.depht=3'], "ConMIMViT has no setting 'depht'"),
    (['train_dataloader.batch_size=16'], 'fewer images than one batch'),
    (['load_from=/no/such.pth'], 'no such checkpoint: /no/such.pth'),
    (['load_from={other}'], 'the checkpoint does not fit the model'),
    (['load_from={text}'], 'is no checkpoint'),
    (['param_scheduler.warmup=5'], 'must be shorter than the run'),
    (['train_dataloader.dataset.pipeline.7.size=3'], '--cfg-options do not fit'),
    (['model.backbone.img_size.x=3'], '--cfg-options do not fit'),
])
def test_bad_input_gets_one_line(train, config, tmp_path, capfd, options, words) -> None:
    (tmp_path / 'empty').mkdir()
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), tmp_path / 'other.pth')
    (tmp_path / 'text.pth').write_text('no checkpoint')
    places = dict(empty=tmp_path / 'empty', other=tmp_path / 'other.pth',
                  text=tmp_path / 'text.pth')
    with pytest.raises(SystemExit) as stop:
        train(config, '--cfg-options', *(option.format(**places) for option in options))
    assert stop.value.code == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error:')]
    assert len(errors) == 1
    assert words.format(**places) in errors[0]
    assert not list(tmp_path.rglob('epoch_*.pth'))


@pytest.mark.parametrize('workers', [0, 1])
def test_unreadable_image_is_named(train, config, tmp_path, capfd, workers: int) -> None:
    folder = tmp_path / 'broken'
    folder.mkdir()
    for i in range(4):
        (folder / f'{i}.png').write_bytes(b'no image')
    with pytest.raises(SystemExit):
        train(config, '--cfg-options', f'train_dataloader.dataset.data_root={folder}',
              f'train_dataloader.num_workers={workers}',
              f'train_dataloader.persistent_workers={bool(workers)}')
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith(f'error: cannot read the image {folder}')
    assert error.endswith(': not an image; nor could any of 100 others drawn in its place be read')


def test_no_such_config(train, capfd) -> None:
    with pytest.raises(SystemExit) as stop:
        train('no/such/config.py')
    assert stop.value.code == 2
    assert 'error: no such config: no/such/config.py' in capfd.readouterr().err


def test_defects_keep_their_traceback() -> None:
    from conmim_mm.utils.cli import run_tool

    def broken() -> None:
        raise KeyError('a bug')

    with pytest.raises(KeyError, match='a bug'):
        run_tool(broken)


TRACE_HOOK = '''
import hashlib, json, os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

def digest(tensors):
    h = hashlib.sha256()
    for t in tensors:
        h.update(t.detach().contiguous().numpy().tobytes())
    return h.hexdigest()

@HOOKS.register_module(force=True)
class TraceHook(Hook):
    def __init__(self, folder):
        self.folder, self.samples = folder, []
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        inputs = data_batch['inputs']
        for i, sample in enumerate(data_batch['data_samples']):
            self.samples.append(dict(epoch=runner.epoch, image=sample.img_path,
                mask=digest([inputs['mask'][i]]), crop=digest([inputs['student_view'][i]])))
    def after_train(self, runner):
        model = runner.model.module
        json.dump(dict(samples=self.samples, world_size=runner.world_size,
            teacher=digest(model.teacher.parameters()),
            student=digest(model.backbone.parameters())),
            open(os.path.join(self.folder, f'rank{runner.rank}.json'), 'w'))
'''


@pytest.mark.slow
@pytest.mark.parametrize('persistent', [True, False], ids=['persistent', 'fresh'])
def test_two_processes(config, tmp_path, persistent: bool) -> None:
    """tools/dist_train.sh: equal teachers; masks and crops differ by rank and by epoch."""
    (tmp_path / 'trace_hook.py').write_text(TRACE_HOOK)
    config.write_text(config.read_text() + f'''
custom_imports = dict(imports=['conmim_mm.registration', 'trace_hook'])
default_hooks = dict(teacher=dict(momentum=0.5))
custom_hooks = [dict(type='TraceHook', folder={str(tmp_path)!r})]
''')
    subprocess.run(
        [TOOLS / 'dist_train.sh', config, '2', '--work-dir', tmp_path / 'run', '--cfg-options',
         'train_dataloader.num_workers=2', f'train_dataloader.persistent_workers={persistent}',
         'train_cfg.max_epochs=3'],
        check=True, timeout=300, cwd=ROOT,
        env=os.environ | dict(PYTHONPATH=f'{tmp_path}:{ROOT}', PYTHON=sys.executable))
    ranks = [json.loads((tmp_path / f'rank{rank}.json').read_text()) for rank in (0, 1)]
    assert ranks[0]['world_size'] == 2
    assert ranks[0]['teacher'] == ranks[1]['teacher'] != ranks[0]['student']
    assert ranks[0]['student'] == ranks[1]['student']

    samples = [sample for rank in ranks for sample in rank['samples']]
    for epoch in range(3):
        seen = [sample['image'] for sample in samples if sample['epoch'] == epoch]
        assert len(seen) == len(set(seen)) == 8  # each image once, on one of the two
    # 24 draws out of binomial(16, 8) = 12870 masks: equal ones are unlikely, and seeded anyway
    assert len({sample['mask'] for sample in samples}) >= 23
    assert len({sample['crop'] for sample in samples}) == 24


FAKE_SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$SRUN_LOG"
while [ $# -gt 0 ] && [ "$1" != "$PYTHON" ]; do shift; done
SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0 SLURM_NODELIST=node MASTER_ADDR=127.0.0.1 exec "$@"
"""


@pytest.mark.slow
def test_slurm_train_on_cpu_processes(config, tmp_path) -> None:
    """With a stand-in for srun that starts one task and records what it was asked for."""
    (tmp_path / 'bin').mkdir()
    srun = tmp_path / 'bin' / 'srun'
    srun.write_text(FAKE_SRUN)
    srun.chmod(0o755)
    port = 20000 + int(hashlib.sha256(str(tmp_path).encode()).hexdigest(), 16) % 20000
    subprocess.run(
        [TOOLS / 'slurm_train.sh', 'cpu', 'job', config, tmp_path / 'run', '--cfg-options',
         'train_cfg.max_epochs=1'],
        check=True, timeout=300, cwd=tmp_path,
        env=os.environ | dict(
            PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}', PYTHON=sys.executable, GPUS='1',
            GPUS_PER_NODE='0', MASTER_PORT=str(port), SRUN_LOG=str(tmp_path / 'asked')))
    asked = (tmp_path / 'asked').read_text().splitlines()
    assert {'-p', 'cpu', '--job-name=job', '--ntasks=1', '--ntasks-per-node=1'} <= set(asked)
    assert last_checkpoint(tmp_path / 'run')['meta']['iter'] == 4


@pytest.mark.parametrize('script, args', [('dist_train.sh', ['config.py']),
                                          ('dist_train.sh', ['config.py', 'eight']),
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
