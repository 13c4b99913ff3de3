"""The feature pyramid of a plain ViT detector (ViTDet, arXiv 2203.16527, section 3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from mmpretrain.registry import MODELS
from torch import nn

from ...errors import InputError
from ..layers.block import NORM_EPS


def _rescale(channels: int, scale: float) -> tuple[nn.Sequential, int]:
    """The module that changes the side of a map by ``scale``, and the channels it puts out."""
    half, quarter = channels // 2, channels // 4
    if scale == 4:
        return nn.Sequential(
            nn.ConvTranspose2d(channels, half, 2, stride=2), LayerNorm2d(half, eps=NORM_EPS),
            nn.GELU(), nn.ConvTranspose2d(half, quarter, 2, stride=2)), quarter
    if scale == 2:
        return nn.Sequential(nn.ConvTranspose2d(channels, half, 2, stride=2)), half
    if scale == 1:
        return nn.Sequential(), channels
    if scale == 0.5:
        # ViTDet only sees even sides; of an odd one the last row and column must not be lost.
        return nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)), channels
    raise InputError(f'SimpleFeaturePyramid has no scale {scale}; choose from 4, 2, 1 and 0.5')


def _project(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels, eps=NORM_EPS),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels, eps=NORM_EPS))


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Maps of several scales, all from the last map of a plain ViT.

    Each level is made from that one map alone: transposed convolutions (up) or max-pooling (down),
    then a 1x1 and a 3x3 convolution, each with a LayerNorm over the channels. There is no path
    between levels. Further levels are the last one, every second pixel of it, and so on.

    In mmdet's configs: ``neck=dict(type='mmpretrain.SimpleFeaturePyramid', ...)``.

    Args:
        in_channels: Width C of the ViT, divisible by 4.
        out_channels: Channels of every level.
        scales: Side of each level as a multiple of the ViT's map, finest first: of 4, 2, 1, 0.5.
            With patches of P pixels the strides are P / scale.
        num_outs: Levels in all, at least one per scale.
        input_norm_cfg: Norm of the ViT's map before anything else; None for none, as ViTDet.
            ConMIM's loss does not see what all tokens share (the projector's batch norm takes it
            out), so after a short pre-training that can be nearly all there is of a token, and the
            LayerNorms here, each over one token's channels, do not take it out:
            ``dict(type='BN', affine=False)`` does (on several GPUs ``SyncBN``), as in MAE's linear
            probe.
        init_cfg: As in MMEngine. The default leaves PyTorch's initialisation, as ViTDet does.

    Raises:
        InputError: Another scale, too few levels or a width that does not divide.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int = 256,
                 scales: Sequence[float] = (4, 2, 1, 0.5),
                 num_outs: int = 5,
                 input_norm_cfg: dict | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if in_channels % 4:
            raise InputError(f'SimpleFeaturePyramid: in_channels={in_channels} is not divisible '
                             'by 4')
        if not scales or num_outs < len(scales):
            raise InputError(f'SimpleFeaturePyramid: num_outs={num_outs} levels are too few for '
                             f'scales={tuple(scales)}, or there are no scales')
        self.num_outs = num_outs
        self.input_norm = (
            nn.Identity() if input_norm_cfg is None else
            build_norm_layer(input_norm_cfg, in_channels)[1])
        rescales = [_rescale(in_channels, scale) for scale in scales]
        self.rescale = nn.ModuleList(module for module, _ in rescales)
        self.project = nn.ModuleList(_project(width, out_channels) for _, width in rescales)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Builds the levels.

        Args:
            inputs: The backbone's output, one map ``(B, C, h, w)``.

        Returns:
            ``num_outs`` maps ``(B, out_channels, h * scale, w * scale)``, halves rounded up; in
            float32 even under autocast, since mmcv's RoIAlign knows no bfloat16.

        Raises:
            InputError: The backbone gives more than one map.
        """
        if len(inputs) != 1:
            raise InputError(f'SimpleFeaturePyramid takes one map, but the backbone gives '
                             f'{len(inputs)}; give it a single out_indices')
        features = self.input_norm(inputs[0])
        levels = [
            project(rescale(features)).float()
            for rescale, project in zip(self.rescale, self.project, strict=True)
        ]
        while len(levels) < self.num_outs:
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return tuple(levels)
