import math

import pytest

from conmim_mm.evaluation.learning_signs import CHANCE, COLLAPSE, SHORTCUT
from conmim_mm.report.run_log import RunLog
from conmim_mm.report.verdict import judge_learning


def log_of(loss: float, hit_rate: float, knn: tuple = (), warnings: tuple = ()) -> RunLog:
    return RunLog(
        [dict(step=10, loss=5., hit_rate=0.), dict(step=100, loss=loss, hit_rate=hit_rate)],
        [{'step': 10 * number, 'val/knn_top1': value} for number, value in enumerate(knn)],
        list(warnings))


@pytest.mark.parametrize('log, level, words', [
    (RunLog([], [], []), 'none', 'Too early'),
    (log_of(4.2, 0.016), 'unsure', 'still guesses'),
    (log_of(4.2, 0.5), 'unsure', 'still guesses'),  # a loss above chance
    (log_of(4.0, 0.03), 'good', 'begins'),
    (log_of(2.0, 0.5), 'good', 'Yes: it finds hidden patches more often'),
    (log_of(2.0, 0.5, (20., 30.)), 'good', 'features get better'),
    (log_of(2.0, 0.5, (20., 20.5)), 'good', 'more often than by guessing'),
    (log_of(2.0, 0.5, (30., 40., 25.)), 'unsure', 'get worse'),
    (log_of(math.nan, 0.5), 'bad', 'not finite'),
    (log_of(2.0, 0.5, warnings=(COLLAPSE.format(similarity=0.999),)), 'bad', 'warns'),
    # a warning of earlier, which the numbers have left behind since
    (log_of(2.0, 0.5, warnings=(CHANCE.format(hit_rate=0.01, chance=1 / 64),)), 'good', 'Yes'),
    (log_of(4.2, 0.02, warnings=(CHANCE.format(hit_rate=0.01, chance=1 / 64),)), 'bad', 'warns'),
    (log_of(2.0, 0.5, warnings=(SHORTCUT.format(hit_rate=0.95),)), 'good', 'Yes'),
    (log_of(0.1, 0.95, warnings=(SHORTCUT.format(hit_rate=0.95),)), 'bad', 'warns'),
    (log_of(2.0, 0.5, warnings=('another warning',)), 'good', 'Yes'),
])
def test_answers(log, level, words) -> None:
    verdict = judge_learning(log, 64)
    assert verdict.level == level and words in verdict.headline


def test_reasons_have_numbers() -> None:
    assert judge_learning(log_of(2.0, 0.5, (20., 31., 30.)), 64).reasons == [
        'The loss is 2 at step 100; guessing among 64 patches gives ln 64 = 4.16.',
        'It finds 50% of the hidden patches; guessing finds 1.6%.',
        'k-NN on frozen features is right in 30.0% (step 20); first 20.0% (step 0), best 31.0% '
        '(step 10).']


@pytest.mark.parametrize('knn, linear, words', [
    # of 100 images: two standard errors of the difference are 7 points of k-NN, 12 of the other
    (10., 20., 'more often than by guessing'), (9., 33., 'features get better'),
    (4., 20., 'more often than by guessing'), (2., 20., 'features get worse'),
    (2., 33., 'features get better')])
def test_noise_is_no_trend(knn: float, linear: float, words: str) -> None:
    log = log_of(2.0, 0.5)
    log.evaluations[:] = [
        {'step': step, 'val/knn_top1': one, 'val/linear_top1': other, 'val/held_out': 100}
        for step, one, other in ((0, 10., 20.), (9, knn, linear))]
    assert words in judge_learning(log, 64).headline


@pytest.mark.parametrize('error, words', [
    (1., 'features get better'), (2., 'more often than by guessing')])
def test_mean_iou_comes_with_its_error(error: float, words: str) -> None:
    log = log_of(2.0, 0.5)
    log.evaluations[:] = [
        {'step': step, 'val/dense_knn_miou': value, 'val/dense_knn_miou_error': error,
         'val/held_out': 9} for step, value in ((0, 20.), (9, 24.))]
    verdict = judge_learning(log, 64)
    assert words in verdict.headline
    assert verdict.reasons[-1] == ('k-NN on frozen patch tokens has a mean IoU of 24.0% (step 9); '
                                   'first 20.0% (step 0), best 24.0% (step 9).')


def test_other_tasks_are_not_judged() -> None:
    verdict = judge_learning(RunLog([dict(step=1, loss=3.), dict(step=9, loss=1.5)], [], []), None)
    assert verdict.level == 'none'
    assert verdict.reasons == ['The loss is 1.5 at step 9; it was 3 at step 1.']
