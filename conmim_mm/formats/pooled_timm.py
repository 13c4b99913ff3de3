"""Any model of timm's by its pooled features: what was at hand, to compare with."""

import torch
from torch import nn

from ..checkpoint.differences import describe_differences
from ..checkpoint.reading import model_state
from ..errors import InputError, one_line
from .stored import read_weights
from .timm_format import from_timm, timm_model

PREFIX = 'timm:'


class PooledTimm(nn.Module):
    """A model of timm's as frozen features are taken from it.

    Args:
        model: Without classifier: ``(B, 3, H, W)`` to ``(B, C)``.
        img_size: Side of its images, in pixels.
    """

    def __init__(self, model: nn.Module, img_size: int) -> None:
        super().__init__()
        self.model = model
        self.embed_dims = getattr(model, 'head_hidden_size', None) or model.num_features
        self.img_size = (img_size, img_size)

    def mean_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """The features ``(B, C)`` that timm's own classifier would get, pooled as it does."""
        return self.model(images)


def pooled_timm(place: str, img_size: int | None = None
                ) -> tuple[PooledTimm, tuple[float, ...], tuple[float, ...]] | None:
    """The model at ``timm:NAME``, or ``timm:NAME=FILE`` with its weights from a file.

    Args:
        place: Its name.
        img_size: Side of the images, in pixels; by default as timm's settings say.

    Returns:
        The model, and mean and deviation per RGB channel, of images in grey levels 0-255; None for
        a plain ViT and whatever is not timm's.

    Raises:
        InputError: No such model, no timm, or no weights.
    """
    if not place.startswith(PREFIX):
        return None
    try:
        import timm
    except ImportError:
        raise InputError(f'{place} needs timm: pip install timm') from None
    name, _, file = place.removeprefix(PREFIX).partition('=')
    if _is_plain(name):
        return None
    try:
        with torch.device('meta'):
            bare = timm.create_model(name, num_classes=0)
        found = timm.data.resolve_model_data_config(bare)
        img_size = img_size or found['input_size'][-1]
        with torch.device('meta'):
            bare(torch.empty(2, 3, img_size, img_size))  # which not every model takes
        model = timm.create_model(name, num_classes=0, pretrained=not file)
    except Exception as error:  # whatever timm, its hub and the network have
        raise InputError(
            f'cannot take {place} from timm: {one_line(error)[:150]}; where there is no network, '
            f'give the file of its weights, {PREFIX}{name}=FILE') from error
    if file:
        _load(model, file)
    mean, std = (tuple(255 * value for value in found[key]) for key in ('mean', 'std'))
    return PooledTimm(model, img_size), mean, std


def _is_plain(name: str) -> bool:
    try:
        from_timm(timm_model(name).state_dict(), {})
    except InputError:
        return False
    return True


def _load(model: nn.Module, file: str) -> None:
    given, classifier = model_state(read_weights(file)), model.pretrained_cfg['classifier']
    given = {key: value for key, value in given.items() if not key.startswith(f'{classifier}.')}
    if differences := describe_differences(model.state_dict(), given):
        raise InputError(f'{file} does not fit this model of timm: {differences}')
    model.load_state_dict(given)
