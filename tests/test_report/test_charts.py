import json
import math

import pytest

from conmim_mm.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MAX_POINTS,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Level,
    Line,
)


def points(path: str) -> list[list[tuple[float, float]]]:
    return [[tuple(map(float, pair.split())) for pair in piece.strip().split('L')]
            for piece in path.split('M')[1:]]


def test_places_of_values() -> None:
    chart = Chart([Line('a', [0, 50, 100], [0., 5., 10.])], from_zero=True)
    (first, middle, last), = points(chart.strokes[0].path)
    assert first == (LEFT, HEIGHT - BOTTOM)
    assert last[0] == WIDTH - RIGHT
    # 6 percent of the range are left free above
    height = HEIGHT - TOP - BOTTOM
    assert last[1] == pytest.approx(TOP + height * 0.6 / 10.6, abs=0.06)
    assert middle == pytest.approx(((LEFT + WIDTH - RIGHT) / 2, (first[1] + last[1]) / 2), abs=0.1)
    assert [label for _, label in chart.x_ticks] == ['0', '25', '50', '75', '100']
    assert chart.strokes[0].marks == [first, middle, last]


def test_a_level_is_in_the_picture() -> None:
    chart = Chart([Line('a', [0, 1], [1., 2.])], [Level('chance', 4.)])
    level, = chart.marks
    assert TOP < level['y'] < level['label_y'] + 14 < HEIGHT
    assert level['label_y'] > TOP - 2  # its label too
    assert level['y'] < min(y for _, y in points(chart.strokes[0].path)[0])


def test_what_is_not_finite_makes_a_gap() -> None:
    chart = Chart([Line('a', range(5), [1., 2., math.nan, 3., 2.])])
    assert [len(piece) for piece in points(chart.strokes[0].path)] == [2, 2]
    assert chart.strokes[0].last == '2'


def test_many_values_are_put_together() -> None:
    values = [float(step % 2) for step in range(2 * MAX_POINTS)]
    chart = Chart([Line('a', range(len(values)), values)])
    assert chart.thinned == 2
    line, = points(chart.strokes[0].path)
    assert len(line) == MAX_POINTS and len({y for _, y in line}) == 1  # all means are a half
    assert chart.strokes[0].last == '1'  # what was logged last, not a mean
    band, = points(chart.strokes[0].band.rstrip('Z'))
    assert len(band) == 2 * MAX_POINTS and len({y for _, y in band}) == 2
    readout, = json.loads(chart.readout)
    assert readout['points'][0][0] == 1 and readout['points'][0][2] == '0.5'


@pytest.mark.parametrize('value', [0., 3., -2., 1e-12])
def test_one_value_and_a_flat_line(value) -> None:
    for steps in ([0], [7], [1, 2, 3]):
        chart = Chart([Line('a', steps, [value] * len(steps))])
        line, = points(chart.strokes[0].path)
        assert all(LEFT <= x <= WIDTH and TOP <= y <= HEIGHT - BOTTOM for x, y in line)
