"""A backbone to start from or to compare with, whichever library its weights come from."""

from dataclasses import dataclass
from pathlib import Path

from ..checkpoint.reading import (
    backbone_state,
    is_pretraining_checkpoint,
    load_checkpoint_file,
    model_state,
    weights_below,
)
from ..errors import InputError
from ..utils.work_dir import checkpoint_file
from .backbone import backbone_settings, read_sizes, saved_heads, saved_normalisation
from .key_names import Weights


@dataclass(frozen=True)
class BackboneSource:
    """Weights under this project's names, and all that has to be known to use them.

    Attributes:
        settings: Arguments of :class:`ConMIMViT`.
        weights: Its state dict, complete for these settings.
        mean: Per RGB channel, of images in grey levels 0-255.
        std: The same.
        library: Whose they were, such as ``'timm'``.
        left_out: Names in the source that have no place here.
        notes: What was changed or guessed, in words.
        projector: State dict of the ``ConMIMProjector`` that was trained with them, if any.
    """

    settings: dict
    weights: Weights
    mean: tuple[float, ...]
    std: tuple[float, ...]
    library: str
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    projector: Weights | None = None


def read_source(place: str | Path, weights: str = 'teacher',
                num_heads: int | None = None) -> BackboneSource:
    """The backbone at a place, recognised by its weights' names.

    Args:
        place: A checkpoint, or a run's folder for its last one.
        weights: ``'teacher'`` or ``'student'``, whose to take where there are both.
        num_heads: Attention heads, where nothing tells them.

    Raises:
        InputError: There is none, or one of another architecture.
    """
    checkpoint = load_checkpoint_file(checkpoint_file(place))
    return _own(checkpoint, weights, num_heads)


def _own(checkpoint: dict, weights: str, num_heads: int | None) -> BackboneSource:
    extracted = checkpoint.get('meta', {}).get('weights')  # of an extracted backbone
    if weights == 'student' and extracted == 'teacher':
        raise InputError("the checkpoint holds the teacher's weights; drop --weights student")
    state = backbone_state(checkpoint, weights)
    sizes = read_sizes(state, num_heads or saved_heads(checkpoint, state))
    mean, std = saved_normalisation(checkpoint)
    projector = None
    if is_pretraining_checkpoint(checkpoint):
        everything = model_state(checkpoint)
        of_teacher = weights_below(everything, 'teacher.neck.') if weights == 'teacher' else {}
        projector = of_teacher or weights_below(everything, 'neck.')
    return BackboneSource(settings=backbone_settings(sizes), weights=state, mean=mean, std=std,
                          library='ConMIM', projector=projector)
