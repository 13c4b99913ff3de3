"""The backbone of a checkpoint for timm, transformers and others."""

import warnings
from pathlib import Path

from ..checkpoint.reading import backbone_state, load_checkpoint_file
from ..checkpoint.settings import saved_settings
from ..errors import InputError
from ..formats.backbone import read_sizes, saved_heads
from ..formats.mmpretrain_format import extract
from ..formats.official_format import official_line, write_official
from ..formats.timm_format import timm_line, write_timm
from ..formats.transformers_format import FILES as TRANSFORMERS_FILES
from ..formats.transformers_format import transformers_line, write_transformers
from ..utils.files import check_new
from ..utils.work_dir import checkpoint_file

FORMAT_WRITERS = dict(
    timm=(write_timm, timm_line),
    transformers=(write_transformers, transformers_line),
    official=(write_official, official_line))


def export(checkpoint: str | Path, target: str | Path, format: str, *,
           weights: str | None = None, num_heads: int | None = None,
           overwrite: bool = False) -> str:
    """Writes the backbone of a checkpoint for another library, or as a small file for this one.

    Task heads and the projector are left out. The weights expect RGB images, normalised with the
    mean and std of ImageNet. Warns where the other library's tokens will differ.

    Args:
        checkpoint: Any checkpoint of this project, or a run's folder for its last one.
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
        InputError: It cannot be read, is no checkpoint of this project or holds other weights than
            asked for; ``target`` exists or cannot be written.
    """
    source, target = checkpoint_file(checkpoint), Path(target)
    check_target(target, format, overwrite)
    if format == 'mmpretrain':
        extract(Path(source), target, weights or 'teacher')
        return f'--cfg-options model.backbone.init_cfg.checkpoint={target}'
    contents = load_checkpoint_file(source)
    extracted = contents.get('meta', {}).get('weights')  # of an extracted backbone
    if weights and extracted not in (None, weights):
        raise InputError(f"{source} holds the {extracted}'s weights; drop --weights {weights}")
    backbone = backbone_state(contents, weights or 'teacher')
    sizes = read_sizes(backbone, num_heads or saved_heads(contents, backbone))
    warn_of_windows(contents)
    write, line = FORMAT_WRITERS[format]
    write(backbone, sizes, target)
    return line(sizes, target)


def warn_of_windows(checkpoint: dict) -> None:
    """Says so where the tokens will differ: window attention is not part of the weights."""
    try:
        settings = saved_settings(checkpoint)
    except ValueError:  # more than settings: nobody's reason not to export
        return
    match settings:
        case {'model': {'backbone': {'window_blocks': [_, *_]}}}:
            warnings.warn('this backbone was trained with attention windows in some blocks; the '
                          'other library lets all its blocks attend globally, so its tokens differ',
                          stacklevel=3)


def check_target(target: Path, format_name: str, overwrite: bool) -> None:
    """Looks at the format and the name of the file before anything takes time.

    Raises:
        InputError: There is no such format, or the file exists or does not end as it should.
    """
    if format_name not in (*FORMAT_WRITERS, 'mmpretrain'):
        raise InputError(f'format must be one of {(*FORMAT_WRITERS, "mmpretrain")}, but is '
                         f'{format_name!r}')
    if format_name == 'transformers':
        for name in TRANSFORMERS_FILES:
            check_new(target / name, overwrite)
    elif target.suffix != '.pth':
        raise InputError(f'{target} must end in .pth for --format {format_name}')
    else:
        check_new(target, overwrite)
