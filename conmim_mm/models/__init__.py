from .backbones.conmim_vit import ConMIMViT
from .data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from .heads.conmim_head import ConMIMHead
from .layers.cross_process_bn import CrossProcessBN
from .losses.patch_infonce_loss import PatchInfoNCELoss, patch_infonce
from .necks.conmim_projector import ConMIMProjector
from .necks.simple_feature_pyramid import SimpleFeaturePyramid
from .pretrained import StrictPretrained
from .selfsup.conmim import ConMIM
from .selfsup.ema_teacher import EMATeacher

__all__ = [
    'ConMIM', 'ConMIMDataPreprocessor', 'ConMIMHead', 'ConMIMProjector', 'ConMIMViT',
    'CrossProcessBN', 'EMATeacher', 'PatchInfoNCELoss', 'SimpleFeaturePyramid', 'StrictPretrained',
    'patch_infonce'
]
