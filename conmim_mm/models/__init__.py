from .backbones.conmim_vit import ConMIMViT
from .data_preprocessors.any_channels_data_preprocessor import AnyChannelsDataPreprocessor
from .data_preprocessors.conmim_data_preprocessor import ConMIMDataPreprocessor
from .decoders.cross_attention_decoder import CrossAttentionDecoder
from .decoders.hole_decoder import HoleDecoder
from .decoders.self_attention_decoder import SelfAttentionDecoder
from .heads.conmim_head import ConMIMHead
from .heads.tokens_and_pixels_head import TokensAndPixelsHead
from .layers.cross_process_bn import CrossProcessBN
from .losses.patch_infonce_loss import PatchInfoNCELoss, patch_infonce
from .necks.conmim_projector import ConMIMProjector
from .necks.simple_feature_pyramid import SimpleFeaturePyramid
from .pretrained import StrictPretrained
from .selfsup.conmim import ConMIM
from .selfsup.ema_teacher import EMABackboneTeacher, EMATeacher
from .selfsup.tokens_and_pixels_teacher import TokensAndPixelsTeacher

__all__ = [
    'AnyChannelsDataPreprocessor', 'ConMIM', 'ConMIMDataPreprocessor', 'ConMIMHead',
    'ConMIMProjector', 'ConMIMViT', 'CrossAttentionDecoder', 'CrossProcessBN', 'EMABackboneTeacher',
    'EMATeacher', 'HoleDecoder', 'PatchInfoNCELoss', 'SelfAttentionDecoder', 'SimpleFeaturePyramid',
    'StrictPretrained', 'TokensAndPixelsHead', 'TokensAndPixelsTeacher', 'patch_infonce'
]
