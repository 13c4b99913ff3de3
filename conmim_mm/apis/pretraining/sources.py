"""Where the images of a pre-training are: folders, those that a list names, or tar shards."""

import glob
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ...checkpoint.settings import type_name
from ...datasets.class_folders import sub_folders
from ...datasets.labelled_folder import training_part
from ...datasets.shards.tar_shards import expand_shards
from ...errors import InputError
from ...utils.list_file import read_list
from ...utils.run_config import replace_data_root
from .folder_patterns import describe_others, match_folders, match_folders_of_images

NAMED = 3
_PLACES = ('data_root', 'data_prefix', 'ann_file', 'shards')  # of a data set
SOURCE_OPTIONS = dict(data='--data', list_file='--list', shards='--shards')
Places = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class Sources:
    """Absolute paths of what is trained on.

    Attributes:
        folders: Of images; or the one that the paths of a list are relative to.
        list_file: Names the images; None for all that are in the folders.
        shards: File names, which may hold ranges and wildcards.
        left_out: What patterns of folders fit besides, in words.
        repeated: Folders that are named again, in words.
    """

    folders: tuple[Path, ...] = ()
    list_file: Path | None = None
    shards: tuple[str, ...] = ()
    left_out: str = field(default='', compare=False)
    repeated: str = field(default='', compare=False)

    @classmethod
    def of_options(cls, options: Mapping[str, object]) -> 'Sources':
        """From what :meth:`as_options` gives, among others."""
        data, files, shards = (_several(options.get(name, ())) for name in SOURCE_OPTIONS)
        return cls(tuple(map(Path, data)), Path(files[0]) if files else None, tuple(shards))

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

    @property
    def kind(self) -> str:
        """The option that says what is trained on."""
        return '--shards' if self.shards else '--list' if self.list_file else '--data'

    @property
    def in_words(self) -> str:
        """As on the command line."""
        return ' '.join(f'{SOURCE_OPTIONS[name]} {_in_words([*_several(places)])}'
                        for name, places in self.as_options().items())

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
    patterns, given = ([*map(_expanded, _several(places or ()))] for places in (shards, data))
    list_file = list_file and _expanded(list_file)
    if patterns and (data or list_file):
        raise InputError(f'give --shards or {"--list" if list_file else "--data"}: a run reads '
                         'either tar files or image files')
    # the folder of a list need not hold what would count as an image
    match = match_folders if list_file else match_folders_of_images
    fitting = {place: match(place) for place in given if _is_pattern(place)}
    named = Counter(folder for place in given for folder in (
        fitting[place].folders if place in fitting else [place.absolute()]))
    folders, again = [*named], [folder for folder, times in named.items() if times > 1]
    if list_file and not list_file.is_file():
        raise InputError(f'--list: no such file: {list_file}')
    if list_file and len(folders) > 1:
        raise InputError('give --list with one --data at most, the folder that its paths are '
                         f'relative to, not {len(folders)}')
    return Sources(tuple(folders), list_file and list_file.absolute(),
                   tuple(str(pattern.absolute()) for pattern in patterns),
                   '' if list_file else describe_others(fitting.values(), folders),
                   f'{_in_words([*map(str, again)])}, taken once' if again else '')


def resumed_sources(before: Sources, now: Sources) -> Sources:
    """What a run goes on with whose images must be those of before, if in other places.

    Of a list what is not given stays as it was: its file, which may have moved with the folder of
    its paths, or that folder.

    Args:
        before: What the run was started with.
        now: What is given to go on with.
    """
    if before.list_file and now.kind == '--data' and len(now.folders) == 1:
        root, = before.folders or [before.list_file.parent]
        moved = Path(os.path.normpath(now.folders[0] / os.path.relpath(before.list_file, root)))
        is_moved = not before.list_file.is_file() and moved.is_file()
        return replace(now, list_file=moved if is_moved else before.list_file)
    if before.list_file and now.kind == '--list' and not now.folders:
        return replace(now, folders=tuple(filter(Path.is_dir, before.folders)))
    return now


def check_outside(out: Path, sources: Sources) -> None:
    """Sees to it that what a run writes is not taken for its images.

    Raises:
        InputError: Its folder lies in one that is searched for images.
    """
    for data in () if sources.list_file else sources.folders:
        if out.resolve().is_relative_to(data.resolve()):
            raise InputError(f'--out {out} lies inside --data {data}, where the pictures of its '
                             'report would be taken for images: choose another --out')


def _several(places: Places) -> list[str | Path]:
    return [places] if isinstance(places, str | Path) else [*places]


def _expanded(place: str | Path) -> Path:
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise InputError(f'there is no home folder for {place}') from None


def _is_pattern(place: Path) -> bool:
    """Whether it names folders by a pattern; False for a folder.

    Raises:
        InputError: It is neither.
    """
    if place.is_dir():
        return False
    if not glob.has_magic(str(place)):
        hint = '; --list takes a list file, --shards tar files' if place.is_file() else ''
        raise InputError(f'--data: no such folder: {place}{hint}')
    return True


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
    order = type_name(cfg.train_dataloader.get('sampler') or {})
    if not sources.shards and (kind == 'TarShards' or order == 'ShardSequentialSampler'):
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
    if dataset.get('ann_file'):  # which the config is for
        if len(sources.folders) > 1:
            raise InputError(f'{cfg.filename} reads the list {dataset.ann_file}: give one --data, '
                             f'the folder of its paths, not {len(sources.folders)}')
        dataset.data_root = str(sources.folders[0])
        return f'{dataset.ann_file}, below {sources.folders[0]}'
    prefixes = [training_part(str(folder)) for folder in sources.folders]
    if len(prefixes) == 1:
        dataset.update(data_root=str(sources.folders[0]), data_prefix=prefixes[0])
    else:
        dataset.update(data_prefix='', data_root=[
            str(folder / prefix) for folder, prefix in zip(sources.folders, prefixes, strict=True)])
    return _in_words([_with_others(folder, prefix) if prefix else str(folder)
                      for folder, prefix in zip(sources.folders, prefixes, strict=True)])


def _with_others(folder: Path, part: str) -> str:
    others = [name for name in sub_folders(str(folder)) if name != part]
    return (f'{folder / part} ({_in_words(others)} beside it {"is" if len(others) == 1 else "are"} '
            'left out)')


def _set_shards(cfg: Config, dataset: ConfigDict, shards: tuple[str, ...]) -> str:
    kept = {key: value for key, value in dataset.items()
            if key not in ('type', 'serialize_data', *_PLACES)}
    cfg.train_dataloader.dataset = ConfigDict(kept, type='TarShards', shards=[*shards])
    return f'the shards {_in_words(shards)}'


def replace_training_images(cfg: Config, before: Sources, now: Sources) -> None:
    """As :func:`set_training_images`, for a config that reads other sources; nothing of them stays.

    Raises:
        InputError: As there.
    """
    if not all(one.kind == '--data' and len(one.folders) == 1 for one in (before, now)):
        cfg.pop('data_root', None)
        dataset = cfg.train_dataloader.dataset
        for key in _PLACES:
            dataset.pop(key, None)
        if type_name(dataset) == 'TarShards':
            dataset.type = 'ImageFiles'
    set_training_images(cfg, now)


def why_missing(dataset: ConfigDict) -> str:
    """Which images of a data set are not there, and what to give; empty for no reason to think so.

    It looks for the folders or shards, for a list and the first image in it.
    """
    if type_name(dataset) not in ('ImageFiles', 'TarShards'):
        return ''
    root = dataset.get('data_root', '')
    roots = [Path(one).expanduser() / dataset.get('data_prefix', '') for one in _several(root)]
    if type_name(dataset) == 'TarShards':
        try:
            expand_shards(_several(dataset.shards), str(roots[0]) if root else '')
        except InputError as error:
            return f'the shards are not where they were: {error}'
        return ''
    gone, file = [one for one in roots if not one.is_dir()], dataset.get('ann_file')
    if not file:
        all_of_them = ', with all of them in the same order' if len(roots) > 1 else ''
        return (f'the images are no longer in {gone[0]}: give --data with the folder they are in '
                f'now{all_of_them}') if gone else ''
    file = Path(_several(root)[0]).expanduser() / Path(file).expanduser()
    if not file.is_file():
        return f'the list {file} is no longer there: give --list with the place where it is now'
    first = next(read_list(str(file), lambda name: (roots[0] / name).is_file()), None)
    if gone or first and not (roots[0] / first.name).is_file():
        return (f'the images of the list {file} are no longer below {roots[0]}: give --data with '
                'the folder that its paths count from now')
    return ''


def _in_words(places: Sequence[str]) -> str:
    more = f' and {len(places) - NAMED} more' if len(places) > NAMED else ''
    return ', '.join(places[:NAMED]) + more
