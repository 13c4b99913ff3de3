"""``conmim embed``: the features of a folder of images, in a file."""

import argparse
import os
from pathlib import Path

from mmpretrain.registry import DATASETS
from tqdm import tqdm

from ..commands.arguments import FEATURE_FILES
from ..commands.feature_files import open_feature_file
from ..datasets.labelled_folder import find_labelled_split
from ..errors import InputError
from ..evaluation.image_features import image_features
from ..evaluation.labelled_folder import evaluation_pipeline
from ..utils.files import check_place
from .backbone import frozen_backbone, num_workers

MAX_NAMED = 10  # unreadable images


def run(args: argparse.Namespace) -> None:
    """Writes the file.

    Images that can't be read are left out, named and counted.

    Raises:
        InputError: No images, none that can be read, no backbone, or no place for the file.
    """
    check_target(args.out, args.overwrite)
    if not args.data.is_dir():
        raise InputError(f'no such folder: {args.data}')
    frozen = frozen_backbone(args)
    dataset = DATASETS.build(dict(
        type='ImageFiles', data_root=str(args.data),
        pipeline=evaluation_pipeline(frozen.img_size)))
    paths = [os.path.relpath(dataset.get_data_info(i)['img_path'], args.data)
             for i in range(len(dataset))]
    labels = read_labels(args.data, paths)
    about = dict(checkpoint=str(args.checkpoint), weights=args.weights,
                 img_size=str(frozen.img_size), data=str(args.data))
    unreadable = []
    batches = image_features(frozen.backbone, dataset, frozen.preprocessor, args.batch_size,
                             num_workers(args))
    with open_feature_file(args.out, frozen.backbone.embed_dims, bool(labels), about) as file, \
            tqdm(total=len(paths), unit='image', disable=None) as bar:
        for batch in batches:
            file.add(batch.features, [paths[i] for i in batch.indices],
                     [labels[i] for i in batch.indices] if labels else None)
            unreadable += [(paths[i], reason) for i, reason in batch.unreadable]
            bar.update(len(batch.indices) + len(batch.unreadable))
        if len(unreadable) == len(paths):
            raise InputError(f'none of the {len(paths)} images in {args.data} can be read: '
                             f'{unreadable[0][0]}: {unreadable[0][1]}')
    print(f'wrote {args.out}: {len(paths) - len(unreadable):,} images x '
          f'{frozen.backbone.embed_dims} features' + (', with labels' if labels else ''))
    if unreadable:
        print(f'left out {len(unreadable):,} that cannot be read:')
        for path, reason in unreadable[:MAX_NAMED]:
            print(f'  {path}: {reason}')
        if len(unreadable) > MAX_NAMED:
            print(f'  and {len(unreadable) - MAX_NAMED:,} more')


def check_target(out: Path, overwrite: bool) -> None:
    """Looks at the name before anything takes time.

    Raises:
        InputError: Not a name for features, or a file that is there already.
    """
    if out.suffix not in FEATURE_FILES:
        raise InputError(f'--out {out} must end in {" or ".join(FEATURE_FILES)}')
    if out.is_dir():
        raise InputError(f'--out {out} is a folder')
    if out.exists() and not overwrite:
        raise InputError(f'{out} exists already: add --overwrite to replace it, or choose another '
                         '--out')
    check_place(out)


def read_labels(folder: Path, paths: list[str]) -> list[str]:
    """The class of each image by its folder; empty where the folders are no classes.

    Args:
        folder: The folder of images.
        paths: Relative to it.
    """
    split = find_labelled_split(str(folder))
    if split is None:
        return []
    above = {part.get('data_prefix', '') for part in (split.train, split.held_out)} - {''}
    labels = []
    for path in paths:
        *folders, _ = Path(path).parts
        if above:  # train/ and val/
            folders = folders[1:] if folders and folders[0] in above else []
        labels.append(folders[0] if folders and folders[0] in split.classes else '')
    return labels
