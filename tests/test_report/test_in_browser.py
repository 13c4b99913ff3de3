"""The page in a real browser, at the width of a desk and of a phone."""

import re
from pathlib import Path

import pytest

from conmim_mm.report import build_report

from ..browser import measure_page
from .runs import HOSTILE, training_entry, write_run

WIDTHS = [1280, 390, 320]
MEASURE = '''(document, window) => {
  document.querySelectorAll('details').forEach((part) => { part.open = true; });
  const box = (element) => element.getBoundingClientRect();
  const root = document.documentElement;
  const loss = document.querySelector('svg.chart');
  const area = box(loss);
  loss.dispatchEvent(new window.PointerEvent(
    'pointermove', {clientX: area.left + area.width / 2, clientY: area.top + 20}));
  return {
    title: document.title,
    overflow: root.scrollWidth - root.clientWidth,
    headings: [...document.querySelectorAll('h1, h2')].map((one) => one.textContent),
    images: [...document.images].map((image) => image.complete && image.naturalWidth),
    charts: [...document.querySelectorAll('svg.chart')].map(
      (chart) => [box(chart).width, box(chart).height, box(chart.querySelector('.line')).width]),
    letters: Math.min(...[...document.querySelectorAll('svg.chart text')].map(
      (text) => box(text).height)),
    scripts: document.scripts.length,
    cursors: document.querySelectorAll('svg.chart .cursor').length,
    requests: window.performance.getEntriesByType('resource').map((entry) => entry.name)
      .filter((name) => !name.startsWith('data:')),
    views: [...document.querySelectorAll('.views')].map((row) => new Set(
      [...row.children].map((image) => box(image).top)).size),
    readout: loss.closest('figure').querySelector('.legend').innerText,
  };
}'''


@pytest.fixture(scope='module')
def page(tmp_path_factory) -> Path:
    return build_report(write_run(tmp_path_factory.mktemp('run_of_a_long_name_' + 'x' * 60)))


@pytest.fixture(scope='module')
def measured(page) -> tuple[list[dict], list[str]]:
    return measure_page(page, WIDTHS, MEASURE)


def test_nothing_fails_and_nothing_is_fetched(measured) -> None:
    found, console = measured
    assert console == []
    assert [one['requests'] for one in found] == [[]] * 3


def test_is_readable_at_every_width(measured) -> None:
    for width, one in zip(WIDTHS, measured[0], strict=True):
        assert one['overflow'] <= 0, width
        assert one['headings'][1:] == [
            'Is it learning?', 'Curves', 'What the model sees', 'Data', 'Config',
            'How to make it again']
        assert len(one['images']) == 3 * 3 + 2 and all(one['images'])
        # loss, hit rate, evaluation, similarities, rate, momentum, throughput, waiting, rank,
        # gradient norm, memory
        assert len(one['charts']) == 11
        for chart_width, height, line_width in one['charts']:
            assert 240 < chart_width <= width and height > 140
            assert line_width > 0.7 * chart_width
        assert one['letters'] >= 9
        assert one['views'] == [1] * 3  # side by side


def test_scripts_of_others_do_not_run(measured, page) -> None:
    for one in measured[0]:
        assert one['title'].startswith('run_of_a_long_name')
        assert (one['scripts'], one['cursors']) == (1, 11)  # the page's own, which has run
    assert HOSTILE not in page.read_text()


def test_the_pointer_reads_a_curve(measured) -> None:
    # the middle of the drawing is step 1585; of 900 values two are put together, up to 1588 here
    value = sum(training_entry(step)['loss'] for step in (1584, 1588)) / 2
    for one in measured[0]:
        assert ' '.join(one['readout'].split()) == f'loss {value:.3f} at step 1588'


def test_refers_to_nothing_outside(page) -> None:
    text = page.read_text()
    assert not re.search(r'(?:src|href|action|data)\s*=\s*"(?!data:)', text)
    assert not re.search(r'url\(|@import|<link(?! rel="icon" href="data:,")', text)
    assert page.stat().st_size < 1_000_000
