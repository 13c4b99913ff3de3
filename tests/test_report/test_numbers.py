import pytest

from conmim_mm.report.numbers import format_duration, percent, short, tick_label, ticks


@pytest.mark.parametrize('low, high, count, expected', [
    (0., 10., 4, ['0', '2.5', '5.0', '7.5', '10.0']),
    (0.99, 1., 4, ['0.9900', '0.9925', '0.9950', '0.9975', '1.0000']),
    (0., 7e-4, 4, ['0', '2e-4', '4e-4', '6e-4']),
    (0., 3600., 4, ['0', '1k', '2k', '3k']),
    (0., 500_000., 4, ['0', '200k', '400k']),
    (0., 1_250_000., 4, ['0', '500k', '1.0M']),
    (-0.5, 0.5, 4, ['-0.50', '-0.25', '0', '0.25', '0.50']),
    (3.9, 4.5, 4, ['4.0', '4.2', '4.4']),
])
def test_ticks_are_round_and_short(low, high, count, expected) -> None:
    found = ticks(low, high, count)
    assert [tick_label(value, found[1] - found[0]) for value in found] == expected


@pytest.mark.parametrize('value, text', [
    (0., '0'), (3.94731, '3.947'), (0.0327, '0.0327'), (1e-5, '1e-5'), (0.00123456, '0.001235'),
    (123.456, '123.5'), (99999., '99999'), (1.5e6, '1.5e6'), (-2.5, '-2.5'), (1500., '1500')])
def test_short(value, text) -> None:
    assert short(value) == text


def test_percent() -> None:
    assert [percent(share) for share in (0., 0.0156, 0.0994, 0.0996, 0.64, 1.)] == [
        '0.0%', '1.6%', '9.9%', '10%', '64%', '100%']


@pytest.mark.parametrize('seconds, text', [
    (3, '3 s'), (99, '99 s'), (130, '2 min'), (3600, '1 h 0 min'), (7260, '2 h 1 min'),
    (200_000, '2 days 8 h')])
def test_duration(seconds, text) -> None:
    assert format_duration(seconds) == text
