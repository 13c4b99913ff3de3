"""A backbone to start from or to compare with, whichever library its weights come from."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ..checkpoint.reading import (
    WHOSE_WEIGHTS,
    is_pretraining_checkpoint,
    model_state,
    weights_below,
)
from ..checkpoint.settings import saved_arguments, type_name
from ..datasets.reading import RGB, ImageReading
from ..errors import InputError, one_line
from . import mmpretrain_format, transformers_format
from .backbone import (
    BackboneSizes,
    backbone_settings,
    read_sizes,
    reading_of_weights,
    saved_backbone,
)
from .facts import completed, noted_facts
from .hubs import fetched, is_hub_name
from .key_names import OWN_TABLE, TABLE, Weights
from .mmpretrain_format import from_mmpretrain
from .official_format import from_official
from .stored import Stored, stored_at
from .timm_format import from_timm
from .transformers_format import from_transformers
from .translation import Translation

_OWN_NAMES = re.compile(rf'(^|\.)backbone\.blocks\.0\.attn\.q_bias$|{OWN_TABLE.pattern}')
# Of ConMIMViT's arguments, what only its start knows; and MMEngine's initialisers, none of
# which reads a file.
_STARTING = ('layer_scale_init_value', 'rel_pos_init_slope', 'use_sincos_pos_emb')
_INITIALISERS = ('Constant', 'Xavier', 'Normal', 'TruncNormal', 'Uniform', 'Kaiming',
                 'Caffe2Xavier')
_ORIGINAL_HEADS = ('lm_head.', 'projectors.', 'cls_pt_layers.', 'head.', 'fc.')


@dataclass(frozen=True)
class BackboneSource:
    """Weights under this project's names, and all that has to be known to use them.

    Where a source normalises after mean pooling (``out_type='avg_featmap'``), its weights have
    ``fc_norm`` in the place of ``norm``. Pre-training needs a norm of tokens: it starts ``norm``
    with what ``fc_norm`` has.

    Attributes:
        settings: Arguments of :class:`ConMIMViT`.
        weights: Its state dict, complete for these settings.
        mean: Per channel, of images in grey levels 0-255.
        std: The same.
        library: Whose names they had, such as ``'timm'``; ``'conmim_mm'`` for this project's own.
        left_out: Names in the source that have no place here.
        notes: What was changed or guessed, in words.
        projector: State dict of the ``ConMIMProjector`` that was trained with them, if any.
        decoder: Likewise of the decoder, of a student of visible patches.
        whose: ``'teacher'`` or ``'student'``, where it is known.
        start: Arguments of :class:`ConMIMViT` that its training began with beside these settings,
            where it is a run of ours.
        reading: How its images are read.
    """

    settings: dict
    weights: Weights
    mean: tuple[float, ...]
    std: tuple[float, ...]
    library: str
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    projector: Weights | None = None
    decoder: Weights | None = None
    whose: str | None = None
    start: dict = field(default_factory=dict)
    reading: ImageReading = RGB

    @cached_property
    def sizes(self) -> BackboneSizes:
        """What other libraries must know."""
        sizes = read_sizes(self.weights, self.settings['arch']['num_heads'],
                           self.settings['img_size'])
        return replace(sizes, norm_eps=self.settings['norm_eps'], mean=self.mean, std=self.std,
                       reading=self.reading)


def read_source(place: str | Path, weights: str = 'teacher',
                num_heads: int | None = None) -> BackboneSource:
    """The backbone at a place, recognised by its weights' names.

    Args:
        place: A checkpoint of this project, the original code, BEiT, timm, transformers or
            mmpretrain, or a safetensors file; a folder (of a run, for its last checkpoint; of
            Hugging Face; of timm); ``timm:NAME``, ``hf:NAME`` or ``mmpretrain:NAME``.
        weights: ``'teacher'`` or ``'student'``, whose to take where there are both.
        num_heads: Attention heads, where nothing tells them, or something tells them wrong.

    Raises:
        InputError: There is none, or one of another architecture.
    """
    return backbone_in(read_place(place), weights, num_heads)


def read_place(place: str | Path) -> Stored:
    """What lies at a place, as for :func:`read_source`, whatever it is.

    Raises:
        InputError: There is nothing, or nothing that can be read.
    """
    return fetched(str(place)) if is_hub_name(str(place)) else stored_at(place)


def backbone_in(stored: Stored, weights: str = 'teacher',
                num_heads: int | None = None) -> BackboneSource:
    """The backbone in what was read; arguments and errors as of :func:`read_source`."""
    if weights not in WHOSE_WEIGHTS:
        raise InputError(f'weights must be one of {WHOSE_WEIGHTS}, but is {weights!r}')
    if is_own(stored.checkpoint):
        return _own(stored.checkpoint, weights, num_heads)
    try:
        return _foreign(stored, weights, num_heads)
    except InputError as error:
        reason = str(error)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        reason = f'its weights have the shapes of no ViT ({one_line(error)[:80]})'
    raise InputError(f'{stored.place} cannot become a backbone here: {reason}')


def is_own(checkpoint: dict) -> bool:
    """Whether a checkpoint is of this project, by the names of its weights.

    Args:
        checkpoint: Its contents.
    """
    state = checkpoint.get('state_dict', checkpoint)
    keys = [key.removeprefix('module.') for key in state if isinstance(key, str)] if isinstance(
        state, dict) else []
    if any(key.endswith(f'.attn.{TABLE}') for key in keys):
        return False  # the original's and timm's, and BEiT's tasks
    bare = not any(key.startswith(_ORIGINAL_HEADS) for key in keys)
    return any(_OWN_NAMES.search(key) for key in keys) or bare and 'blocks.0.attn.q_bias' in keys


def _own(checkpoint: dict, weights: str, num_heads: int | None) -> BackboneSource:
    state, sizes = saved_backbone(checkpoint, weights, num_heads)
    projector, decoder, whose = None, None, checkpoint.get('meta', {}).get('weights')
    if is_pretraining_checkpoint(checkpoint):
        whose, everything = weights, model_state(checkpoint)
        of_teacher = weights_below(everything, 'teacher.neck.') if weights == 'teacher' else {}
        projector = of_teacher or weights_below(everything, 'neck.')
        decoder = weights_below(everything, 'decoder.')
        if decoder:
            projector = _without_pixels(projector, sizes)
    arguments = saved_arguments(checkpoint)
    has_windows = bool(arguments.get('window_blocks'))
    notes = ('this backbone was trained with attention windows in some blocks; without them all '
             'blocks attend globally, so its tokens differ',) * has_windows
    return BackboneSource(backbone_settings(sizes), state, sizes.mean, sizes.std, 'conmim_mm',
                          notes=notes, projector=projector, decoder=decoder, whose=whose,
                          start=_start(arguments), reading=sizes.reading)


def _without_pixels(projector: Weights, sizes: BackboneSizes) -> Weights:
    """Of a projector that ends at tokens and pixels (``TokensAndPixelsHead``) that of tokens."""
    pixels = sizes.in_channels * sizes.patch_size**2
    last = {key: value[:-pixels] for key, value in projector.items() if key.startswith(
        ('layers.6.', 'layers.7.')) and value.shape[:1] == (sizes.embed_dims + pixels, )}
    return projector | last


def _start(arguments: dict) -> dict:
    """What of a run's arguments shapes its untrained weights, less what would load any."""
    start = {name: arguments[name] for name in _STARTING if name in arguments}
    rules = arguments.get('init_cfg')
    rules = rules if isinstance(rules, list) else [rules] if rules else []
    if all(type_name(rule) in _INITIALISERS and 'override' not in rule for rule in rules):
        start['init_cfg'] = rules
    return start


def _foreign(stored: Stored, weights: str, num_heads: int | None) -> BackboneSource:
    state = stored.state(weights)
    read = _translate(stored, state, weights)
    facts, notes = completed(read.facts, read.weights, num_heads)
    sizes = read_sizes(read.weights, facts.num_heads, facts.img_size)
    sizes = replace(sizes, norm_eps=facts.norm_eps)
    return BackboneSource(backbone_settings(sizes), read.weights, facts.mean, facts.std,
                          read.library, read.left_out, notes, read.projector,
                          reading=reading_of_weights(facts.reading, sizes.in_channels))


def _translate(stored: Stored, state: Weights, weights: str) -> Translation:
    """By the reader of the library that names weights so."""
    if any(key.endswith(transformers_format.ANCHOR) for key in state):
        return from_transformers(state, stored.config, stored.preprocessor, weights)
    if any(key.endswith(mmpretrain_format.ANCHOR) for key in state):
        return from_mmpretrain(state, stored.checkpoint, weights)
    if 'architecture' not in stored.config and any(key.endswith('.attn.q_bias') for key in state):
        return from_official(state, stored.checkpoint, weights)
    return from_timm(state, stored.config, weights, noted_facts(stored.checkpoint))
