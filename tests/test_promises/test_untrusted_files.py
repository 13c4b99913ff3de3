"""No checkpoint from outside runs code, whichever way it comes in, unless the user allows it."""

import http.server
import json
import os
import pickle
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner, load_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from mmpretrain import get_model
from mmpretrain.registry import MODELS

from conmim_mm.checkpoint.reading import TRUST_VARIABLE
from conmim_mm.errors import InputError

from ..conftest import CONFIGS
from ..toy import backbone_cfg, build_model, run_cfg, write_noise_images

CLASSIFIER = CONFIGS / 'classification' / 'vit-tiny_1xb32_scenes-64px.py'
PRETRAINING = CONFIGS / 'conmim' / 'vit-tiny_1xb32_scenes-64px.py'


class Call:
    """Pickles into a call of a function."""

    def __init__(self, function, *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple:
        return self.call


def write_crafted(folder: Path, kind: str) -> Path:
    """A checkpoint that leaves a file named ``executed`` beside it when it is unpickled."""
    path, marker = folder / f'{kind}.pth', folder / 'executed'
    system = dict(meta=dict(), state_dict=Call(os.system, f'touch {marker}'))
    evaluated = dict(meta=dict(), state_dict=Call(eval, f'open({str(marker)!r}, "w").close()'))
    if kind == 'archive-system':
        torch.save(system, path)
    elif kind == 'archive-eval':
        torch.save(evaluated, path)
    elif kind == 'legacy':
        torch.save(evaluated, path, _use_new_zipfile_serialization=False)
    else:
        protocol = int(kind.removeprefix('pickle-'))
        path.write_bytes(pickle.dumps(system, protocol=protocol))
    return path


KINDS = ['archive-system', 'archive-eval', 'legacy', 'pickle-2', 'pickle-5']


@pytest.fixture(params=KINDS)
def any_crafted(request, tmp_path) -> Path:
    return write_crafted(tmp_path, request.param)


@pytest.fixture(params=['archive-system', 'pickle-2'])
def crafted(request, tmp_path) -> Path:
    return write_crafted(tmp_path, request.param)


@pytest.fixture
def images(tmp_path) -> Path:
    (tmp_path / 'images').mkdir()
    return write_noise_images(tmp_path / 'images', count=8, side=40)


def was_executed(crafted: Path) -> bool:
    return (crafted.parent / 'executed').exists()


def test_the_attack_is_real(any_crafted) -> None:
    try:
        torch.load(any_crafted, weights_only=False)
    except RuntimeError as error:
        # A bare pickle has done its work before PyTorch finds that it is none of its files.
        assert 'magic number' in str(error)
    assert was_executed(any_crafted)


def test_mmengines_loader_refuses(any_crafted) -> None:
    with pytest.raises(InputError) as error:
        CheckpointLoader.load_checkpoint(str(any_crafted))
    message = str(error.value)
    assert message.startswith(f'cannot load {any_crafted} as plain weights: it ')
    assert 'if you trust whoever made it, add --trust-checkpoint' in message
    assert '\n' not in message and len(message) < 300 + len(str(any_crafted))
    assert not was_executed(any_crafted)


def resume(runner: type, images: Path, crafted: Path) -> None:
    runner.from_cfg(run_cfg(images, crafted.parent / 'run', load_from=str(crafted),
                            resume=True, env_cfg={})).train()


def load_from(runner: type, images: Path, crafted: Path) -> None:
    runner.from_cfg(run_cfg(images, crafted.parent / 'run', load_from=str(crafted),
                            env_cfg={})).train()


@pytest.mark.parametrize('runner', [Runner, FlexibleRunner])
@pytest.mark.parametrize('way', [load_from, resume])
def test_runners_refuse(images, crafted, runner: type, way) -> None:
    with pytest.raises(InputError, match='as plain weights: it asks for posix.system'):
        way(runner, images, crafted)
    assert not was_executed(crafted)


MODEL_WAYS = {
    'our backbone': lambda init_cfg: MODELS.build(backbone_cfg(init_cfg=init_cfg)).init_weights(),
    "mmpretrain's backbone": lambda init_cfg: MODELS.build(
        dict(type='MobileNetV2', init_cfg=init_cfg)).init_weights(),
    'a head': lambda init_cfg: MODELS.build(
        dict(type='LinearClsHead', num_classes=2, in_channels=4,
             init_cfg=init_cfg | dict(prefix='head.'))).init_weights(),
    'load_checkpoint': lambda init_cfg: load_checkpoint(torch.nn.Linear(1, 1),
                                                        init_cfg['checkpoint']),
    'get_model': lambda init_cfg: get_model(
        Config(dict(model=dict(type='ImageClassifier', backbone=dict(type='LeNet5')))),
        pretrained=init_cfg['checkpoint']),
}


@pytest.mark.parametrize('way', MODEL_WAYS)
def test_models_refuse(crafted, way: str) -> None:
    with pytest.raises(InputError, match='as plain weights: it asks for posix.system'):
        MODEL_WAYS[way](dict(type='Pretrained', checkpoint=str(crafted)))
    assert not was_executed(crafted)


def test_web_addresses_are_refused(crafted, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}/{crafted.name}'
        for way in ('our backbone', 'load_checkpoint'):
            with pytest.raises(InputError, match=f'cannot load {address} as plain weights'):
                MODEL_WAYS[way](dict(type='Pretrained', checkpoint=address))
        server.shutdown()
    assert not was_executed(crafted)


def test_other_schemes_are_refused(crafted, tmp_path, monkeypatch) -> None:
    """A name of MMEngine's model zoo that leads to a file; its own loader unpickles."""
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    (tmp_path / 'open_mmlab.json').write_text(json.dumps(dict(model=crafted.name)))
    with pytest.raises(InputError, match='cannot load open-mmlab://model as plain weights'):
        CheckpointLoader.load_checkpoint('open-mmlab://model')
    assert not was_executed(crafted)
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_a_config_in_the_checkpoint_is_not_run(images, tmp_path) -> None:
    """Resuming, MMEngine runs the text at ``meta['config']`` as Python."""
    Runner.from_cfg(run_cfg(images, tmp_path / 'run')).train()
    path = tmp_path / 'run' / 'epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['config'] = f'open({str(tmp_path / "executed")!r}, "w").close()'
    torch.save(checkpoint, path)
    resumed = Runner.from_cfg(run_cfg(images, tmp_path / 'run', load_from=str(path), resume=True))
    resumed.train()
    assert resumed.epoch == 2
    assert not was_executed(path.parent)


# --- the tools ---

TOY_TRAINING = ['--cfg-options', 'train_dataloader.num_workers=0',
                'train_dataloader.persistent_workers=False']


@pytest.fixture
def run(refused, fails, monkeypatch, tmp_path):
    """Calls a tool, or ``conmim``, in this process; returns its one line of error."""
    monkeypatch.setenv(TRUST_VARIABLE, '0')
    monkeypatch.chdir(tmp_path)
    return lambda path, *args: fails(*args) if path == 'conmim' else refused(path, *args)


@pytest.mark.parametrize('options', [
    ('--resume', '{crafted}'), ('--cfg-options', 'load_from={crafted}'),
    ('--cfg-options', 'model.backbone.init_cfg.type=Pretrained',
     'model.backbone.init_cfg.checkpoint={crafted}')], ids=['resume', 'load_from', 'init_cfg'])
def test_train_refuses(run, images, crafted, options) -> None:
    options = [option.format(crafted=crafted) for option in options]
    if options[0] != '--cfg-options':
        options.append('--cfg-options')
    error = run('train.py', PRETRAINING, '--data-root', images, '--work-dir',
                crafted.parent / 'run', *options, *TOY_TRAINING[1:],
                'train_dataloader.dataset.data_prefix=', 'train_dataloader.batch_size=2')
    assert f'cannot load {crafted} as plain weights: it asks for posix.system' in error
    assert not was_executed(crafted)


def test_train_refuses_what_lies_in_its_work_dir(run, images, tmp_path) -> None:
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    crafted = write_crafted(work_dir, 'archive-system')
    (work_dir / 'last_checkpoint').write_text(str(crafted))
    error = run('train.py', PRETRAINING, '--data-root', images, '--work-dir', work_dir, '--resume',
                *TOY_TRAINING, 'train_dataloader.dataset.data_prefix=',
                'train_dataloader.batch_size=2')
    assert f'cannot load {crafted} as plain weights: it asks for posix.system' in error
    assert not was_executed(crafted)


def test_test_refuses(run, crafted, scenes) -> None:
    error = run('test.py', CLASSIFIER, crafted, '--data-root', scenes / 'imagenet',
                '--cfg-options', 'test_dataloader.num_workers=0', 'model.backbone.init_cfg=None')
    assert 'as plain weights: it asks for posix.system' in error
    assert not was_executed(crafted)


@pytest.mark.parametrize('command', [
    ['model_converters/conmim_to_mm.py', '{crafted}', 'out.pth'],
    ['conmim', 'export', '{crafted}', 'out.pth', '--format', 'mmpretrain'],
    ['conmim', 'export', '{crafted}', 'out.pth', '--format', 'timm'],
    ['model_converters/publish_model.py', '{crafted}', 'out.pth'],
    ['conmim', 'embed', '{crafted}', '--data', '{images}', '--out', 'out.npz'],
], ids=lambda command: ' '.join(map(str, command[:2])))
def test_tools_refuse(run, images, crafted, command) -> None:
    error = run(*(str(part).format(crafted=crafted, images=images) for part in command))
    assert f'cannot load {crafted} as plain weights: it asks for posix.system' in error
    assert not was_executed(crafted)
    assert not (crafted.parent / 'out.pth').exists()


def test_original_teacher_is_refused(run, tmp_path) -> None:
    weights = {key.replace('layers.', 'projectors.'): value
               for key, value in build_model().neck.state_dict().items()}
    torch.save(dict(model=weights), tmp_path / 'student.pth')
    crafted = write_crafted(tmp_path, 'archive-eval')
    error = run('model_converters/conmim_to_mm.py', tmp_path / 'student.pth', 'out.pth',
                '--teacher', crafted)
    assert f'cannot load {crafted} as plain weights: it asks for eval' in error
    assert not was_executed(crafted)


@pytest.mark.parametrize('tool, more', [
    (['conmim', 'export'], ['--format', 'mmpretrain']),
    (['model_converters/conmim_to_mm.py'], []),
    (['model_converters/publish_model.py'], ['--name', 'a', '--date', '20261125']),
    (['conmim', 'export'], ['--format', 'timm'])])
def test_the_flag_allows_it(run, tmp_path, tool: list[str], more: list[str]) -> None:
    crafted = write_crafted(tmp_path, 'archive-system')
    error = run(*tool, crafted, 'out.pth', '--trust-checkpoint', *more)
    assert 'as plain weights' not in error  # but it holds no backbone
    assert was_executed(crafted)


def test_the_environment_allows_it_to_mmengine(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(TRUST_VARIABLE, '1')
    crafted = write_crafted(tmp_path, 'archive-system')
    assert CheckpointLoader.load_checkpoint(str(crafted))['state_dict'] == 0  # of os.system
    assert was_executed(crafted)


# --- what must load ---

def test_records_of_numpy_1_load(tmp_path) -> None:
    """Files of older environments name NumPy's functions by their old place."""
    path = tmp_path / 'old.pth'
    numbers = dict(meta=dict(seed=np.int64(3)), state_dict={},
                   rng=np.random.RandomState(0).get_state()[1], scale=np.float64(0.5))
    torch.save(numbers, path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    assert b'numpy.core.multiarray' in old
    path.write_bytes(old)
    loaded = CheckpointLoader.load_checkpoint(str(path))
    assert loaded['meta']['seed'] == 3 and loaded['scale'] == 0.5
    assert np.array_equal(loaded['rng'], numbers['rng'])


def test_map_location_reaches_the_tensors(tmp_path) -> None:
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(2))), path)
    load = partial(CheckpointLoader.load_checkpoint, str(path))
    assert load(map_location='meta')['state_dict']['weight'].is_meta
    assert load(map_location=None)['state_dict']['weight'].device.type == 'cpu'


def test_what_is_no_checkpoint_gets_no_advice_to_trust_it(tmp_path) -> None:
    path = tmp_path / 'some.pth'
    for content in (b'', b'text', b'PK\x03\x04', pickle.PROTO + b'\x02'):
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            CheckpointLoader.load_checkpoint(str(path))
        assert 'damaged' in str(error.value) and 'trust' not in str(error.value)
