"""What the scripts in tools/visualization share."""

import argparse
import io
from pathlib import Path

import torch
from mmengine.device import get_device
from PIL import Image

from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS
from conmim_mm.errors import InputError
from conmim_mm.models.backbones.conmim_vit import ConMIMViT
from conmim_mm.models.selfsup.conmim import ConMIM
from conmim_mm.utils.files import check_place
from conmim_mm.utils.run_config import add_trust_argument
from conmim_mm.visualization.load_model import load_pretraining
from conmim_mm.visualization.views import views_of_image


def add_picture_arguments(parser: argparse.ArgumentParser, images: int | str = '+') -> None:
    """Adds the checkpoint, the images and the options that all of these scripts have.

    Args:
        parser: Of the script.
        images: How many images it takes, as argparse's ``nargs``.
    """
    parser.add_argument('checkpoint', help='pre-training checkpoint')
    parser.add_argument('images', nargs=images, metavar='IMAGE', help='image file, of any format '
                        'and size; the largest central part of the proportions that the model was '
                        'trained on is taken')
    add_model_arguments(parser)


def add_seed_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the seed of what is drawn for the look-up."""
    parser.add_argument('--seed', type=int, default=0,
                        help='of mask and perturbation, which are drawn (default: 0)')


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds where the picture goes and where the config comes from."""
    parser.add_argument('--out', type=Path, required=True, metavar='FILE.png',
                        help='picture to write')
    parser.add_argument('--config', help='pre-training config, which is run; default: the copy in '
                        'the checkpoint, which is only read')
    add_trust_argument(parser)


def add_weights_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the choice between student and teacher."""
    parser.add_argument('--weights', choices=WHOSE_WEIGHTS, default='teacher',
                        help='whose (default: teacher)')


def load_with_views(args: argparse.Namespace,
                    seed: int = 0) -> tuple[ConMIM, dict[str, torch.Tensor]]:
    """The model, and the views of all images, on this machine's device.

    Args:
        args: With the options of :func:`add_picture_arguments`.
        seed: Of mask and perturbation.

    Raises:
        InputError: The checkpoint, its config or an image cannot be used.
    """
    check_picture_file(args.out)
    model, cfg = load_pretraining(args.checkpoint, args.config)
    model = model.to(get_device())
    views = [views_of_image(model, cfg, path, seed, index)
             for index, path in enumerate(args.images)]
    return model, {key: torch.cat([view[key] for view in views]) for key in views[0]}


def backbone_of(model: ConMIM, weights: str) -> ConMIMViT:
    """The student's or the teacher's backbone."""
    return model.teacher.backbone if weights == 'teacher' else model.backbone


def check_picture_file(path: Path) -> None:
    """Fails early where a picture could not be written.

    Raises:
        InputError: A folder, not the name of a picture, or a place where no file can be.
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
    check_place(path)
