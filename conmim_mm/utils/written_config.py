"""The config in a run's folder: written as data, and read back without running anything of it."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import FUNCTIONS
from mmengine.utils import get_object_from_string

from ..checkpoint.plain_data import plain_data
from ..checkpoint.settings import dicts_in, read_literals, settings_text
from ..errors import InputError
from .files import escape_name, write_text

_KNOWN_PACKAGES = ('conmim_mm', 'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'mmdet', 'torch')


def write_config(path: Path, cfg: Config, comments: Sequence[str]) -> None:
    """Writes a config, with lines above it.

    Raises:
        InputError: It can't be written, or has names that no config can have.
    """
    try:
        text = settings_text(plain_data(cfg.to_dict()))
    except ValueError as error:
        raise InputError(f'cannot write {path}: {error}') from error
    # MMEngine fills in what stands in double braces in comments, too
    above = ''.join(f'# {escape_name(line)}\n' for line in comments).replace('{{', r'{\x7b')
    write_text(path, above + text, durable=True)


def rewrite_config(path: Path, cfg: Config) -> None:
    """Writes a config in the place of one, below the lines that stand above that."""
    lines = path.read_text(encoding='utf-8').splitlines()
    write_config(path, cfg, [line.removeprefix('# ') for line in itertools.takewhile(
        lambda line: line.startswith('#'), lines)])


def read_written_config(path: Path) -> Config:
    """What :func:`write_config` wrote, whoever it is from.

    Raises:
        InputError: It can't be read, or holds more than settings.
    """
    try:
        text = path.read_text(encoding='utf-8')
        settings = read_literals(text)
        if '{{' in text or '_base_' in settings:  # MMEngine, which reads it in processes, fills in
            raise ValueError('it refers to something outside of it')
        return Config(settings, filename=str(path))
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, RecursionError,
            MemoryError) as error:
        raise InputError(f'{path} is not as conmim pretrain wrote it '
                         f'({escape_name(str(error))}), and is not run; if you trust it: '
                         f'tools/train.py {path} --work-dir {path.parent} --resume') from error


def foreign_code(settings: dict) -> str:
    """What settings name that is of no package of OpenMMLab's, and would be imported; '' if none.

    Args:
        settings: Of a config.
    """
    imports = (settings.get('custom_imports') or {}).get('imports') or []
    scopes = [settings.get('default_scope'), *(part.get('_scope_') for part in dicts_in(settings))]
    types = [str(part['type']) for part in dicts_in(settings) if '.' in str(part.get('type', ''))]
    for name in [*([imports] if isinstance(imports, str) else imports), *filter(None, scopes),
                 *types]:
        if str(name).partition('.')[0] not in _KNOWN_PACKAGES:
            return str(name)
    return next((name for name in types if _may_do_anything(name)), '')


def _may_do_anything(name: str) -> bool:
    # as a function may that is no component; torch's ways to batch samples are not registered
    found = get_object_from_string(name)
    return not (isinstance(found, type | None) or name.endswith('_collate')
                or found in FUNCTIONS.module_dict.values())
