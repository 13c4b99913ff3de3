"""The backbone of a checkpoint for timm, transformers and others."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..checkpoint.reading import is_pretraining_checkpoint
from ..errors import InputError
from ..formats.backbone import build_backbone
from ..formats.mmpretrain_format import backbone_line, extract, write_backbone
from ..formats.official_format import official_line, write_official
from ..formats.onnx_format import (
    ONNX_OUTPUTS,
    OnnxView,
    check_onnx_installed,
    fixed_size,
    free_size,
    onnx_data_file,
    write_onnx,
)
from ..formats.source import backbone_in, is_own, read_place
from ..formats.timm_format import timm_line, write_timm
from ..formats.transformers_format import FILES as TRANSFORMERS_FILES
from ..formats.transformers_format import transformers_line, write_transformers
from ..utils.files import check_new

FORMAT_WRITERS = dict(
    timm=(write_timm, timm_line),
    transformers=(write_transformers, transformers_line),
    official=(write_official, official_line))
EXPORT_FORMATS = (*FORMAT_WRITERS, 'mmpretrain', 'onnx')


def export(checkpoint: str | Path, target: str | Path, format: str, *,
           weights: str | None = None, num_heads: int | None = None,
           output: str | None = None, blocks: Sequence[int] | None = None,
           img_size: int | Sequence[int] | Literal['free'] | None = None,
           overwrite: bool = False) -> str:
    """Writes the backbone of a checkpoint for another library, or as a small file for this one.

    Task heads and the projector are left out. The weights expect RGB images, or those of other
    channels that they were trained on, normalised as the loaded model's settings say. Warns of what
    was assumed, and where tokens will differ.

    Args:
        checkpoint: Any checkpoint of this project, or a run's folder for its last one; or weights
            of another library (:func:`read_source`).
        target: File to write, ending in ``.pth`` or ``.onnx``; for transformers a folder.
        format: ``'timm'``, ``'transformers'`` or ``'official'`` (the original code);
            ``'mmpretrain'`` for the file that a task's config starts from; ``'onnx'`` for a graph
            that takes any batch, which is compared with PyTorch before it is written.
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint; None
            for the teacher's.
        num_heads: Attention heads, where the weights do not tell them.
        output: What the ONNX graph gives (:class:`OnnxView`); None for ``'mean'``.
        blocks: Whose feature maps, for ``output='featmap'``; None for the last.
        img_size: Side of the ONNX graph's images, in pixels, or ``(height, width)``; position
            tables are resized to it. None for the size as it was trained, ``'free'`` for any
            multiple of the patch size.
        overwrite: Replace the file if it exists; of a folder the files of the same names.

    Returns:
        What loads it: a line of Python; for mmpretrain an option of its tools.

    Raises:
        InputError: It cannot be read, holds no plain ViT or other weights than asked for, or the
            library has no such model; ``target`` exists or cannot be written.
    """
    target = Path(target)
    check_target(target, format, overwrite)
    check_graph_options(format, output, blocks, img_size)
    stored = read_place(checkpoint)
    source = backbone_in(stored, weights or 'teacher', num_heads)
    if weights and source.whose not in (None, weights):
        raise InputError(f"{checkpoint} holds the {source.whose}'s weights; drop "
                         f'--weights {weights}')
    for note in source.notes:
        warnings.warn(note, stacklevel=2)
    if format == 'mmpretrain' and is_own(stored.checkpoint) and is_pretraining_checkpoint(
            stored.checkpoint):
        extract(stored.checkpoint, stored.place, target, weights or 'teacher')
        return backbone_line(source.sizes, target)
    if format == 'onnx':
        free = img_size == 'free'
        backbone = build_backbone(source.weights, source.sizes, None if free else img_size)
        axes = free_size(backbone.patch_size) if free else fixed_size()
        view = OnnxView(backbone, output or 'mean', blocks or (-1,))
        return write_onnx(view, source.sizes, axes, target)
    write, line = FORMAT_WRITERS.get(format, (write_backbone, backbone_line))
    write(source.weights, source.sizes, target)
    return line(source.sizes, target)


def check_target(target: Path, format_name: str, overwrite: bool) -> None:
    """Looks at the format and the name of the file before anything takes time.

    Raises:
        InputError: There is no such format, its libraries are missing, or the file exists or does
            not end as it should.
    """
    if format_name not in EXPORT_FORMATS:
        raise InputError(f'format must be one of {EXPORT_FORMATS}, but is {format_name!r}')
    if format_name == 'onnx':
        check_onnx_installed()
        check_new(onnx_data_file(target), overwrite)
    suffix = '.onnx' if format_name == 'onnx' else '.pth'
    if format_name == 'transformers':
        for name in TRANSFORMERS_FILES:
            check_new(target / name, overwrite)
    elif target.suffix != suffix:
        raise InputError(f'{target} must end in {suffix} for --format {format_name}')
    else:
        check_new(target, overwrite)


def check_graph_options(format_name: str, output: str | None, blocks: Sequence[int] | None,
                        img_size: int | Sequence[int] | None) -> None:
    """Looks whether what was asked of a graph is there to be had.

    Raises:
        InputError: Another format, an unknown output, or blocks of something else than maps.
    """
    if format_name != 'onnx' and (output or blocks or img_size):
        raise InputError('--output, --blocks and --img-size go with --format onnx')
    if output not in (None, *ONNX_OUTPUTS):
        raise InputError(f'output must be one of {ONNX_OUTPUTS}, but is {output!r}')
    if blocks and output != 'featmap':
        raise InputError('--blocks goes with --output featmap')
