"""Whether the processes of a run were given the same, seen before they wait for each other in vain.

Processes with other models hang in their first exchange or average weights that do not belong
together; with other data sets they train on, wrongly, or hang at the end of an epoch.
"""

import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

from mmengine.config import Config
from mmengine.dist import all_gather_object, is_distributed
from torch.utils.data import Dataset

from ..checkpoint.settings import flat_settings
from ..errors import InputError
from ..utils.sizes import spread_indices

CHECKED_NAMES = 10_000
# of data that are compared by their names, and what was asked for to begin with
_PLACES = re.compile(
    r'data_root|started_with\..+|(train|val|test)_(dataloader|evaluator)\.(.+\.)?'
    r'(data_root|data_prefix(\..+)?|ann_file|shards)')


def check_configs_agree(cfg: Config) -> None:
    """Compares the configs of all processes; to be called before the runner is built.

    Does nothing for one process. The process group is there already. Where the data lies each may
    say for itself.

    Args:
        cfg: The run's config, the same on all processes.

    Raises:
        InputError: On every process, if they differ in any other setting.
    """
    if not is_distributed():
        return
    difference = describe_disagreement(all_gather_object(_settings(cfg.to_dict())))
    if difference:
        raise InputError(f'the processes were given different configs: {difference}. Start all '
                         'of them with the same files and options')


def check_data_agrees(dataset: Dataset) -> None:
    """Compares the data sets of all processes: their sizes, and the names of their images.

    Of more than 10,000 names as many are compared, evenly spread; the folders that they lie below
    may differ, and where there are several, be in different places.

    Args:
        dataset: This process' data set, loaded.

    Raises:
        InputError: On every process, if they differ.
    """
    if not is_distributed():
        return
    difference = describe_disagreement(all_gather_object(_contents(dataset)))
    if difference:
        raise InputError(f'the processes see different data: {difference}. Give all nodes the same '
                         'files below data_root, several folders in the same order')


def describe_disagreement(facts: Sequence[Mapping[str, object]]) -> str:
    """In what ranks differ from rank 0, in words; empty where they agree.

    Args:
        facts: By rank, values by name.
    """
    ranks = [rank for rank, own in enumerate(facts) if own != facts[0]]
    if not ranks:
        return ''
    reference, other = facts[0], facts[ranks[0]]
    name = next(name for name in [*reference, *other]
                if reference.get(name, 'missing') != other.get(name, 'missing'))
    more = f' (ranks {", ".join(map(str, ranks))} differ from it)' if len(ranks) > 1 else ''
    return (f'on rank {ranks[0]} {name} is {other.get(name, "missing")}, on rank 0 '
            f'{reference.get(name, "missing")}{more}')


def names_checksum(dataset: Dataset) -> int | None:
    """A check sum of the names of the images, which stays as it is where their folders move.

    Of more than 10,000 names as many count, evenly spread, and of several folders the order.

    Args:
        dataset: Loaded.

    Returns:
        None for a data set that does not tell the names.
    """
    names, roots = _names(dataset), _roots(dataset)
    if not any(names):
        return None
    if len(roots) > 1:
        return _checksum(_below(name, roots) for name in names)
    above = os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name in names])
    return _checksum(os.path.relpath(name, above) for name in names)


def _settings(cfg: Mapping) -> dict[str, str]:
    # the text of any other object may hold its address
    plain = str | int | float | list | tuple | Mapping | None
    return {name: repr(value) if isinstance(value, plain)
            else getattr(value, '__qualname__', type(value).__name__)
            for name, value in flat_settings(cfg) if not _PLACES.fullmatch(name)}


def _names(dataset: Dataset) -> list[str]:
    if not (len(dataset) and hasattr(dataset, 'get_data_info')):
        return []
    indices = spread_indices(len(dataset), CHECKED_NAMES)
    return [str(dataset.get_data_info(index).get('img_path', '')) for index in indices]


def _roots(dataset: Dataset) -> list[str]:
    return getattr(dataset, 'folders', None) or [str(getattr(dataset, 'data_root', None) or '')]


def _below(name: str, roots: Sequence[str]) -> str:
    """A name without the first of the folders that it lies in; of several, with its number."""
    for number, root in enumerate(roots, start=1):
        if name.startswith(os.path.join(root, '')):
            return f'{number}:' * (len(roots) > 1) + name.removeprefix(root.rstrip(os.sep))
    return name


def _checksum(names: Iterable[str]) -> int:
    return zlib.crc32('\n'.join(names).encode(errors='surrogateescape'))


def _contents(dataset: Dataset) -> dict[str, object]:
    roots = _roots(dataset)
    names = [_below(name, roots) for name in _names(dataset)]
    contents: dict[str, object] = {'the number of samples': len(dataset)}
    return contents if not names else contents | {
        'the first image': names[0],
        'the last image': names[-1],
        "the check sum of the images' names": _checksum(names),
    }
