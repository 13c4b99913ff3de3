from .conmim import ConMIM
from .cross_process_bn import CrossProcessBN
from .data_preprocessor import ConMIMDataPreprocessor
from .head import ConMIMHead
from .patch_infonce import PatchInfoNCELoss, patch_infonce
from .projector import ConMIMProjector
from .simple_feature_pyramid import SimpleFeaturePyramid
from .strict_pretrained import StrictPretrained
from .teacher import EMATeacher
from .vit import ConMIMViT

__all__ = [
    'ConMIM', 'ConMIMDataPreprocessor', 'ConMIMHead', 'ConMIMProjector', 'ConMIMViT',
    'CrossProcessBN', 'EMATeacher', 'PatchInfoNCELoss', 'SimpleFeaturePyramid', 'StrictPretrained',
    'patch_infonce'
]
