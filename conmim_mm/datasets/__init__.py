from .image_files import ImageFiles
from .loading import LoadRGBImage, PackConMIMInputs, read_rgb
from .masks import BlockPatchMask, RandomPatchMask
from .perturbation import DevicePerturbation, TeacherPerturbation
from .sample_rng import EpochSeededSampler, InfiniteSeededSampler, SampleIndex, sample_rng
from .shard_sampler import ShardSequentialSampler
from .tar_shards import TarShards
from .two_views import ConMIMTwoViews, LoadTwoViews

__all__ = [
    'BlockPatchMask', 'ConMIMTwoViews', 'DevicePerturbation', 'EpochSeededSampler', 'ImageFiles',
    'InfiniteSeededSampler', 'LoadRGBImage', 'LoadTwoViews', 'PackConMIMInputs', 'RandomPatchMask',
    'SampleIndex', 'ShardSequentialSampler', 'TarShards', 'TeacherPerturbation', 'read_rgb',
    'sample_rng'
]
