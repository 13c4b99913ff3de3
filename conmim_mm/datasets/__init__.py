from .coco_file import CocoFile
from .image_files import ImageFiles
from .labelled_folder import LabelledImages
from .labelled_maps import LabelledMaps
from .reading import ImageReading
from .sample_rng import SampleIndex, sample_rng
from .samplers.seeded_samplers import EpochSeededSampler, InfiniteSeededSampler
from .samplers.shard_sequential_sampler import ShardSequentialSampler
from .shards.tar_shards import TarShards
from .transforms.formatting import PackConMIMInputs
from .transforms.load_image import LoadImage, LoadRGBImage
from .transforms.loading import read_rgb
from .transforms.masks import BlockPatchMask, RandomPatchMask
from .transforms.perturbation import DevicePerturbation, TeacherPerturbation
from .transforms.resize_to_cover import ResizeToCover
from .transforms.two_views import ConMIMTwoViews, LoadTwoViews

__all__ = [
    'BlockPatchMask', 'CocoFile', 'ConMIMTwoViews', 'DevicePerturbation', 'EpochSeededSampler',
    'ImageFiles', 'ImageReading', 'InfiniteSeededSampler', 'LabelledImages', 'LabelledMaps',
    'LoadImage', 'LoadRGBImage', 'LoadTwoViews', 'PackConMIMInputs', 'RandomPatchMask',
    'ResizeToCover', 'SampleIndex', 'ShardSequentialSampler', 'TarShards', 'TeacherPerturbation',
    'read_rgb', 'sample_rng'
]
