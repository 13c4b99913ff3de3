"""What a ViT's weights do not tell: heads, epsilon and normalisation, by config or convention."""

from dataclasses import dataclass, field, replace

from ..checkpoint.settings import saved_arguments, saved_reading
from ..errors import InputError
from ..models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD
from ..models.layers.block import NORM_EPS
from .backbone import HOW_TO_SAY, saved_normalisation
from .key_names import TABLE, Weights

HALF = (127.5, 127.5, 127.5)  # mean and deviation of BEiT's images, in grey levels
CLIP_MEAN, CLIP_STD = (122.770938, 116.746012, 104.093736), (68.500533, 66.632158, 70.323163)

HEAD_WIDTH = 64  # of all public plain ViTs but those of these widths
HEADS_OF_WIDTH = {1280: 16, 1408: 16, 1664: 16}
CLIP_NORM_EPS = 1e-5


@dataclass(frozen=True)
class Facts:
    """What a library's settings tell of a ViT; None where they do not.

    Attributes:
        num_heads: Attention heads.
        norm_eps: Epsilon of the LayerNorms.
        mean: Per channel, of images in grey levels 0-255.
        std: The same.
        img_size: Of the images, in pixels, as it stands in the settings.
        reading: Keys of an :class:`ImageReading`.
    """

    num_heads: int | None = None
    norm_eps: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    img_size: object = None
    reading: dict = field(default_factory=dict)


UNKNOWN = Facts()


def completed(facts: Facts, weights: Weights, num_heads: int | None
              ) -> tuple[Facts, tuple[str, ...]]:
    """All that the weights do not tell, and what of it was assumed, in words.

    Args:
        facts: What is known.
        weights: State dict of a :class:`ConMIMViT`.
        num_heads: Attention heads that the user gives.

    Raises:
        InputError: The heads are unclear.
    """
    notes = []
    has_table = any(key.endswith(TABLE) for key in weights)
    heads = num_heads or (None if has_table else facts.num_heads)
    if heads is None and not has_table:
        width = weights['cls_token'].shape[-1]
        heads = HEADS_OF_WIDTH.get(width) or (None if width % HEAD_WIDTH else width // HEAD_WIDTH)
        if not heads:
            raise InputError('neither the weights nor a config beside them tell the number of '
                             f'attention heads; {HOW_TO_SAY}')
        notes.append(f'{heads} attention heads assumed, {width // heads} wide as in all public '
                     f'ViTs of this width (if not, {HOW_TO_SAY})')
    is_clip = 'pre_norm.weight' in weights
    if is_clip and facts == UNKNOWN:
        notes.append("activation assumed to be GELU; OpenAI's CLIP has QuickGELU, which does not "
                     'fit')
    eps = facts.norm_eps or (CLIP_NORM_EPS if is_clip else NORM_EPS)
    mean, std, channels = facts.mean, facts.std, weights['patch_embed.proj.weight'].shape[1]
    if not (mean and std and len(mean) == len(std) == channels and min(std) > 0):
        name, mean, std = (
            (f'0.5 of each of its {channels} channels', channels * HALF[:1], channels * HALF[:1])
            if channels != len(HALF) else
            ("BEiT's, 0.5 (BEiT v2 and ConMIM have ImageNet's)", HALF, HALF) if has_table else
            ("CLIP's", CLIP_MEAN, CLIP_STD) if is_clip else
            ("ImageNet's", IMAGENET_MEAN, IMAGENET_STD))
        notes.append(f'mean and deviation of the images assumed to be {name}')
    return replace(facts, num_heads=heads, norm_eps=eps, mean=mean, std=std), tuple(notes)


def noted_facts(checkpoint: dict) -> Facts:
    """What this project notes in a file that it writes for another library; unknown in others.

    Args:
        checkpoint: The contents of the file.
    """
    settings = saved_arguments(checkpoint)
    if not settings:
        return UNKNOWN
    arch = settings.get('arch')
    heads = number_in(arch, 'num_heads', int) if isinstance(arch, dict) else None
    return facts_of_run(checkpoint, heads, number_in(settings, 'norm_eps', float))


def facts_of_run(checkpoint: dict, num_heads: int | None, norm_eps: float | None) -> Facts:
    """What a run's settings tell of its images, in OpenMMLab's way, beside these two numbers."""
    settings = saved_arguments(checkpoint)
    channels = number_in(settings, 'in_channels', int) or 3
    return Facts(num_heads, norm_eps, *saved_normalisation(checkpoint, channels),
                 settings.get('img_size'), saved_reading(checkpoint))


def number_in(config: dict, key: str, kind: type) -> int | float | None:
    """A positive number of a config that somebody else wrote; None where it is none.

    Args:
        config: As it was read.
        key: Its name.
        kind: ``int`` or ``float``.
    """
    value = config.get(key)
    return value if isinstance(value, kind) and not isinstance(value, bool) and value > 0 else None


def grey_levels(values: object) -> tuple[float, ...] | None:
    """Numbers for images in 0-255, of what a config has for images in 0-1; None of anything else.

    Args:
        values: One number per channel, as a library's config has them.
    """
    try:
        levels = tuple(round(255 * float(value), 6) for value in values)
    except (TypeError, ValueError):
        return None
    return levels or None
