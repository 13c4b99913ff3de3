"""The data preprocessors of the toolboxes, for images of any channels."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from ...errors import InputError

_OF_SCOPE = dict(
    mmpretrain='ClsDataPreprocessor', mmseg='SegDataPreProcessor', mmdet='DetDataPreprocessor')


@MODELS.register_module()
def AnyChannelsDataPreprocessor(  # noqa: N802
        mean: Sequence[float] | float, std: Sequence[float] | float, bgr_to_rgb: object = None,
        to_rgb: object = None, **kwargs: object) -> BaseDataPreprocessor:
    """The data preprocessor of the toolbox whose ``default_scope`` a config has.

    It is for images of :class:`LoadImage`, which are never BGR. Those of mmsegmentation and
    mmdetection take means of one channel or three only.

    Args:
        mean: Mean per channel, in grey levels 0-255; of one channel a number, too.
        std: Standard deviation per channel.
        bgr_to_rgb: Of no effect, as what an inherited config has.
        to_rgb: Likewise.
        **kwargs: The other arguments of the toolbox's own.

    Raises:
        InputError: Another scope.
    """
    current = DefaultScope.get_current_instance()
    scope = current.scope_name if current else 'mmpretrain'
    if scope not in _OF_SCOPE:
        raise InputError('AnyChannelsDataPreprocessor needs one of the scopes '
                         f'{", ".join(_OF_SCOPE)}, but default_scope is {scope}')
    # of one channel, or they would be refused
    own = dict(type=f'{scope}.{_OF_SCOPE[scope]}', mean=(0., ), std=(1., ))
    made = MODELS.build(own | kwargs)
    made.mean, made.std = (torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
                           for values in (mean, std))
    return made
