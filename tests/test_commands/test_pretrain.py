"""conmim pretrain, in this process, on a toy."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image
from run_comparison import run_differences

from conmim_mm.apis.pretraining import plan as pretrain_config
from conmim_mm.apis.pretraining import recipe
from conmim_mm.apis.pretraining import start as pretrain
from conmim_mm.apis.pretraining.plan import PretrainOptions, plan_run
from conmim_mm.apis.pretraining.resumed_run import Resumption, plan_resumption
from conmim_mm.checkpoint.reading import read_meta
from conmim_mm.commands import main
from conmim_mm.errors import InputError
from conmim_mm.utils.run_config import read_config
from conmim_mm.utils.shipped_files import recipe_file
from conmim_mm.utils.work_dir import last_checkpoint

from ..conftest import load_tool
from ..ranks import train_on_ranks
from ..toy_run import BATCH, EPOCHS, IMAGES


def checkpoint(out: Path) -> dict:
    return torch.load(last_checkpoint(out), weights_only=False)


def test_the_run(toy) -> None:
    meta = checkpoint(toy.out)['meta']
    assert (meta['epoch'], meta['iter']) == (EPOCHS, EPOCHS * (IMAGES // BATCH))
    assert meta['run']['images'] == IMAGES and meta['run']['batch_size'] == BATCH


def test_the_written_config_is_the_run(toy, monkeypatch, tmp_path) -> None:
    """tools/train.py with it does the same, to the last bit; the runner leaves it as it is."""
    text = (toy.out / 'config.py').read_text()
    assert text.startswith('# Written by `conmim pretrain`.\n# images         9 in ')
    options = PretrainOptions(data=toy.photos, config=str(toy.config), epochs=EPOCHS,
                              batch_size=BATCH, out=toy.out)
    assert read_config(str(toy.out / 'config.py')).to_dict() == plan_run(options).cfg.to_dict()

    monkeypatch.setattr(sys, 'argv', [
        'train.py', str(toy.out / 'config.py'), '--work-dir', str(tmp_path / 'again')])
    load_tool('train.py').main()
    assert run_differences(toy.out, tmp_path / 'again') == []
    assert (toy.out / 'config.py').read_text() == text


def test_what_contradicts_the_run_is_refused(toy, run_copy, fails) -> None:
    resume = ['pretrain', '--resume', '--out', run_copy]
    line = fails(*resume, '--lr', '0.1')
    assert 'was started with --lr left out, not 0.1: leave --lr out' in line
    assert '--batch-size 4, not 8' in fails(*resume, '--batch-size', 8)
    assert 'can only make it longer' in fails(*resume, '--epochs', 1)
    assert 'there is no run in' in fails('pretrain', '--resume', '--out', toy.photos)
    (run_copy / 'config.py').unlink()
    assert 'has no config.py: go on with the command' in fails(*resume)


@pytest.mark.parametrize('more', [[], ['--overwrite'], ['--resume']], ids=' '.join)
def test_a_run_in_use_is_left_alone(toy, fails, tmp_path, holder, more) -> None:
    if more:
        (tmp_path / 'run' / 'config.py').write_bytes((toy.out / 'config.py').read_bytes())
    before = sorted(tmp_path.rglob('*'))
    error = fails('pretrain', *toy.options, '--out', tmp_path / 'run', *more)
    assert f'is in use by process {holder.pid} on ' in error
    assert sorted(tmp_path.rglob('*')) == before


def test_a_run_is_not_written_over(toy, run_copy, fails, monkeypatch, capsys, tmp_path) -> None:
    start = ['pretrain', *toy.options, '--out', str(run_copy)]
    line = fails(*start)
    assert f'{run_copy} holds a run (epoch 2 of 2): add --resume to go on, --overwrite to' in line
    # how far it got is read, and its config not run
    config = (run_copy / 'config.py').read_text()
    (run_copy / 'config.py').write_text(f'open({str(tmp_path / "executed")!r}, "w")')
    assert '(epoch 2 of 2)' in fails(*start)
    for content in ('{"settings": {"train_cfg": 1}}', '{"settings": []}', '['):
        (run_copy / 'report' / 'facts.json').write_text(content)
        assert '(epoch 2)' in fails(*start)
    assert not (tmp_path / 'executed').exists()
    (run_copy / 'config.py').write_text(config)

    started = []
    monkeypatch.setattr(pretrain, 'start', lambda *args, **_: started.append(args))
    main([*start, '--overwrite', '--cfg-options', 'randomness.seed=3'])
    aside, = tmp_path.glob('copy.earlier-*')
    assert f'the earlier run is in {aside} now' in capsys.readouterr().out
    assert (aside / 'epoch_2.pth').is_file()
    assert [path.name for path in run_copy.iterdir()] == ['config.py']
    assert Config.fromfile(run_copy / 'config.py').randomness.seed == 3
    assert started == [(run_copy, Resumption(None, False, 1), True)]
    # a run that has not saved anything yet is one too
    assert 'holds a run (nothing saved yet)' in fails(*start)


def test_what_is_no_run_stays(toy, tmp_path, fails) -> None:
    (tmp_path / 'letters').mkdir()
    (tmp_path / 'letters' / 'a.txt').touch()
    for options in ([], ['--overwrite']):
        line = fails('pretrain', *toy.options, '--out', tmp_path / 'letters', *options)
        assert 'is not empty (a.txt) and holds no run' in line
    assert 'is a file' in fails('pretrain', *toy.options, '--out', tmp_path / 'letters/a.txt')
    assert 'lies inside --data' in fails('pretrain', *toy.options, '--out', toy.photos / 'run')
    assert not (toy.photos / 'run').exists()


@pytest.mark.parametrize('options, words', [
    (['--data', '/no/such'], '--data: no such folder: /no/such'),
    (['--data', '{empty}'], 'no images in {empty}'),
    (['--eval-data', '/no/such'], '--eval-data: no such folder: /no/such'),
    (['--config', '/no/such.py'], 'no such config: /no/such.py'),
    (['--config', str(recipe_file('s', 'paper').parents[1] / '_base_/default_runtime.py')],
     'is no pre-training config'),
    (['--cfg-options', 'seed'], '--cfg-options takes KEY=VALUE'),
    (['--cfg-options', 'train_dataloader.dataset.pipeline.9.size=3'], 'do not fit the config'),
    (['--img-size', '30'], 'not divisible by'),
    (['--gpus', '10'], '9 images are fewer than 10 processes'),
    (['--cfg-options', 'default_hooks.stop.type=StopOnSignallHook'],
     'did you mean StopOnSignalHook'),
])
def test_bad_input_gets_one_line(toy, fails, tmp_path, options, words) -> None:
    (tmp_path / 'empty').mkdir()
    options = [option.format(empty=tmp_path / 'empty') for option in options]
    base = toy.options if '--config' not in options else toy.options[:2]
    line = fails('pretrain', *base, '--out', tmp_path / 'new', *options)
    assert words.format(empty=tmp_path / 'empty') in line
    assert not (tmp_path / 'new').exists()


def test_default_folder_and_size(toy, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrain, 'start', lambda *args, **_: None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    main(['pretrain', '--data', str(toy.photos)])
    cfg = Config.fromfile(tmp_path / 'runs/tiny-photos/config.py')
    assert cfg.work_dir == str(tmp_path / 'runs/tiny-photos')
    assert cfg.experiment_name == 'tiny-photos'
    # nine images: one in a batch; as many steps as the recipe's 4800, in epochs of 9
    assert cfg.train_dataloader.batch_size == 1 and cfg.train_cfg.max_epochs == 534
    assert cfg.model.decoder.type == 'CrossAttentionDecoder'
    assert cfg.optim_wrapper.optimizer.lr == 1e-3
    assert {'max_iters', 'batch_size', 'learning_rate', 'backbone'}.isdisjoint(cfg)


def test_recipes_on_own_images(toy, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(recipe, 'usable_cores', lambda: 6)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    plan = plan_run(PretrainOptions(data=toy.photos, arch='b', student='paper', epochs=20,
                                    batch_size=2, gpus=2, img_size=160, out=tmp_path / 'new'))
    cfg, lines = plan.cfg, plan.lines
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(1.5e-3 * 4 / 2048, rel=1e-3)
    assert lines['learning rate'].startswith('0.0015 x 4/2048 = 2.9e-06, warm-up 2 epochs')
    assert cfg.param_scheduler.warmup == 2 and cfg.train_cfg.max_epochs == 20
    assert cfg.train_dataloader.num_workers == 3
    assert lines['length'] == '20 epochs x 2 = 40 steps'
    assert lines['batch'] == '2 images on each of 2 processes, 4 together'
    assert lines['position table'].startswith('100 x')
    dataset = cfg.train_dataloader.dataset
    assert (dataset.data_root, dataset.data_prefix) == (str(toy.photos), '')
    assert cfg.model.backbone.img_size == 160
    assert 'every 2 epochs, the last 3 are kept' in plan.summary()


def test_the_summary_names_what_is_left_out_and_lost(tmp_path) -> None:
    (tmp_path / 'photos').mkdir()
    for i in range(4):
        Image.new('I;16', (40, 40), 4000).save(tmp_path / 'photos' / f'{i}.png')
        (tmp_path / 'photos' / f'{i}.xcf').touch()
    summary = plan_run(PretrainOptions(data=tmp_path / 'photos', arch='tiny', epochs=2,
                                       out=tmp_path / 'new')).summary()
    assert 'left out       4 .xcf\n' in summary
    assert 'grey levels    4 of 4 images looked at have hardly any' in summary


@pytest.mark.parametrize('asked, epochs, visible, words', [
    (None, 20, True, 'encodes the visible patches alone (chosen by the number of images and '
     'epochs; --student paper takes the other form)'),
    (None, 5_000_000, False, "the paper's, mask tokens in the holes (chosen by"),  # 9 images
    ('paper', 20, False, "the paper's, mask tokens in the holes"),
    ('visible', 5_000_000, True, 'encodes the visible patches alone')])
def test_the_student_is_that_of_the_budget(toy, tmp_path, asked: str | None, epochs: int,
                                           visible: bool, words: str) -> None:
    plan = plan_run(PretrainOptions(data=toy.photos, arch='s', student=asked, epochs=epochs,
                                    out=tmp_path / 'new'))
    assert plan.lines['student'].startswith(words)
    assert plan.lines['student'].endswith(')') == (asked is None)
    assert bool(plan.cfg.model.get('decoder')) == visible
    # there is no table whose rate could be raised
    assert visible != bool(plan.lines.get('position table'))


def test_held_out_images_are_left_out(toy, tmp_path) -> None:
    for part in ('train', 'val'):
        (tmp_path / 'data' / part).mkdir(parents=True)
        for i in range(5 if part == 'train' else 2):
            os.link(toy.photos / 'sub' / f'{i}.png', tmp_path / 'data' / part / f'{i}.png')
    plan = plan_run(PretrainOptions(data=tmp_path / 'data', config=str(toy.config),
                                    out=tmp_path / 'new'))
    assert plan.cfg.train_dataloader.dataset.data_prefix == 'train'
    assert re.match(r'5 in .*/data/train \(val beside it is left out\)', plan.lines['images'])


@pytest.fixture
def replaced(monkeypatch):
    """Calls ``conmim`` with words that make another program of this process; gives its call."""
    def call(*words: object) -> tuple[list[str], dict[str, str]]:
        called = []

        def execve(path: str, *args: object) -> None:
            called.append(args)
            raise SystemExit  # what comes after it is never reached

        monkeypatch.setattr(os, 'execve', execve)
        with pytest.raises(SystemExit):
            main([str(word) for word in words])
        return called[0]

    return call


def test_several_processes_are_the_launchers(toy, tmp_path, replaced) -> None:
    """This process becomes dist_train.sh, so signals and exit status are its own."""
    (name, script, *arguments), environment = replaced(
        'pretrain', *toy.options, '--gpus', '2', '--out', tmp_path / 'new')
    assert name == 'bash' and script.endswith('tools/dist_train.sh') and Path(script).is_file()
    assert arguments == [str(tmp_path / 'new/config.py'), '2', '--work-dir', str(tmp_path / 'new')]
    assert environment['PYTHON'] == sys.executable
    assert train_on_ranks(Path(arguments[0]), *arguments[2:]).returncode == 0
    # nine images: one step of four on each of two processes an epoch
    assert checkpoint(tmp_path / 'new')['meta']['iter'] == EPOCHS


def test_resumes_with_other_processes(run_copy, replaced, capsys) -> None:
    (_, _, config, *arguments), _ = replaced(
        'pretrain', '--resume', '--out', run_copy, '--epochs', 3, '--gpus', 2)
    assert arguments == ['2', '--work-dir', str(run_copy), '--resume', '--elastic']
    assert '2 processes in place of 1' in capsys.readouterr().out
    assert train_on_ranks(Path(config), *arguments[1:]).returncode == 0
    # epochs of two steps of four images, two on each of two processes now
    assert (checkpoint(run_copy)['meta']['epoch'], checkpoint(run_copy)['meta']['iter']) == (3, 6)


def test_other_processes_stay_other_processes(run_copy) -> None:
    """The checkpoint is of one process with four images, as planned."""
    cfg = read_config(str(run_copy / 'config.py'))
    facts = read_meta(last_checkpoint(run_copy))['run']
    assert plan_resumption(cfg, facts, None, False) == (1, None)
    assert plan_resumption(cfg, facts, 2, False) == (2, 'rescale')
    assert plan_resumption(cfg, facts, None, True) == (1, 'allow')
    # planned for two with two images each, and moved to one since
    cfg.started_with.gpus, cfg.train_dataloader.batch_size = 2, 2
    assert plan_resumption(cfg, facts, None, False) == (1, 'rescale')
    assert plan_resumption(cfg, facts, 2, False) == (2, 'rescale')
    # another batch in the config is for StartChecksHook to refuse
    cfg.train_dataloader.batch_size = 3
    assert plan_resumption(cfg, facts, None, False) == (1, None)


def test_evaluation_and_trackers_go_into_the_config(toy, labelled, tmp_path) -> None:
    cfg = plan_run(PretrainOptions(data=toy.photos, config=str(toy.config), eval_data=labelled,
                                   track=('tensorboard', ), out=tmp_path / 'new')).cfg
    assert cfg.val_cfg.type == 'mmpretrain.FeatureValLoop'
    assert cfg.val_dataloader.dataset.data_root == str(labelled)
    assert cfg.visualizer.vis_backends[-1]['type'] == 'TensorboardVisBackend'


def test_wrong_labelled_images_write_and_move_nothing(toy, run_copy, fails, tmp_path,
                                                      monkeypatch) -> None:
    """With several processes there is no way back once they have started."""
    monkeypatch.setattr(os, 'execve', lambda *_: pytest.fail('started'))
    start = ['pretrain', *toy.options, '--gpus', '2', '--eval-data']
    (tmp_path / 'no_labels').mkdir()
    assert 'no labels in' in fails(*start, tmp_path / 'no_labels', '--out', tmp_path / 'new')
    assert not (tmp_path / 'new').exists()
    assert 'no labels in' in fails(*start, tmp_path / 'no_labels', '--out', run_copy, '--overwrite')
    assert (run_copy / 'epoch_2.pth').is_file() and not list(tmp_path.glob('copy.earlier-*'))


def test_a_run_that_could_not_begin_leaves_all_as_it_was(toy, run_copy, fails, tmp_path,
                                                         monkeypatch) -> None:
    def start(out: Path, *_: object) -> None:
        (out / 'date' / 'vis_data').mkdir(parents=True)
        raise InputError('the real reason')

    monkeypatch.setattr(pretrain, 'start', start)
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'disk')
    assert 'the real reason' in fails('pretrain', *toy.options, '--out', tmp_path / 'link')
    assert (tmp_path / 'link').is_symlink() and not list((tmp_path / 'disk').iterdir())

    assert 'the real reason' in fails('pretrain', *toy.options, '--out', run_copy, '--overwrite')
    assert (run_copy / 'epoch_2.pth').is_file() and not list(tmp_path.glob('copy.earlier-*'))


def test_the_folder_one_is_in_is_no_place_for_a_run(toy, run_copy, fails, monkeypatch) -> None:
    (run_copy / 'below').mkdir()
    monkeypatch.chdir(run_copy / 'below')
    for out in ('.', '..'):
        assert 'is the folder you are in, or one above it' in fails(
            'pretrain', *toy.options, '--out', out, '--overwrite')
    started = []
    monkeypatch.setattr(pretrain, 'start', lambda *args, **_: started.append(args[0]))
    main(['pretrain', '--resume', '--out', '..', '--epochs', '3'])
    assert started == [run_copy]


def test_a_place_that_cannot_be_written(toy, fails, tmp_path) -> None:
    (tmp_path / 'file').touch()
    line = fails('pretrain', *toy.options, '--out', tmp_path / 'file' / 'x')
    assert line == f'error: cannot write {tmp_path / "file" / "x"}: Not a directory'


def test_resuming_needs_the_gpus_of_before(run_copy, fails, monkeypatch) -> None:
    """Nothing is changed before all is checked."""
    saved = dict(epoch=EPOCHS, run=dict(world_size=6, batch_size=2))
    monkeypatch.setattr('conmim_mm.apis.pretraining.resumed_run.read_meta', lambda _: saved)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 5)
    before = (run_copy / 'config.py').read_text()
    line = fails('pretrain', '--resume', '--out', run_copy, '--epochs', '3')
    assert 'saved with 6 processes, but there are 5 GPUs here: go on with --resume --gpus 4' in line
    assert '--gpus 6, but there are 5' in fails(
        'pretrain', '--resume', '--out', run_copy, '--epochs', '3', '--gpus', '6')
    assert (run_copy / 'config.py').read_text() == before


def test_a_config_that_cannot_be_replaced_stays(run_copy, fails, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('conmim_mm.utils.files.os.fsync', full)
    before = (run_copy / 'config.py').read_text()
    line = fails('pretrain', '--resume', '--out', run_copy, '--epochs', '3')
    assert line == f'error: cannot write {run_copy / "config.py"}: No space left on device'
    assert (run_copy / 'config.py').read_text() == before


@pytest.mark.parametrize('option, words', [
    ('train_dataloader=3', 'AttributeError: '), ('model=abc', 'TypeError: '),
    ('default_hooks=3', 'AttributeError: ')])
def test_an_option_that_takes_the_place_of_settings(toy, fails, tmp_path, option, words) -> None:
    base = ['pretrain', '--data', toy.photos, '--arch', 'tiny', '--out', tmp_path / 'new']
    line = fails(*base, '--cfg-options', option)
    assert 'conmim pretrain cannot work with this --cfg-options (' in line and words in line
    assert line.endswith('start a config of another shape with tools/train.py')
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('lacking', [
    'default_hooks', 'optim_wrapper.optimizer.lr', 'log_processor', 'model.backbone.img_size',
    'train_cfg'])
def test_a_config_of_another_shape(toy, fails, tmp_path, lacking) -> None:
    cfg = read_config(str(recipe_file('tiny', 'paper')))  # counts iterations
    *above, name = lacking.split('.')
    part = cfg
    for key in above:
        part = part[key]
    part.pop(name)
    cfg.dump(tmp_path / 'own.py')
    line = fails('pretrain', '--data', toy.photos, '--config', tmp_path / 'own.py', '--epochs', '2',
                 '--img-size', '64', '--out', tmp_path / 'new')
    assert 'cannot work with this --config (' in line and name in line
    assert not (tmp_path / 'new').exists()


def test_a_defect_of_a_recipe_keeps_its_traceback(toy, tmp_path, monkeypatch) -> None:
    def defect(*_: object) -> None:
        raise AttributeError('ours')

    monkeypatch.setattr(pretrain_config, 'set_workers', defect)
    with pytest.raises(AttributeError, match='ours'):
        main(['pretrain', '--data', str(toy.photos), '--arch', 'tiny', '--out',
              str(tmp_path / 'new')])


# --- going on with other settings, other images, and somebody else's run ---

def not_started(monkeypatch) -> list:
    started = []
    monkeypatch.setattr(pretrain, 'run_training', lambda cfg, **_: started.append(cfg))
    return started


@pytest.mark.parametrize(('options', 'words', 'setting', 'value'), [
    (['--lr', '1e-5'], 'with --lr left out, not 1e-05: .*--allow-mismatch',
     'optim_wrapper.optimizer.lr', 1e-5),
    (['--batch-size', '2'], 'with --batch-size 4, not 2: .*--allow-mismatch',
     'train_dataloader.batch_size', 2),
    (['--amp'], 'with --amp left out', 'optim_wrapper.type', 'mmpretrain.ConMIMAmpOptimWrapper'),
    (['--cfg-options', 'model.head.loss.temperature=0.2'],
     'another one: model.head.loss.temperature: 0.1 in the checkpoint, 0.2 here',
     'model.head.loss.temperature', 0.2)])
def test_other_settings_are_refused_or_used(run_copy, fails, monkeypatch, options, words, setting,
                                            value) -> None:
    started = not_started(monkeypatch)
    resume = ['pretrain', '--resume', '--out', str(run_copy), '--epochs', '3', *options]
    before = (run_copy / 'config.py').read_text()
    assert re.search(words, fails(*resume))
    assert (run_copy / 'config.py').read_text() == before and not started
    main([*resume, '--allow-mismatch'])
    cfg, = started
    for part in (cfg, read_config(str(run_copy / 'config.py'))):
        for key in setting.split('.'):
            part = part[key]
        assert part == value
    assert cfg.default_hooks.start_checks.mismatch == 'allow'


def test_workers_and_intervals_may_change(run_copy, monkeypatch, capsys) -> None:
    started = not_started(monkeypatch)
    main(['pretrain', '--resume', '--out', str(run_copy), '--epochs', '3', '--cfg-options',
          'train_dataloader.num_workers=1', 'default_hooks.checkpoint.interval=5'])
    assert started[0].train_dataloader.num_workers == 1
    assert 'train_dataloader.num_workers: 0 in the checkpoint, 1 here' in capsys.readouterr().out


def test_images_that_were_moved(toy, run_copy, fails, monkeypatch, tmp_path) -> None:
    started = not_started(monkeypatch)
    shutil.copytree(toy.photos, tmp_path / 'moved' / 'deep')
    shutil.copytree(toy.photos, tmp_path / 'others')
    (tmp_path / 'others' / 'sub' / '0.png').rename(tmp_path / 'others' / 'sub' / 'x.png')
    resume = ['pretrain', '--resume', '--out', str(run_copy), '--epochs', '3']
    assert "check sum of the images' names: " in fails(*resume, '--data', tmp_path / 'others')
    main([*resume, '--data', str(tmp_path / 'moved')])
    assert started[0].train_dataloader.dataset.data_root == str(tmp_path / 'moved')
    shutil.rmtree(tmp_path / 'moved')
    line = fails('pretrain', '--resume', '--out', run_copy)
    assert f'the images are no longer in {tmp_path / "moved"}: give --data' in line


@pytest.mark.parametrize('name', ['a\nopen("executed", "w")', 'a {{ fileDirname }}', 'run (1)'])
def test_any_name_of_a_folder(toy, monkeypatch, tmp_path, capsys, name) -> None:
    monkeypatch.chdir(tmp_path)
    started = not_started(monkeypatch)
    data = shutil.copytree(toy.photos, tmp_path / name.replace('/', '') / 'photos')
    main(['pretrain', '--data', str(data), *toy.options[2:], '--out', str(tmp_path / 'new')])
    assert started[0].train_dataloader.dataset.data_root == str(data)
    again = Config.fromfile(tmp_path / 'new' / 'config.py')
    assert again.train_dataloader.dataset.data_root == str(data)
    assert not list(tmp_path.rglob('executed'))


@pytest.mark.parametrize('content', [
    'open("executed", "w")', '_base_ = "other.py"',
    'started_with = dict()\ncustom_imports = dict(imports=["evil"])', 'started_with = 3',
    'started_with = dict()\ntrain_cfg = 3', 'started_with = dict(lr=[])\nmodel = []'])
@pytest.mark.parametrize('options', [[], ['--resume'], ['--overwrite', '--lr', 'x']])
def test_nothing_of_a_foreign_run_is_executed(toy, run_copy, fails, monkeypatch, content,
                                              options) -> None:
    monkeypatch.chdir(run_copy)
    monkeypatch.syspath_prepend(run_copy)
    for name in ('evil', 'other'):
        (run_copy / f'{name}.py').write_text('open("executed", "w")')
    (run_copy / 'config.py').write_text(content)
    words = ['--resume', '--out', run_copy] if '--resume' in options else [
        *toy.options, '--out', run_copy, *options]
    fails('pretrain', *words)
    assert not (run_copy / 'executed').exists()
