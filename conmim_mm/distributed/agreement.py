"""Whether the processes of a run were given the same, seen before they wait for each other in vain.

Processes with other models hang in their first exchange or average weights that do not belong
together; with other data sets they train on, wrongly, or hang at the end of an epoch.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.dist import all_gather_object, is_distributed
from torch.utils.data import Dataset

from ..errors import InputError

CHECKED_NAMES = 10_000


def check_configs_agree(cfg: Config) -> None:
    """Compares the configs of all processes; to be called before the runner is built.

    Does nothing for one process. The process group is there already.

    Args:
        cfg: The run's config, the same on all processes.

    Raises:
        InputError: On every process, if they differ in any setting.
    """
    if not is_distributed():
        return
    difference = describe_disagreement(all_gather_object(dict(_settings(cfg.to_dict()))))
    if difference:
        raise InputError(f'the processes were given different configs: {difference}. Start all '
                         'of them with the same files and options')


def check_data_agrees(dataset: Dataset) -> None:
    """Compares the data sets of all processes: their sizes, and the names of their images.

    Of more than 10,000 names as many are compared, evenly spread; folders above ``data_root`` may
    differ.

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
                         'files below data_root')


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


def _settings(value: object, name: str = '') -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        items = enumerate(value)
    else:
        # the text of any other object may hold its address
        plain = isinstance(value, str | int | float | list | tuple | Mapping | None)
        yield name, repr(value) if plain else getattr(value, '__qualname__', type(value).__name__)
        return
    for key, item in items:
        yield from _settings(item, f'{name}.{key}' if name else str(key))


def _contents(dataset: Dataset) -> dict[str, object]:
    size = len(dataset)
    contents: dict[str, object] = {'the number of samples': size}
    if not (size and hasattr(dataset, 'get_data_info')):
        return contents
    root = str(getattr(dataset, 'data_root', None) or '')
    indices = np.unique(np.linspace(0, size - 1, CHECKED_NAMES).astype(int))
    names = [str(dataset.get_data_info(int(index)).get('img_path', '')).removeprefix(root)
             for index in indices]
    return contents | {
        'the first image': names[0],
        'the last image': names[-1],
        "the check sum of the images' names": zlib.crc32('\n'.join(names).encode()),
    }
