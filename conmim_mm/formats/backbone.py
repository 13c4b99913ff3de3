"""A backbone from a checkpoint alone: its settings are read off the weights."""

from dataclasses import replace
from pathlib import Path

from ..checkpoint.reading import backbone_state, load_checkpoint_file
from ..errors import InputError
from ..models.backbones.conmim_vit import ConMIMViT
from ..models.backbones.pretrained import fit_to_backbone
from .key_names import build_backbone, read_sizes


def load_backbone(path: str | Path, weights: str = 'teacher',
                  img_size: int | None = None) -> ConMIMViT:
    """The backbone of a checkpoint, in eval mode.

    Args:
        path: A pre-training checkpoint, an extracted backbone, or a classifier's, segmentor's or
            detector's checkpoint (attention windows are not among the weights: all blocks of it
            attend globally).
        weights: ``'teacher'`` or ``'student'``, whose to take from a pre-training checkpoint.
        img_size: Side of the images, in pixels; position tables are resized to it. By default as
            it was trained.

    Raises:
        InputError: There is no such backbone, or ``img_size`` does not fit its patches.
    """
    checkpoint = load_checkpoint_file(path)
    extracted = checkpoint.get('meta', {}).get('weights')  # as extract_backbone.py notes them
    if weights == 'student' and extracted == 'teacher':
        raise InputError(f"{path} holds the teacher's weights; drop --weights student")
    state = backbone_state(checkpoint, weights)
    sizes = read_sizes(state)
    if img_size:
        sizes = replace(sizes, img_size=img_size)
    backbone = build_backbone(sizes)
    state, _ = fit_to_backbone(backbone, state)
    backbone.load_state_dict(state)
    return backbone.eval()
