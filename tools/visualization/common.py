"""What the scripts in tools/visualization share."""

import argparse
import io
from pathlib import Path

import torch
from load_model import load_pretraining
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torch.utils.data import default_collate

from conmim_mm.checkpoint.settings import component
from conmim_mm.datasets.sample_rng import SampleIndex
from conmim_mm.datasets.transforms.two_views import ConMIMTwoViews
from conmim_mm.errors import InputError
from conmim_mm.models.selfsup.conmim import ConMIM
from conmim_mm.utils.cli import add_overwrite_argument, add_trust_argument
from conmim_mm.utils.files import check_new


def views_of_image(model: ConMIM, cfg: Config, path: str, seed: int = 0,
                   index: int = 0) -> dict[str, torch.Tensor]:
    """Views and mask of an image file, as the model takes them in training.

    The image goes through the config's own pipeline, only that the crop is the largest one in the
    middle of the views' proportions, and nothing is flipped. Perturbation and mask are drawn.

    Args:
        model: Its data preprocessor is used, on its device.
        cfg: A pre-training config.
        path: The image, of any format and size.
        seed: Of perturbation and mask.
        index: Images of different index get masks of their own.

    Returns:
        ``student_view`` and ``teacher_view`` ``(1, 3, H, W)``, normalised, and ``mask`` ``(1, L)``.

    Raises:
        InputError: The config has no pipeline of this project.
        UnreadableImageError: The image is missing or cannot be read.
    """
    pipeline = Compose(centre_crop_pipeline(cfg))
    sample = pipeline(dict(img_path=str(path), sample_idx=SampleIndex(index, seed)))
    batch = default_collate([sample['inputs']])
    return model.data_preprocessor(dict(inputs=batch))['inputs']


def centre_crop_pipeline(cfg: Config) -> list[dict]:
    """The training pipeline of a config with its crop fixed.

    Raises:
        InputError: There is none, or no transform in it that makes the two views.
    """
    pipeline = cfg.get('train_dataloader', {}).get('dataset', {}).get('pipeline') or []
    fixed = []
    for transform in pipeline:
        if issubclass(component(transform, TRANSFORMS) or object, ConMIMTwoViews):
            views = TRANSFORMS.build(transform)
            height, width = views.size
            transform = transform | dict(
                scale=(1., 1.), ratio=(width / height, width / height), flip_prob=0.)
        fixed.append(transform)
    if fixed == list(pipeline):
        raise InputError('the config has no training pipeline with LoadTwoViews or ConMIMTwoViews; '
                         'give that of the pre-training with --config')
    return fixed


def add_model_arguments(parser: argparse.ArgumentParser, images: int | str = '+') -> None:
    """Adds the checkpoint, where its config comes from, and the images.

    Args:
        parser: Of the script.
        images: How many images it takes, as argparse's ``nargs``.
    """
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    parser.add_argument('images', nargs=images, metavar='IMAGE', help='image file, of any format '
                        'and size; the largest central part of the proportions that the model was '
                        'trained on is taken')
    parser.add_argument('--config', help='pre-training config, which is run; default: the copy in '
                        'the checkpoint, which is only read')
    add_trust_argument(parser)


def add_out_argument(parser: argparse.ArgumentParser) -> None:
    """Adds where the picture goes, and whether another gives way to it."""
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.png',
                        help='picture to write')
    add_overwrite_argument(parser)


def load_with_views(args: argparse.Namespace,
                    seed: int = 0) -> tuple[ConMIM, dict[str, torch.Tensor]]:
    """The model, and the views of all images, on this machine's device.

    Args:
        args: With those of :func:`add_model_arguments`.
        seed: Of mask and perturbation.

    Raises:
        InputError: The checkpoint, its config or an image cannot be used.
    """
    model, cfg = load_pretraining(args.checkpoint, args.config)
    model = model.to(get_device())
    views = [views_of_image(model, cfg, path, seed, index)
             for index, path in enumerate(args.images)]
    return model, {key: torch.cat([view[key] for view in views]) for key in views[0]}


def check_picture_file(path: Path, overwrite: bool = False) -> None:
    """Fails early where a picture could not be written.

    Raises:
        InputError: A folder, not the name of a picture, a file that is there already, or a place
            where none can be.
    """
    if path.is_dir():
        raise InputError(f'{path} is a folder; give the picture a name, such as '
                         f'{path / "picture.png"}')
    kind = Image.registered_extensions().get(path.suffix.lower())
    try:
        # Pillow knows formats that it only reads, or that hold no colours
        Image.new('RGB', (1, 1)).save(io.BytesIO(), kind)
    except (KeyError, OSError, ValueError):
        raise InputError(f'{path} is not the name of a picture; take one that ends with '
                         '.png') from None
    check_new(path, overwrite)
