from .conmim import ConMIM
from .data_preprocessor import ConMIMDataPreprocessor
from .head import ConMIMHead
from .patch_infonce import PatchInfoNCELoss, patch_infonce
from .projector import ConMIMProjector
from .teacher import EMATeacher
from .vit import ConMIMViT

__all__ = [
    'ConMIM', 'ConMIMDataPreprocessor', 'ConMIMHead', 'ConMIMProjector', 'ConMIMViT', 'EMATeacher',
    'PatchInfoNCELoss', 'patch_infonce'
]
