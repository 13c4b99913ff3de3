import json

import pytest
from learning_curve import draw_learning_curve, read_scalars
from PIL import Image


def write_log(work_dir, name: str, steps: range, loss: float) -> None:
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    lines = [json.dumps(dict(step=step, loss=loss, hit_rate=0.1)) for step in steps]
    (folder / 'scalars.json').write_text('\n'.join([*lines, json.dumps(dict(step=3, knn=0.5))]))


def test_a_resumed_log_replaces_the_steps_it_repeats(tmp_path) -> None:
    write_log(tmp_path, '20260101_000000', range(0, 50, 10), loss=4.)
    write_log(tmp_path, '20260102_000000', range(30, 80, 10), loss=3.)
    scalars = read_scalars(tmp_path)
    assert [entry['step'] for entry in scalars] == list(range(0, 80, 10))
    assert [entry['loss'] for entry in scalars] == [4.] * 3 + [3.] * 5


def test_nothing_logged(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match='no log'):
        read_scalars(tmp_path)


def test_draws_a_picture(tmp_path) -> None:
    scalars = [dict(step=step, loss=4. - step / 10, hit_rate=step / 20) for step in range(10)]
    draw_learning_curve(scalars, 64, tmp_path / 'curve.png', 'title')
    colours = Image.open(tmp_path / 'curve.png').convert('RGB').getcolors(2**20)
    assert {(0x1f, 0x5f, 0xa8), (0xb0, 0x4a, 0x2f)} <= {colour for _, colour in colours}
