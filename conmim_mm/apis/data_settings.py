"""What a config says of its data, seen where its data sets would only raise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config

from ..engine.hooks.start_checks.maps import other_endings
from ..errors import InputError
from ..utils.cli import EMPTY_DATA_SET

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@contextmanager
def sound_data_settings(cfg: Config) -> Iterator[None]:
    """Around building and running: says which setting of the data is wrong.

    Args:
        cfg: The config of the run.

    Raises:
        InputError: Names of classes that are one text, or images that end otherwise than the config
            says, so that none is left.
    """
    _check_class_names(cfg)
    try:
        yield
    except ValueError as error:
        reason = _why_no_images(cfg) if EMPTY_DATA_SET in str(error) else ''
        if reason:
            raise InputError(reason) from error
        raise


def _data_sets(cfg: Config) -> Iterator[tuple[str, dict]]:
    for loader in LOADERS:
        name, dataset = f'{loader}.dataset', (cfg.get(loader) or {}).get('dataset')
        while isinstance(dataset, dict):
            yield name, dataset
            name, dataset = f'{name}.dataset', dataset.get('dataset')


def _check_class_names(cfg: Config) -> None:
    for name, dataset in _data_sets(cfg):
        classes = (dataset.get('metainfo') or {}).get('classes')
        if isinstance(classes, str) and not os.path.isfile(classes):  # a file lists the names
            raise InputError(f"{name}.metainfo.classes is the text '{classes}', not a list of "
                             f"names: a single one needs a comma behind it, ('{classes}', )")


def _why_no_images(cfg: Config) -> str:
    for name, dataset in _data_sets(cfg):
        prefix = (dataset.get('data_prefix') or {})
        if not isinstance(prefix, dict) or 'img_path' not in prefix:
            continue
        folder = os.path.join(dataset.get('data_root') or '', prefix['img_path'])
        suffix = dataset.get('img_suffix', '.jpg')  # mmsegmentation's
        endings = other_endings(folder, suffix)
        if endings and not any(file.endswith(suffix) for _, _, files in os.walk(folder)
                               for file in files):
            ending = max(endings, key=endings.get)
            return (f'no image in {folder} ends in {suffix}, but {endings[ending]} end in {ending}:'
                    f' set {name}.img_suffix={ending}')
    return ''
