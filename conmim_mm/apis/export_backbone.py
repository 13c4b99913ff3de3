"""The backbone of a checkpoint for timm, transformers and others."""

import warnings
from pathlib import Path

from ..errors import InputError
from ..formats.mmpretrain_format import backbone_line, extract, write_backbone
from ..formats.official_format import official_line, write_official
from ..formats.source import backbone_in, is_own, read_place
from ..formats.timm_format import timm_line, write_timm
from ..formats.transformers_format import FILES as TRANSFORMERS_FILES
from ..formats.transformers_format import transformers_line, write_transformers
from ..utils.files import check_new

FORMAT_WRITERS = dict(
    timm=(write_timm, timm_line),
    transformers=(write_transformers, transformers_line),
    official=(write_official, official_line),
    mmpretrain=(write_backbone, backbone_line))


def export(checkpoint: str | Path, target: str | Path, format: str, *,
           weights: str | None = None, num_heads: int | None = None,
           overwrite: bool = False) -> str:
    """Writes the backbone of a checkpoint for another library, or as a small file for this one.

    Task heads and the projector are left out. The weights expect RGB images, normalised as the
    loaded model's settings say. Warns of what was assumed, and where tokens will differ.

    Args:
        checkpoint: Any checkpoint of this project, or a run's folder for its last one; or weights
            of another library (:func:`read_source`).
        target: File to write, ending in ``.pth``; for transformers a folder.
        format: ``'timm'``, ``'transformers'`` or ``'official'`` (the original code);
            ``'mmpretrain'`` for the file that a task's config starts from.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint; None
            for the teacher's.
        num_heads: Attention heads, where the weights do not tell them.
        overwrite: Replace the file if it exists; of a folder the files of the same names.

    Returns:
        What loads it: a line of Python; for mmpretrain an option of its tools.

    Raises:
        InputError: It cannot be read, holds no plain ViT or other weights than asked for, or the
            library has no such model; ``target`` exists or cannot be written.
    """
    target = Path(target)
    check_target(target, format, overwrite)
    stored = read_place(checkpoint)
    write, line = FORMAT_WRITERS[format]
    if format == 'mmpretrain' and is_own(stored.checkpoint):
        extract(stored.checkpoint, stored.place, target, weights or 'teacher')
        return f'--cfg-options model.backbone.init_cfg.checkpoint={target}'
    source = backbone_in(stored, weights or 'teacher', num_heads)
    if weights and source.whose not in (None, weights):
        raise InputError(f"{checkpoint} holds the {source.whose}'s weights; drop "
                         f'--weights {weights}')
    for note in source.notes:
        warnings.warn(note, stacklevel=2)
    write(source.weights, source.sizes, target)
    return line(source.sizes, target)


def check_target(target: Path, format_name: str, overwrite: bool) -> None:
    """Looks at the format and the name of the file before anything takes time.

    Raises:
        InputError: There is no such format, or the file exists or does not end as it should.
    """
    if format_name not in FORMAT_WRITERS:
        raise InputError(f'format must be one of {tuple(FORMAT_WRITERS)}, but is '
                         f'{format_name!r}')
    if format_name == 'transformers':
        for name in TRANSFORMERS_FILES:
            check_new(target / name, overwrite)
    elif target.suffix != '.pth':
        raise InputError(f'{target} must end in .pth for --format {format_name}')
    else:
        check_new(target, overwrite)
