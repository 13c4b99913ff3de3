"""The backbone as an ONNX graph, compared with PyTorch on other batches than it was made with."""

import json
import os
import warnings
from pathlib import Path

import torch
from torch import nn

from ..errors import InputError
from ..models.backbones.conmim_vit import ConMIMViT, resolve_block_indices
from ..models.layers.rel_pos_bias import MAX_FREE_PATCHES
from ..utils.files import folder_written_whole
from ..version import __version__
from .backbone import BackboneSizes

ONNX_OUTPUTS = ('cls', 'mean', 'featmap')
OPSET = 18  # what PyTorch's exporter writes without converting it
MAX_DIFFERENCE = 1e-4  # relative to the largest number of an output
MAX_FILE = 1_900_000_000  # bytes of weights in the file itself; protobuf allows 2 GiB
INPUT = 'images'


def check_onnx_installed() -> None:
    """Raises InputError where a library is missing, before anything takes time."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError('--format onnx needs three libraries: pip install onnx onnxruntime '
                         f'onnxscript ({error})') from error


def onnx_data_file(path: Path) -> Path:
    """Where the weights lie that are too large for the file itself."""
    return path.with_name(f'{path.name}.data')


def fixed_size() -> dict:
    """What a graph leaves open of the images' sizes: their number alone."""
    return {0: torch.export.Dim('batch')}  # not at import, which would take its time


def free_size(patch_size: int) -> dict:
    """Height and width as well: any multiple of the patch size, to 64 of them."""
    rows, columns = (torch.export.Dim(name, max=MAX_FREE_PATCHES) for name in ('rows', 'columns'))
    return fixed_size() | {2: patch_size * rows, 3: patch_size * columns}


class OnnxView(nn.Module):
    """What the graph computes of normalised images ``(B, C, H, W)``.

    Args:
        backbone: In eval mode.
        output: ``'cls'`` the class token ``(B, C)``, ``'mean'`` the mean patch token ``(B, C)``,
            both after the last LayerNorm; ``'featmap'`` the patch tokens ``(B, C, h, w)`` of some
            blocks.
        blocks: Which, for ``'featmap'``; negative ones count from the end.

    Raises:
        InputError: There is no such block.
    """

    def __init__(self, backbone: ConMIMViT, output: str, blocks: tuple[int, ...] = (-1,)) -> None:
        super().__init__()
        self.backbone = backbone
        self.output = output
        # Not 'mean', which PyTorch names an operation by.
        self.names = [f'{output}_token']
        if output == 'featmap':
            backbone.out_type = 'featmap'
            backbone.out_indices = resolve_block_indices('--blocks', blocks, backbone.num_layers)
            self.names = [f'featmap_{block}' for block in backbone.out_indices]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.output == 'featmap':
            return self.backbone(images)
        if self.output == 'cls':
            return (self.backbone.fc_norm(self.backbone.forward_tokens(images)[:, 0]),)
        return (self.backbone.mean_tokens(images),)


def write_onnx(view: OnnxView, sizes: BackboneSizes, axes: dict, path: Path) -> str:
    """Writes the graph, for any batch of images, if it is right.

    Mean and std per channel, of images in 0-1, are noted in its metadata, and how images other than
    8-bit RGB are read.

    Args:
        view: What it computes.
        sizes: Of the backbone, for what is noted.
        axes: :func:`fixed_size`, for images of the backbone's size, or :func:`free_size`.
        path: The file. Weights of more than 2 GB go into :func:`onnx_data_file`.

    Returns:
        A line of Python that loads it, and says how well it was found to agree with PyTorch.

    Raises:
        InputError: The difference is too large, or the file can't be written.
    """
    program = _export(view, axes)
    mean, std = sizes.normalisation
    program.model.metadata_props.update(
        mean=json.dumps(mean), std=json.dumps(std), reading=json.dumps(sizes.reading.keys()),
        producer=f'conmim_mm {__version__}')
    size = sum(value.nbytes for value in view.state_dict().values())
    with folder_written_whole(path) as made:
        program.save(made, external_data=size > MAX_FILE)
        difference = difference_from_pytorch(view, made, axes)
        if not difference <= MAX_DIFFERENCE:
            raise InputError(f'onnxruntime differs from PyTorch by {difference:.1e} of the largest '
                             f'number, more than {MAX_DIFFERENCE}; {path} was not written')
        if size > MAX_FILE:
            os.replace(onnx_data_file(made), onnx_data_file(path))
    return (f'import onnxruntime; session = onnxruntime.InferenceSession({str(path)!r})'
            f'  # opset {OPSET}; differs from PyTorch by {difference:.1e}')


@torch.no_grad()  # with gradients PyTorch decomposes attention into another layout, and fails
def _export(view: OnnxView, axes: dict) -> torch.onnx.ONNXProgram:
    rows, columns = (3, 2) if 2 in axes else view.backbone.grid
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # PyTorch's, of its own calls
        return torch.onnx.export(
            view, (_images(view, 2, rows, columns),), dynamo=True, opset_version=OPSET,
            verbose=False, input_names=[INPUT], output_names=view.names, dynamic_shapes=(axes,))


def _images(view: OnnxView, batch: int, rows: int, columns: int) -> torch.Tensor:
    """Noise, ``(B, C, H, W)`` of so many rows and columns of patches."""
    channels, side = view.backbone.patch_embed.proj.in_channels, view.backbone.patch_size
    return torch.randn(batch, channels, rows * side, columns * side,
                       generator=torch.Generator().manual_seed(batch))


@torch.no_grad()
def difference_from_pytorch(view: OnnxView, path: Path, axes: dict) -> float:
    """The largest difference of any output, relative to the largest number of that output.

    Other batches are tried than the graph was made with, and another size where that is free.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    grids = [view.backbone.grid] * 2
    if 2 in axes:
        rows, columns = (min(side, MAX_FREE_PATCHES - 1) for side in view.backbone.grid)
        grids = [(rows, columns), (rows + 1, 1 + columns // 2)]
    largest = 0.
    for batch, grid in zip((1, 3), grids, strict=True):
        images = _images(view, batch, *grid)
        for found, expected in zip(session.run(None, {INPUT: images.numpy()}), view(images),
                                   strict=True):
            difference = (torch.from_numpy(found) - expected).abs().max() / expected.abs().max()
            largest = max(largest, difference.item())
    return largest
