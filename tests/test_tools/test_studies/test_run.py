"""Studies: what they compare is the same backbone, and their arithmetic is right."""

import json
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import one_run
import pytest
import torch
from mmpretrain.models import MAEViT
from mmpretrain.registry import MODELS, TRANSFORMS
from peers import RandomProjectionTokenizer, as_conmim_vit
from study_report import as_markdown, curve, runs_of_budget, summarise

from conmim_mm.apis import dense_knn, dense_linear
from conmim_mm.formats.backbone import build_backbone
from conmim_mm.utils.run_config import read_config

from ...conftest import ROOT, load_tool
from ...labelled import write_labelled_images, write_labelled_maps
from ...ranks import ScriptPopen
from ...toy import ARCH, backbone_cfg, build_model, tokens_and_pixels_cfg, visible_cfg

STUDIES = ROOT / 'tools/studies'


@pytest.mark.parametrize('settings', [
    dict(type='MAEViT', arch=ARCH, img_size=32, patch_size=8),
    dict(type='MoCoV3ViT', arch=ARCH, img_size=32, patch_size=8, out_type='raw'),
    backbone_cfg(), backbone_cfg(use_shared_rel_pos_bias=False, use_sincos_pos_emb=True,
                                 use_mask_token=False, layer_scale_init_value=0.)])
def test_a_peers_backbone_is_judged_as_it_is(settings: dict) -> None:
    torch.manual_seed(0)
    backbone = MODELS.build(settings)
    backbone.init_weights()
    with torch.no_grad():
        for param in backbone.parameters():
            param.add_(0.1 * torch.randn_like(param))  # biases of keys, norms and scales, too
    backbone.eval()
    ours = build_backbone(*as_conmim_vit(backbone))
    images = torch.randn(2, 3, 32, 32)
    mask = (None, ) if isinstance(backbone, MAEViT) else ()
    torch.testing.assert_close(ours(images)[0], backbone(images, *mask)[0],
                               rtol=1e-4, atol=1e-5)


def test_a_random_code_is_of_the_patch_and_not_of_its_brightness_or_place() -> None:
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[..., 8:, 8:] = 3 * images[..., :8, :8] + 1
    codes = RandomProjectionTokenizer(patch_size=8, num_codes=64)(images).argmax(dim=1)[0]
    assert codes[0, 0] == codes[1, 1] and len(codes.unique()) == 3


def test_the_peer_without_tokens_has_the_same_pixels() -> None:
    images = torch.rand(2, 3, 32, 32)
    cfg = visible_cfg() | dict(teacher=dict(type='PixelsTeacher'))
    cfg['neck']['out_channels'] = 3 * 8 * 8
    assert torch.equal(build_model(cfg).teacher(images),
                       build_model(tokens_and_pixels_cfg()).teacher(images)[..., 24:])


@pytest.mark.parametrize('study', sorted(STUDIES.glob('*/*_study.py')),
                         ids=lambda path: f'{path.parent.name}-{path.stem}')
def test_every_arm_of_a_study_can_be_built(study: Path, tmp_path: Path) -> None:
    for arm in read_config(str(study)).arms.values():
        cfg = one_run.training_config(arm, str(tmp_path), tmp_path, seed=0, steps=1)
        MODELS.build(cfg.model)
        for transform in cfg.train_dataloader.dataset.pipeline:
            TRANSFORMS.build(transform)


def test_differences_are_paired_by_seed() -> None:
    judge = 'student/knn'
    table = summarise({
        arm: {seed: {judge: score} for seed, score in enumerate(scores)} for arm, scores in
        dict(ours=(50., 54., 58.), peer=(47., 52., 54.), alone=(40., )).items()})
    assert table['ours'][judge] == (3, 54, 4, None, None)
    # differences of -3, -2 and -4
    assert table['peer'][judge][3:] == (-3, pytest.approx(1 / 3**0.5))
    assert table['alone'][judge] == (1, 40, 0, None, None)


def test_the_table_is_of_the_runs_that_had_the_budget() -> None:
    lines = [dict(arm=arm, seed=seed, steps=steps, core_seconds=seconds)
             for arm, seed, steps, seconds in (
                 ('ours', 0, 100, 480), ('ours', 1, 98, 471), ('ours', 0, 900, 3600),
                 ('peer', 0, 50, 487), ('late', 0, 90, 900), ('none', 0, 0, 0))]
    lines.append(dict(arm='peer', seed=1, steps=48))  # whose seconds are not known
    sizes = dict(ours=4, peer=8, late=8, none=4, absent=4)
    assert runs_of_budget(lines, list(sizes), dict(seconds=480), sizes) == dict(
        ours={0: lines[0], 1: lines[1]}, peer={0: lines[3]}, none={0: lines[5]})
    assert runs_of_budget(lines, list(sizes), dict(images=400), sizes) == dict(
        ours={0: lines[0], 1: lines[1]}, peer={0: lines[3], 1: lines[6]}, none={0: lines[5]})


@pytest.mark.parametrize('lines', sorted(STUDIES.glob('*/results/*.jsonl')),
                         ids=lambda path: f'{path.parent.parent.name}-{path.stem}')
def test_what_was_measured_can_be_drawn_again(tmp_path: Path, run_script, lines: Path) -> None:
    kept = list(map(json.loads, lines.read_text().splitlines()))
    for seconds in {line.get('core_seconds') for line in kept if line['steps']}:
        run_script(load_tool('studies/run.py'), lines.parent.with_name(f'{lines.stem}.py'),
                   '--report', lines, '--out', tmp_path,
                   *(['--budget', seconds] if seconds else []))
        table = (tmp_path / 'table.md').read_text()
        assert all(f'| {line["arm"]} |' in table for line in kept
                   if not line['steps'] or line.get('core_seconds') == seconds)
    assert (tmp_path / 'figure.png').stat().st_size > 5000


def test_the_order_of_the_arms_says_what_is_compared_with_what(
        tmp_path: Path, run_script, capsys) -> None:
    run_script(load_tool('studies/run.py'), PEERS, '--report',
               PEERS.parent / 'results/peers_study.jsonl', '--out', tmp_path,
               '--arms', 'ConMIM, visible patches', 'MAE')
    rows = [row.split(' | ') for row in capsys.readouterr().out.strip().splitlines()]
    assert [row[0] for row in rows if '---' not in row[0]] == [
        '| arm (difference to ConMIM, visible patches)', '| ConMIM, visible patches', '| MAE']
    assert rows[-1][3] == '43.5 ± 0.3 (-3.7 ± 0.2)'


def test_a_curve_has_a_point_for_each_length() -> None:
    judge = 'student/linear'
    lines = [{'arm': arm, 'core_seconds': seconds, judge: score} for arm, seconds, score in (
        ('MAE', 240, 50.), ('MAE', 60, 40.), ('MAE', 60, 44.), ('other', 60, 1.))]
    lines.append({'arm': 'MAE', judge: 1.})  # of no known time
    assert curve(lines, 'MAE', judge) == [(1., 42., pytest.approx(2.)), (4., 50., 0.)]


PEERS = STUDIES / 'cifar10/peers_study.py'
STUDY = '''
_here = 'tools/studies/cifar10'
budget = dict(images=12)
judges = '{judges}'
finetunes = [dict(labels=4, steps=2)]
small = {{
    'train_dataloader.batch_size': 4, 'model.backbone.arch.num_layers': 1,
}}
narrow = small | {{
    'model.backbone.arch.embed_dims': 64, 'model.decoder.embed_dims': 64,
    'model.neck.in_channels': 64, 'model.neck.out_channels': 64,
}}
arms = {{
    'random': dict(config=f'{{_here}}/visible.py', options=narrow, untrained=True),
    'visible': dict(config=f'{{_here}}/visible.py', options=small),
    'MAE': dict(config=f'{{_here}}/mae.py', options=small),
}}
'''
JUDGES = '''
_base_ = '{root}/tools/studies/cifar10/finetune.py'
reference_per_class = 4
model = dict(head=dict(num_classes=3), data_preprocessor=dict(num_classes=3))
train_dataloader = dict(batch_size=4, dataset=dict(images_per_class=4))
val_dataloader = dict(dataset=dict(images_per_class=2))
test_dataloader = val_dataloader
'''


@pytest.mark.parametrize('words, error', [
    (('nothing.py', '--data', '.'), 'no such config: nothing.py'),
    ((PEERS, '--data', 'nowhere'), 'no such folder: nowhere'),
    ((PEERS, ), '--data is missing'),
    ((PEERS, '--data', '.', '--jobs', 0), '--jobs must be at least 1'),
    ((PEERS, '--data', '.', '--budget', 0), '--budget must be above 0'),
    ((PEERS, '--report', 'nowhere.jsonl'), 'nowhere.jsonl cannot be read as JSON lines'),
    ((PEERS, '--report', PEERS), 'peers_study.py cannot be read as JSON lines'),
    ((PEERS, '--report', PEERS.parent / 'results/peers_study.jsonl', '--arms', 'MAE',
      '--budget', 7),
     "no results of these arms with a budget of {'seconds': 7"),
    ((PEERS, '--data', '.', '--arms', 'DINO'), 'has no arm DINO; it has MAE')])
def test_bad_arguments_get_one_line(refused, words: tuple, error: str) -> None:
    assert error in refused('studies/run.py', *words)


def test_lines_of_something_else_are_refused(tmp_path: Path, refused) -> None:
    (tmp_path / 'log.jsonl').write_text('{"loss": 4.1, "step": 20}\n')
    assert 'log.jsonl has lines that are no results of a study' in refused(
        'studies/run.py', PEERS, '--report', tmp_path / 'log.jsonl')


@pytest.mark.parametrize('peer', ['simmim', 'mocov3', 'beit'])
def test_peers_learn(tmp_path: Path, peer: str) -> None:
    write_labelled_images(tmp_path / 'train', count=6, side=32)
    arm = dict(config=str(PEERS.with_name(f'{peer}.py')), options={
        'train_dataloader.batch_size': 4, 'model.backbone.arch.num_layers': 1})
    before, after = (
        as_conmim_vit(one_run.trained_model(arm, str(tmp_path), tmp_path / str(steps), 0, steps)
                      .backbone)[0] for steps in (0, 2))
    assert any(not before[key].equal(value) for key, value in after.items() if 'mlp' in key)


@pytest.mark.slow
def test_a_study_goes_on_and_reports(
        tmp_path: Path, run_script, refused, monkeypatch, capsys) -> None:
    data = tmp_path / 'data'
    for part in ('train', 'test'):
        write_labelled_images(data / part, count=6, side=32)
    (tmp_path / 'judges.py').write_text(JUDGES.format(root=ROOT))
    (tmp_path / 'study.py').write_text(STUDY.format(judges=tmp_path / 'judges.py'))
    monkeypatch.chdir(ROOT)
    tool = load_tool('studies/run.py')
    tool.subprocess = SimpleNamespace(
        Popen=ScriptPopen, TimeoutExpired=subprocess.TimeoutExpired)

    words = (tmp_path / 'study.py', '--data', data, '--out', tmp_path / 'out')

    def run(*options: str) -> str:
        run_script(tool, *words, *options)
        return capsys.readouterr().out

    first = run('--arms', 'random', 'visible')
    assert 'visible, seed 0: 3 steps' in first
    done = tmp_path / 'out/runs/visible-3/seed0/result.json'
    before = done.stat().st_mtime
    second = run()
    assert 'MAE, seed 0: 3 steps' in second and 'visible, seed 0: 3 steps' not in second
    assert done.stat().st_mtime == before
    lines = [json.loads(line) for line in (tmp_path / 'out/results.jsonl').read_text().splitlines()]
    assert {line['arm'] for line in lines} == {'random', 'visible', 'MAE'}
    assert all({'student/knn', 'student/linear', 'student/finetune 4'} <= line.keys()
               for line in lines)
    assert [line['arm'] for line in lines if 'teacher/knn' in line] == ['visible']
    study = tmp_path / 'study.py'
    study.write_text(study.read_text().replace('steps=2', 'steps=3'))
    assert 'has runs of random with other settings' in refused(tool, *words)
    table = run('--report')
    assert '| student/linear | student/knn | student/finetune 4 | teacher/linear |' in table
    assert '| visible | 12 |' in table and (tmp_path / 'out/figure.png').stat().st_size > 5000


def test_maps_judge_the_backbone_that_is_left(tmp_path: Path) -> None:
    for part in ('train', 'val'):
        write_labelled_maps(tmp_path / 'maps', part, count=6)
    arm = dict(config=str(PEERS.with_name('visible.py')), untrained=True)
    judge = partial(one_run.judge_maps, maps=tmp_path / 'maps', img_size=32)
    found = one_run.run(arm, judge, str(tmp_path), tmp_path / 'run', seed=0, steps=0)
    backbone = tmp_path / 'run' / one_run.BACKBONE
    for name, miou in (('knn', dense_knn), ('linear', dense_linear)):
        assert found[f'student/dense {name}'] == 100 * miou(
            backbone, tmp_path / 'maps', workers=0).miou
    text = as_markdown(summarise(dict(it={0: found})), dict(it=0))
    assert 'student/dense linear | student/dense knn |' in text
