from .image_files import ImageFiles
from .loading import LoadRGBImage, PackConMIMInputs, read_rgb
from .masks import BlockPatchMask, RandomPatchMask
from .perturbation import TeacherPerturbation
from .sample_rng import EpochSeededSampler, InfiniteSeededSampler, SampleIndex, sample_rng
from .two_views import ConMIMTwoViews

__all__ = [
    'BlockPatchMask', 'ConMIMTwoViews', 'EpochSeededSampler', 'ImageFiles',
    'InfiniteSeededSampler', 'LoadRGBImage', 'PackConMIMInputs', 'RandomPatchMask', 'SampleIndex',
    'TeacherPerturbation', 'read_rgb', 'sample_rng'
]
