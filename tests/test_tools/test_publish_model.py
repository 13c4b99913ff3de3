import hashlib

import mmengine
import publish_model as tool
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain import get_model
from public_checkpoint import REMOVED
from torch.hub import HASH_REGEX

from conmim_mm.errors import InputError

from ..toy import backbone_cfg, run_cfg, write_noise_images


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of two steps, and its config."""
    folder = tmp_path_factory.mktemp('private')
    images = write_noise_images(folder, 4, 40)
    cfg = Config(run_cfg(images, folder / 'run', log_level='ERROR'))
    cfg.experiment_name = 'vit-toy_1xb4'
    runner = Runner.from_cfg(cfg)
    runner.train()
    with torch.no_grad():  # further from the student than two steps take it
        runner.model.teacher.backbone.cls_token.add_(1.)
    path = folder / 'run' / 'epoch_2.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['state_dict'] = runner.model.state_dict()
    checkpoint['meta']['experiment_name'] = 'vit-toy_1xb4_20261125_010203'
    checkpoint['meta']['mmengine_version'] = f'{mmengine.__version__}{"0a" * 20}'
    checkpoint['meta']['time'] = '20261125_010203'
    checkpoint['meta']['dataset_meta'] = dict(classes=('cat', 'dog'))
    torch.save(checkpoint, path)
    return path, cfg


def test_name_says_config_day_and_hash(run, tmp_path) -> None:
    path, _ = run
    target = tool.publish(path, tmp_path / 'new' / 'out')
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert target == tmp_path / 'new' / 'out' / f'vit-toy_1xb4_20261125-{digest[:8]}.pth'
    # as MMEngine and torch.hub check it
    assert digest.startswith(HASH_REGEX.search(target.name)[1])
    assert sorted(file.name for file in target.parent.iterdir()) == [
        f'{target.stem}.md', target.name]

    # the same bytes from the same checkpoint, wherever and however often
    copy = path.with_name('copy.pth')
    copy.write_bytes(path.read_bytes())
    again = tool.publish(copy, tmp_path / 'again')
    assert (again.name, again.read_bytes()) == (target.name, target.read_bytes())
    named = tool.publish(path, tmp_path, name='my-model', date='20200102')
    assert named.name == f'my-model_20200102-{digest[:8]}.pth'


def test_holds_weights_and_their_record_only(run, tmp_path) -> None:
    path, _ = run
    target = tool.publish(path, tmp_path)
    published = torch.load(target, weights_only=True)
    source = torch.load(path, weights_only=False)
    assert set(published) == {'meta', 'state_dict'}
    assert set(published['meta']) == {
        'conmim_mm_version', 'mmengine_version', 'weights', 'config', 'epoch', 'iter', 'seed',
        'time', 'cfg', 'settings', 'dataset_meta'}
    assert (published['meta']['epoch'], published['meta']['weights']) == (2, 'teacher')
    assert published['meta']['dataset_meta'] == dict(classes=('cat', 'dog'))
    for key, value in published['state_dict'].items():
        assert type(value) is torch.Tensor
        assert value.equal(source['state_dict'][f'teacher.{key}'])
    assert published['meta']['mmengine_version'] == mmengine.__version__
    settings = published['meta']['settings']
    assert settings['model'] == source['meta']['settings']['model']
    assert settings == Config.fromstring(published['meta']['cfg'], '.py').to_dict()
    # nothing says where it was trained
    card = target.with_suffix('.md').read_text()
    assert str(path.parents[1]) in source['meta']['cfg']
    for private in (str(path.parent), path.parents[1].name):
        assert private.encode() not in target.read_bytes()
        assert private not in card


@pytest.mark.parametrize('weights', ['teacher', 'student', 'all'])
def test_loads_by_name_of_its_config(run, tmp_path, weights) -> None:
    path, cfg = run
    source = torch.load(path, weights_only=False)['state_dict']
    target = tool.publish(path, tmp_path, weights)
    model = get_model(cfg, pretrained=str(target)).state_dict()
    if weights == 'all':
        assert all(value.equal(source[key]) for key, value in model.items())
        return
    prefix = 'teacher.' if weights == 'teacher' else ''
    keys = [key for key in model if key.startswith('backbone.')]
    assert keys and all(model[key].equal(source[prefix + key]) for key in keys)


@pytest.mark.parametrize('weights, taken', [('teacher', 'teacher.'), ('student', ''),
                                            ('all', 'teacher.')])
def test_starts_a_transfer_and_is_published_again(run, tmp_path, weights, taken) -> None:
    path, _ = run
    source = torch.load(path, weights_only=False)['state_dict']
    target = tool.publish(path, tmp_path, weights)
    classifier = get_model(Config(dict(model=dict(
        type='ImageClassifier',
        backbone=backbone_cfg(use_mask_token=False, out_type='avg_featmap'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=24)))))
    classifier.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(target))
    classifier.init_weights()
    name = next(key for key in classifier.state_dict() if 'blocks.1' in key and 'qkv' in key)
    assert classifier.state_dict()[name].equal(source[taken + name])

    # a task's checkpoint has one set of weights, which is published whole
    trained = tmp_path / 'classifier.pth'
    torch.save(dict(meta={}, state_dict=classifier.state_dict()), trained)
    whole = torch.load(tool.publish(trained, tmp_path, name='task', date='20261125'))
    assert whole['state_dict'].keys() == classifier.state_dict().keys()
    with pytest.raises(InputError, match='one model in this checkpoint, no student'):
        tool.publish(trained, tmp_path, 'student', name='task', date='20261125')


def test_card_is_filled_in(run, tmp_path) -> None:
    path, cfg = run
    target = tool.publish(path, tmp_path, 'all')
    card = target.with_suffix('.md').read_text()
    student = sum(value.numel() for key, value in get_model(cfg).named_parameters()
                  if not key.startswith('teacher.'))
    assert '$' not in card
    for fact in (f'# vit-toy_1xb4\n\n{target.name}: all weights of the model, {student:,} ',
                 hashlib.sha256(target.read_bytes()).hexdigest(),
                 hashlib.sha256(path.read_bytes()).hexdigest(),
                 '| config | `vit-toy_1xb4`', '| trained for | 2 epochs, 2 steps |',
                 '| run ended | 2026-11-25 |', '| seed | 0 |', f"data_root='{REMOVED}'"):
        assert fact in card
    # what someone has completed since stays
    target.with_suffix('.md').write_text('complete')
    tool.publish(path, tmp_path, 'all')
    assert target.with_suffix('.md').read_text() == 'complete'


def test_says_what_is_missing(run, tmp_path, run_script, capsys) -> None:
    path, _ = run
    bare = tmp_path / 'bare.pth'
    torch.save(dict(state_dict=torch.load(path, weights_only=False)['state_dict']), bare)
    with pytest.raises(InputError, match='give --name'):
        tool.publish(bare, tmp_path)
    with pytest.raises(InputError, match='give --date YYYYMMDD'):
        tool.publish(bare, tmp_path, name='model')
    with pytest.raises(InputError, match="'2026' is no date"):
        tool.publish(bare, tmp_path, name='model', date='2026')
    with pytest.raises(InputError, match="'a/b' is no name"):
        tool.publish(path, tmp_path, name='a/b')
    with pytest.raises(InputError, match='is a file; give a folder'):
        tool.publish(path, bare)
    assert list(tmp_path.iterdir()) == [bare]
    assert '# not in the checkpoint' in tool.publish(
        bare, tmp_path, name='model', date='20261125').with_suffix('.md').read_text()

    run_script(tool, path, tmp_path / 'out')
    assert 'complete what is marked TO FILL IN' in capsys.readouterr().out
