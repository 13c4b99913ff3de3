"""What a pre-training makes of one image, without the crop and the flip that are drawn."""

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmpretrain.registry import TRANSFORMS
from torch.utils.data import default_collate

from ..datasets.sample_rng import SampleIndex
from ..datasets.transforms.two_views import ConMIMTwoViews
from ..errors import InputError
from ..models.selfsup.conmim import ConMIM


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
    pipeline = Compose(central_pipeline(cfg))
    sample = pipeline(dict(img_path=str(path), sample_idx=SampleIndex(index, seed)))
    batch = default_collate([sample['inputs']])
    return model.data_preprocessor(dict(inputs=batch))['inputs']


def central_pipeline(cfg: Config) -> list[dict]:
    """The training pipeline of a config with its crop fixed.

    Raises:
        InputError: There is none, or no transform in it that makes the two views.
    """
    pipeline = cfg.get('train_dataloader', {}).get('dataset', {}).get('pipeline') or []
    fixed = []
    for transform in pipeline:
        if issubclass(TRANSFORMS.get(transform['type']) or object, ConMIMTwoViews):
            views = TRANSFORMS.build(transform)
            height, width = views.size
            transform = transform | dict(
                scale=(1., 1.), ratio=(width / height, width / height), flip_prob=0.)
        fixed.append(transform)
    if fixed == list(pipeline):
        raise InputError('the config has no training pipeline with LoadTwoViews or ConMIMTwoViews; '
                         'give that of the pre-training with --config')
    return fixed
