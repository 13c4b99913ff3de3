"""Numbers and times as people read them, and the numbers to put on an axis."""

import math

_STEPS = (1, 2, 2.5, 5, 10)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers at equal distances, about so many, within a range.

    Args:
        low: Least value.
        high: Greatest value, above ``low``.
        count: How many distances there may be at most.
    """
    rough = (high - low) / count
    power = 10.**math.floor(math.log10(rough))
    step = next(factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def tick_label(value: float, step: float) -> str:
    """A number of :func:`ticks`, as short as its neighbours at a distance ``step`` allow."""
    if abs(value) < step / 1e6:
        return '0'
    if step < 9e-4:
        return _scientific(value, 3)
    for size, letter in ((1e6, 'M'), (1e3, 'k')):
        if abs(value) >= 10 * size or (abs(value) >= size and step >= size / 10):
            return f'{value / size:.{_decimals(step / size)}f}{letter}'
    return f'{value:.{_decimals(step)}f}'


def _decimals(step: float) -> int:
    """How many a number needs that is a multiple of ``step``."""
    return len(f'{step:.12f}'.rstrip('0').partition('.')[2])


def short(value: float) -> str:
    """A number with about four digits."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.4g}'
    return _scientific(value, 2)


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f'{value:.{digits}e}'.split('e')
    return f'{float(mantissa):g}e{int(exponent)}'


def percent(share: float) -> str:
    """A share of 1 as a percentage: two digits, and not less than one decimal below 10 %."""
    return f'{share:.0%}' if share >= 0.0995 else f'{share:.1%}'


def format_duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f'{round(seconds)} s'
    if minutes < 60:
        return f'{minutes} min'
    hours = round(seconds / 3600)
    if hours < 48:
        return f'{minutes // 60} h {minutes % 60} min'
    return f'{hours // 24} days {hours % 24} h'
