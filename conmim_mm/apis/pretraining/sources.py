"""Where the images of a pre-training are: folders, those that a list names, or tar shards."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ...checkpoint.settings import type_name
from ...datasets.labelled_folder import held_out_beside
from ...errors import InputError
from ...utils.run_config import replace_data_root

NAMED = 3
Places = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Sources:
    """Absolute paths of what is trained on.

    Attributes:
        folders: Of images; or the one that the paths of a list are relative to.
        list_file: Names the images; None for all that are in the folders.
        shards: File names, which may hold ranges and wildcards.
    """

    folders: tuple[Path, ...] = ()
    list_file: Path | None = None
    shards: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.folders or self.list_file or self.shards)

    @property
    def name(self) -> str:
        """A short one, for the folder of a run."""
        if self.list_file:
            return self.list_file.stem
        places = self.folders or [Path(pattern).parent for pattern in self.shards]
        more = len(self.folders) - 1
        return places[0].resolve().name + (f'-and-{more}-more' if more > 0 else '')

    def as_options(self) -> dict[str, str | list[str]]:
        """As plain data, what is not given left out; a single folder or pattern as a text."""
        given = dict(data=self.folders, list_file=self.list_file and [self.list_file],
                     shards=self.shards)
        return {name: str(places[0]) if len(places) == 1 else [*map(str, places)]
                for name, places in given.items() if places}


def find_sources(data: Places | None = None, list_file: str | Path | None = None,
                 shards: str | Sequence[str] | None = None) -> Sources:
    """Looks for what is asked for.

    Args:
        data: Folders, or patterns of :mod:`glob` for folders; beside a list at most one.
        list_file: A text or CSV file.
        shards: Patterns; whether files fit them the data set sees.

    Raises:
        InputError: There is no such thing, or too much is asked for.
    """
    patterns, given = ([_expanded(place) for place in (
        [places] if isinstance(places, str | Path) else places or ())] for places in (shards, data))
    list_file = list_file and _expanded(list_file)
    if patterns and (data or list_file):
        raise InputError(f'give --shards or {"--list" if list_file else "--data"}: a run reads '
                         'either tar files or image files')
    folders = dict.fromkeys(folder for place in given for folder in _folders(place))
    if list_file and not list_file.is_file():
        raise InputError(f'--list: no such file: {list_file}')
    if list_file and len(folders) > 1:
        raise InputError('give --list with one --data at most, the folder that its paths are '
                         f'relative to, not {len(folders)}')
    return Sources(tuple(folders), list_file and list_file.absolute(),
                   tuple(str(pattern.absolute()) for pattern in patterns))


def _expanded(place: str | Path) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise InputError(f'there is no home folder for {place}') from None


def _folders(place: Path) -> list[Path]:
    if place.is_dir():
        return [place.absolute()]
    if not glob.has_magic(str(place)):
        hint = '; --list takes a list file, --shards tar files' if place.is_file() else ''
        raise InputError(f'--data: no such folder: {place}{hint}')
    found = [Path(name).absolute() for name in sorted(glob.glob(str(place), recursive=True))]
    if folders := [path for path in found if path.is_dir()]:
        return folders
    files = f'{len(found)} files, but no folder' if found else 'nothing'
    raise InputError(f'--data: the pattern {place} fits {files}: give folders, or patterns of '
                     'folders')


def set_training_images(cfg: Config, sources: Sources) -> str:
    """Lets a config read the images of its sources; which these are, in words.

    Several folders become one data set with several roots, not a data set around several: so the
    numbers of the samples, which their random numbers follow from, skipped images and the reports
    are those of any run.

    Raises:
        InputError: The config reads something else.
    """
    dataset = cfg.train_dataloader.dataset
    kind = type_name(dataset)
    if kind == 'TarShards' and not sources.shards:
        raise InputError(f'{cfg.filename} reads tar files: give --shards')
    if kind not in ('ImageFiles', 'TarShards'):
        raise InputError(f'{cfg.filename} reads {dataset.get("type")}, not a folder of images: '
                         'start it with tools/train.py')
    if cfg.get('data_root') and len(sources.folders) == 1 and not sources.list_file:
        replace_data_root(cfg, str(sources.folders[0]))
        dataset = cfg.train_dataloader.dataset
    else:
        cfg.pop('data_root', None)  # which --data-root of other tools would take for all of them
    if sources.shards:
        return _set_shards(cfg, dataset, sources.shards)
    if sources.list_file:
        root = (*sources.folders, sources.list_file.parent)[0]
        dataset.update(data_root=str(root), data_prefix='', ann_file=str(sources.list_file))
        return f'{sources.list_file}, below {root}'
    parts = [held_out_beside(str(folder)) for folder in sources.folders]
    prefixes = [part[0] if part else '' for part in parts]
    if len(parts) == 1:
        dataset.update(data_root=str(sources.folders[0]), data_prefix=prefixes[0])
    else:
        dataset.update(data_prefix='', data_root=[
            str(folder / prefix) for folder, prefix in zip(sources.folders, prefixes, strict=True)])
    return _in_words([
        f'{folder / part[0]} ({part[1]} beside it is left out)' if part else str(folder)
        for folder, part in zip(sources.folders, parts, strict=True)])


def _set_shards(cfg: Config, dataset: ConfigDict, shards: tuple[str, ...]) -> str:
    kept = {key: value for key, value in dataset.items()
            if key not in ('type', 'data_root', 'data_prefix', 'ann_file')}
    cfg.train_dataloader.dataset = ConfigDict(kept, type='TarShards', shards=[*shards])
    return f'the shards {_in_words(shards)}'


def missing_source(dataset: ConfigDict) -> str:
    """A folder or list of a data set that is not there; empty if all are. Shards see themselves."""
    if type_name(dataset) != 'ImageFiles':
        return ''
    roots, file = dataset.data_root, dataset.get('ann_file')
    roots = [Path(root).expanduser() for root in ([roots] if isinstance(roots, str) else roots)]
    gone = [root for root in roots if not root.is_dir()]
    if file and not (roots[0] / Path(file).expanduser()).is_file():
        gone.append(file)
    return str(gone[0]) if gone else ''


def _in_words(places: Sequence[str]) -> str:
    more = f' and {len(places) - NAMED} more' if len(places) > NAMED else ''
    return ', '.join(places[:NAMED]) + more
