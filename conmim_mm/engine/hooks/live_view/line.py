"""The one line that a live view shows, as wide as the terminal lets it be."""

import math
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.text import Text

MIN_BAR, MAX_BAR = 5, 30  # columns
GAP = 2
RESERVED_COLUMNS = 3  # at the end, for the ^C of a terminal, and as some wrap in the last one
# what goes last when a terminal is narrow comes first; the order on the line is that of _texts
PRIORITY = ('step', 'percent', 'left', 'loss', 'speed', 'wait', 'epoch', 'lr', 'momentum',
            'memory')


@dataclass
class LiveLine:
    """What there is to show; None or NaN for what is not known.

    Attributes:
        done: Steps of the run that are done.
        steps: Steps of the run.
        epoch, epochs: Counted from 1; None for a run by steps.
        epoch_step, epoch_steps: Where the epoch stands.
        seconds_left: Until the run ends.
        loss, lr, momentum: As logged.
        images_per_second: Of all processes together.
        data_wait: Share of the time, 0 to 1.
        memory: Peak, bytes.
    """

    done: int
    steps: int
    epoch: int | None = None
    epochs: int | None = None
    epoch_step: int | None = None
    epoch_steps: int | None = None
    seconds_left: float | None = None
    loss: float | None = None
    lr: float | None = None
    momentum: float | None = None
    images_per_second: float | None = None
    data_wait: float | None = None
    memory: float | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        texts, bar_width = self.fit(options.max_width - RESERVED_COLUMNS)
        names = [*texts]
        place = names.index('percent') + 1 if bar_width else len(names)
        parts = [' ' * GAP + texts[name] for name in names]
        yield Text(''.join(parts[:place])[GAP:], no_wrap=True, overflow='crop', end='')
        if bar_width:
            yield Text(' ' * GAP, end='')
            yield ProgressBar(total=max(self.steps, 1), completed=self.done, width=bar_width)
            yield Text(''.join(parts[place:]), end='')

    def fit(self, width: int) -> tuple[dict[str, str], int]:
        """What a line of this width has room for.

        Args:
            width: Columns.

        Returns:
            The texts by their names, in their order on the line, and the width of the bar, 0 for
            none.
        """
        texts = self._texts()
        kept, used = set(), 0
        for name in PRIORITY:
            if name in texts:
                needed = len(texts[name]) + GAP * bool(kept)
                if used + needed > width and kept:
                    break
                kept.add(name)
                used += needed
        bar = min(width - used - GAP, MAX_BAR)
        return ({name: text for name, text in texts.items() if name in kept},
                bar if bar >= MIN_BAR else 0)

    def _texts(self) -> dict[str, str]:
        step, steps = self.done, self.steps
        texts = {}
        if self.epoch is not None:
            step, steps = self.epoch_step, self.epoch_steps
            texts['epoch'] = f'epoch {self.epoch}/{self.epochs}'
        texts['step'] = f'step {step}/{steps}'
        texts['percent'] = f'{self.done / max(self.steps, 1):.0%}'
        if self.seconds_left is not None and math.isfinite(self.seconds_left):
            texts['left'] = f'left {format_clock(self.seconds_left)}'
        formats = dict(
            loss=('loss {:.3f}', self.loss),
            lr=('lr {:.1e}', self.lr),
            momentum=('momentum {:.4f}', self.momentum),
            speed=('{:,.0f} img/s' if (self.images_per_second or 0) >= 100 else '{:.3g} img/s',
                   self.images_per_second),
            wait=('wait {:.0%}', self.data_wait),
            memory=('{:.1f} GB', self.memory and self.memory / 1e9))
        return texts | {name: text.format(value)
                        for name, (text, value) in formats.items() if value is not None}


def format_clock(seconds: float) -> str:
    """Seconds as ``3:07`` (minutes), ``1:03:07`` or ``2d 01:03``."""
    whole = timedelta(seconds=round(max(seconds, 0)))
    hours, rest = divmod(whole.seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if whole.days:
        return f'{whole.days}d {hours:02}:{minutes:02}'
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'
