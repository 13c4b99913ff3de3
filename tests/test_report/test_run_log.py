import pytest

from conmim_mm.evaluation.learning_signs import CHANCE, COLLAPSE, SHORTCUT, sign_of
from conmim_mm.report.run_log import read_run_log

from .runs import write_log


def line(text: str, level: str = 'WARNING') -> str:
    return f'2026/01/01 00:00:00 - mmengine - {level} - {text}\n'


def test_starts_are_merged(tmp_path) -> None:
    write_log(tmp_path, [dict(step=step, loss=4.) for step in (10, 20, 30)]
              + [{'step': 20, 'val/knn_top1': 30.}, {'step': 20, 'val/linear_top1': 40.}])
    write_log(tmp_path, [dict(step=step, loss=3.) for step in (30, 40)], '20260102_000000')
    log = read_run_log(tmp_path)
    assert [(entry['step'], entry['loss']) for entry in log.training] == [
        (10, 4.), (20, 4.), (30, 3.), (40, 3.)]
    assert log.evaluations == [{'step': 20, 'val/knn_top1': 30., 'val/linear_top1': 40.}]


def test_warnings_come_once(tmp_path) -> None:
    text = line('a') + line('told', 'INFO') + 'of no line\n' + line('this will be deprecated')
    write_log(tmp_path, [], text=text + line('b'))
    write_log(tmp_path, [], '20260102_000000', line('b') + line('c', 'ERROR'))
    assert read_run_log(tmp_path).warnings == ['a', 'b', 'c']


@pytest.mark.parametrize('message', [
    SHORTCUT.format(hit_rate=0.95), CHANCE.format(hit_rate=0.016, chance=0.0156),
    COLLAPSE.format(similarity=float('nan'))])
def test_judgements_are_told_apart(tmp_path, message) -> None:
    write_log(tmp_path, [], text=line('another') + line(message))
    assert [text for text in read_run_log(tmp_path).warnings if sign_of(text)] == [message]


def test_nothing_there(tmp_path) -> None:
    assert read_run_log(tmp_path) == ([], [], [])
