"""What bench_data.py compares: each makes the sample of an index from a list of files."""

from collections.abc import Callable
from pathlib import Path

import mmpretrain
import numpy as np
import torchvision.transforms as T
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader

from conmim_mm.datasets import ImageFiles, SampleIndex
from conmim_mm.datasets.transforms import jpeg_region
from conmim_mm.datasets.transforms.loading import FORMATS
from conmim_mm.datasets.transforms.masks import RandomPatchMask
from conmim_mm.errors import InputError
from conmim_mm.models.data_preprocessors.conmim_data_preprocessor import IMAGENET_MEAN, IMAGENET_STD

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

CONFIG = Path(__file__).parents[2] / 'configs/conmim/vit-b_8xb256.py'
MMPRETRAIN = Path(mmpretrain.__file__).parent / '.mim/configs/_base_/datasets'

Sample = Callable[[int], object]


def image_paths(folder: str, count: int) -> list[str]:
    """The first JPEG files of a folder.

    Raises:
        InputError: No such folder, none in it, or no simplejpeg to compare with.
    """
    if not Path(folder).is_dir():
        raise InputError(f'no such folder: {folder}')
    if simplejpeg is None:
        raise InputError('nothing to compare with: pip install simplejpeg')
    dataset = ImageFiles(data_root=folder, extensions=('.jpg', '.jpeg'))
    return [dataset.get_data_info(i)['img_path'] for i in range(min(count, len(dataset)))]


def conmim_pipeline(size: int) -> list[dict]:
    """That of the ImageNet recipes, for views of another size."""
    pipeline = Config.fromfile(CONFIG).train_pipeline
    pipeline[0]['size'] = pipeline[1]['img_size'] = size
    return pipeline


def decode_with_libjpeg_turbo(paths: list[str], size: int) -> Sample:
    memory = np.empty(2**25, dtype=np.uint8)  # as our own does, not new memory for each

    def sample(index: int) -> object:
        with open(paths[index], 'rb') as file:
            return simplejpeg.decode_jpeg(file.read(), strict=False, buffer=memory)

    return sample


def conmim(paths: list[str], size: int) -> Sample:
    return seeded(paths, conmim_pipeline(size))


def conmim_with_device_perturbation(paths: list[str], size: int) -> Sample:
    pipeline = conmim_pipeline(size)
    pipeline[0]['perturbation']['type'] = 'DevicePerturbation'
    return seeded(paths, pipeline)


def conmim_of_whole_images(paths: list[str], size: int) -> Sample:
    pipeline = conmim_pipeline(size)
    pipeline[0]['type'] = 'ConMIMTwoViews'
    return seeded(paths, [dict(type='LoadRGBImage'), *pipeline])


def conmim_without_simplejpeg(paths: list[str], size: int) -> Sample:
    sample = conmim(paths, size)

    def without(index: int) -> object:
        decoder, jpeg_region.simplejpeg = jpeg_region.simplejpeg, None
        try:
            return sample(index)
        finally:
            jpeg_region.simplejpeg = decoder

    return without


def torchvision(paths: list[str], size: int) -> Sample:
    """The same steps as the original implementation has them: Pillow images, float views."""
    crop = T.Compose([T.RandomHorizontalFlip(), T.RandomResizedCrop(
        size, interpolation=T.InterpolationMode.BICUBIC)])
    perturbation = T.Compose([
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8), T.RandomGrayscale(0.2),
        T.RandomApply([T.GaussianBlur(13, (0.1, 2.0))], p=0.1), T.RandomSolarize(128, 0.2)])
    mean, std = (tuple(level / 255 for level in levels) for levels in (IMAGENET_MEAN, IMAGENET_STD))
    to_tensor = T.Compose([T.ToTensor(), T.Normalize(mean, std)])
    mask, rng = RandomPatchMask(size), np.random.default_rng(0)

    def sample(index: int) -> object:
        view = crop(Image.open(paths[index], formats=FORMATS).convert('RGB'))
        return to_tensor(view), to_tensor(perturbation(view)), mask.draw(rng)

    return sample


def beit(paths: list[str], size: int) -> Sample:
    pipeline = Config.fromfile(MMPRETRAIN / 'imagenet_bs256_beitv2.py').train_pipeline
    pipeline[3]['size'] = pipeline[3]['second_size'] = size
    pipeline[4]['input_size'] = (size // 16, size // 16)
    return listed(paths, pipeline).__getitem__


VARIANTS: dict[str, Callable[[list[str], int], Sample]] = {
    'decoding alone, libjpeg-turbo': decode_with_libjpeg_turbo,
    'ConMIM, default': conmim,
    'ConMIM, perturbed on the device': conmim_with_device_perturbation,
    'ConMIM, without simplejpeg': conmim_without_simplejpeg,
    'ConMIM, LoadRGBImage and ConMIMTwoViews': conmim_of_whole_images,
    'the same steps in Pillow and torchvision': torchvision,
    "mmpretrain's BEiT": beit,
}


def listed(paths: list[str], pipeline: list[dict]) -> ImageFiles:
    """A data set of these files."""
    folder = Path(paths[0]).parent
    dataset = ImageFiles(data_root=str(folder), pipeline=pipeline, lazy_init=True)
    dataset.load_data_list = lambda: [dict(img_path=path) for path in paths]
    dataset.full_init()
    return dataset


def seeded(paths: list[str], pipeline: list[dict]) -> Sample:
    """Samples as with this project's samplers: random numbers by index."""
    dataset = listed(paths, pipeline)
    return lambda index: dataset[SampleIndex(index)]


def build_loader(paths: list[str], size: int, batch: int, workers: int) -> DataLoader:
    """The loader of the ImageNet recipes."""
    settings = Config.fromfile(CONFIG).train_dataloader
    settings.pop('dataset')
    settings.update(batch_size=batch, num_workers=workers, persistent_workers=workers > 0,
                    pin_memory=False)
    # so many that no epoch ends, with its short wait, within a measurement
    return Runner.build_dataloader(
        dict(settings, dataset=listed(paths * 40, conmim_pipeline(size))), seed=0)
