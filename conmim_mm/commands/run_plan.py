"""A run before it starts: its config, and what is worth knowing of it."""

from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config


@dataclass(frozen=True)
class Plan:
    """A run before it starts.

    Attributes:
        cfg: Its config, complete.
        lines: What is worth knowing of it, by name.
        places: Where everything will lie, by name.
    """

    cfg: Config
    lines: dict[str, str]
    places: dict[str, str]

    def write(self, path: Path) -> None:
        """Writes the config, with the lines above it."""
        text = ''.join(f'# {line}\n' for line in _table(self.lines))
        path.write_text(f'# Written by `conmim pretrain`.\n{text}{self.cfg.pretty_text}')

    def summary(self) -> str:
        """Lines and places, for the terminal."""
        return '\n'.join(_table(self.lines | self.places))


def find_places(cfg: Config, out: Path) -> dict[str, str]:
    """Where a run with this config will leave what it makes."""
    saving = cfg.get('default_hooks', {}).get('checkpoint', {})
    interval, kept = saving.get('interval', 1), saving.get('max_keep_ckpts', -1)
    unit = 'epoch' if 'max_epochs' in cfg.train_cfg else 'iter'
    return dict(
        checkpoints=f'{out}/{unit}_N.pth, every '
        + (f'{interval} {unit}s' if interval > 1 else unit)
        + (f', the last {kept} are kept' if kept > 0 else ''),
        log=f'{out}/DATE/DATE.log',
        report=f'{out}/report.html',
        config=f'{out}/config.py; the same run again: python tools/train.py {out}/config.py '
        '--work-dir ANOTHER')


def _table(lines: dict[str, str]) -> list[str]:
    return [f'{name:<15}{text}' for name, text in lines.items() if text]
