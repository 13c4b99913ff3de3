import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from conmim_mm.errors import InputError
from conmim_mm.report import build_report
from conmim_mm.report.page import MAX_SIDE, _num_patches, embed_picture, newest_config
from conmim_mm.report.progress import note_start, write_json

from .runs import training_entry, write_log

SETTINGS = dict(model=dict(type='ConMIM', backbone=dict(img_size=(64, 32), patch_size=8)))


def text_of(work_dir: Path) -> str:
    return build_report(work_dir).read_text()


def test_no_run(tmp_path) -> None:
    with pytest.raises(InputError, match='no such folder'):
        build_report(tmp_path / 'missing')
    with pytest.raises(InputError, match='no work dir of a run'):
        build_report(tmp_path)


def test_a_run_that_has_only_its_log(tmp_path) -> None:
    write_log(tmp_path, [training_entry(400)])
    page = text_of(tmp_path)
    for said in ('401' not in page, 'Versions, code and machine are not known' in page,
                 'has saved no config' in page, 'Nothing has been evaluated' in page,
                 'There are no sample views' in page, '400 steps logged' in page):
        assert said
    assert 'guessing' not in page  # among how many is not known


def test_guessing_by_the_settings(tmp_path) -> None:
    write_log(tmp_path, [training_entry(400)])
    note_start(tmp_path, dict(settings=SETTINGS), iteration=0)
    assert 'guessing: ln 32 = 3.47' in text_of(tmp_path)


def square(**backbone: object) -> dict:
    return dict(model=dict(type='ConMIM', backbone=dict(patch_size=8) | backbone))


@pytest.mark.parametrize(('settings', 'num_patches'), [
    (square(img_size=32), 16), (square(img_size=[32]), 16),
    (dict(model=dict(type='mmpretrain.ConMIM', backbone=dict(img_size=32, patch_size=4))), 64),
    (square(img_size=8), None), (square(img_size=[]), None), (square(img_size=None), None),
    (square(img_size='32'), None), (square(img_size=32, patch_size=0), None), (square(), None),
    (square(img_size=[32, {}]), None), (dict(model=[]), None), ({}, None),
    (dict(model=dict(type='ImageClassifier', backbone=dict(img_size=32, patch_size=4))), None)])
def test_patches_by_the_settings(settings, num_patches) -> None:
    assert _num_patches([], settings) == num_patches


def test_a_run_of_another_task(tmp_path) -> None:
    write_log(tmp_path, [dict(step=step, loss=1., decode_loss=0.5) for step in (1, 2)]
              + [{'step': 1, 'accuracy/top1': 50.}])
    (tmp_path / 'run.py').write_text("model = dict(type='ImageClassifier')")
    page = text_of(tmp_path)
    for shown in ('accuracy/top1', 'decode_loss', 'Judge by the curves'):
        assert shown in page


@pytest.mark.parametrize('name', ['facts.json', 'samples.json', 'pictures.json'])
@pytest.mark.parametrize('content', [
    '{"versions": 3, "starts": [1, {}], "data": []}', '[{}, 3, {"file": "../run.py"}]',
    '[{"files": {"student": null}}]', '[', '', '{"settings": [1]}', '[' * 100_000])
def test_damaged_files_leave_gaps_only(tmp_path, name, content) -> None:
    write_log(tmp_path, [training_entry(1)])
    (tmp_path / 'report').mkdir()
    (tmp_path / 'report' / name).write_text(content)
    assert 'Is it learning?' in text_of(tmp_path)


ENTRY = '{"step": 1, "loss": 1.0, "lr": %s, "memory": 1, "val/knn_top1": 150}'


@pytest.mark.parametrize('log', [
    b'\xff\xfe\x00', b'{"step": 1, "lo', b'[' * 10**5, b'[1]\n"a"\n3', b'{"step": 1, "loss": "a"}',
    b'{"step": ' + b'9' * 400 + b', "loss": 1}', b'{"step": true, "loss": 1}', b'x' * 2**21,
    *(((ENTRY % value).encode()) for value in (
        '9' * 400, '9' * 5000, '1e308', '-1e999', 'NaN', '[1]', '{}', 'null', '"a"')),
    b'{"step": 1, "val/knn_top1": 150}\n{"step": 2, "val/knn_top1": -1, "val/held_out": "x"}'])
def test_damaged_logs_leave_gaps_only(tmp_path, log: bytes) -> None:
    write_log(tmp_path, [])
    path = next(tmp_path.glob('*/vis_data/scalars.json'))
    path.write_bytes(log + b'\n{"step": 7, "loss": 0.5}\n')
    assert 'step 7' in text_of(tmp_path)


PROGRESS = dict(state='running', iteration=5, max_iters=20, max_epochs=2, error='', time=1.)


@pytest.mark.parametrize('key', PROGRESS)
@pytest.mark.parametrize('value', [[], {}, None, 'x', -1, 10**400, 1e308, '\ud800'])
def test_progress_of_another_kind(tmp_path, key: str, value: object) -> None:
    write_log(tmp_path, [training_entry(1)])
    write_json(tmp_path, 'progress.json', PROGRESS | {key: value})
    assert 'Is it learning?' in text_of(tmp_path)


@pytest.mark.parametrize('replace', [
    lambda path: path.mkdir(), lambda path: path.symlink_to(path.name),
    lambda path: path.symlink_to('nowhere'), os.mkfifo])
@pytest.mark.parametrize('name', ['report/facts.json', 'report/samples.json', 'skipped.txt',
                                  'report/s.png', 'a.py', 'b/vis_data/scalars.json', 'b/b.log'])
def test_what_is_no_file_is_left_out(tmp_path, name: str, replace: Callable) -> None:
    write_log(tmp_path, [training_entry(1)])
    write_json(tmp_path, 'pictures.json', [dict(file='s.png'), dict(file='\ud800\0')])
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).unlink(missing_ok=True)
    replace(tmp_path / name)
    assert 'Is it learning?' in text_of(tmp_path)


def test_no_link_leads_out_of_the_folder(tmp_path) -> None:
    run, secret = tmp_path / 'run', tmp_path / 'secret'
    write_log(run, [training_entry(1)])
    secret.write_text('{"step": 99, "loss": 1}\n2026/01/01 00:00:00 - x - WARNING - password')
    for name in ('a/vis_data/scalars.json', 'a/a.log', 'skipped.txt', 'config.py', 'report.html'):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).symlink_to(secret)
    page = text_of(run)
    assert 'password' not in page and 'step 99' not in page
    assert 'password' in secret.read_text() and not (run / 'report.html').is_symlink()


def test_the_same_folder_gives_the_same_page(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr('conmim_mm.report.page.time.time', lambda: 0.)
    write_log(tmp_path, [training_entry(step) for step in range(0, 40, 4)])
    assert text_of(tmp_path) == text_of(tmp_path)
    assert [path.name for path in tmp_path.glob('*.tmp')] == []


def test_the_config_of_the_last_start(tmp_path) -> None:
    for number, name in enumerate(('run.py', '1/vis_data/config.py', '2/vis_data/config.py')):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (number, number))
    assert newest_config(tmp_path) == tmp_path / '2' / 'vis_data' / 'config.py'


def test_a_config_is_text_and_no_link_is_followed(tmp_path) -> None:
    run, secret = tmp_path / 'run', tmp_path / 'secret' / 'vis_data' / 'config.py'
    write_log(run, [training_entry(1)])
    secret.parent.mkdir(parents=True)
    secret.write_text("password = 'secret'")
    (run / 'linked.py').symlink_to(secret)
    (run / 'folder').symlink_to(secret.parents[1])
    assert newest_config(run) is None and 'password' not in text_of(run)
    (run / 'own.py').write_text(f'open({str(tmp_path / "executed")!r}, "w")')
    (tmp_path / 'link to the run').symlink_to(run)
    for folder in (run, tmp_path / 'link to the run'):
        assert newest_config(folder) == folder / 'own.py'
        assert 'executed' in text_of(folder)
    assert not (tmp_path / 'executed').exists()


def test_pictures_are_kept_small(tmp_path) -> None:
    path = tmp_path / 'a.png'
    Image.effect_noise((3000, 1500), 90).save(path)
    found = embed_picture(path)
    assert (found.width, found.height) == (MAX_SIDE, MAX_SIDE // 2)
    assert found.uri.startswith('data:image/jpeg;base64,')
    Image.new('RGB', (64, 64)).save(path)
    assert embed_picture(path).uri.startswith('data:image/png;base64,')
    path.write_bytes(path.read_bytes()[:-30])
    assert embed_picture(path) is None and embed_picture(tmp_path / 'missing.png') is None
