"""Tiny models of other libraries with weights unlike any default, and where their weights lie."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import transformers
from mmpretrain.models import BEiTViT, MAEViT, VisionTransformer
from mmpretrain.models.selfsup.beit import BEiTPretrainViT
from safetensors.torch import save_file
from timm.models import beit, vision_transformer
from torch import nn

IMG_SIZE, WIDTH, HEADS = 56, 48, 3  # heads as no rule would guess
TIMM = dict(img_size=IMG_SIZE, embed_dim=WIDTH, depth=2, num_heads=HEADS, num_classes=3)
HF = dict(image_size=IMG_SIZE, patch_size=14, hidden_size=WIDTH, num_hidden_layers=2,
          num_attention_heads=HEADS, intermediate_size=80)
MM = dict(arch=dict(embed_dims=WIDTH, num_layers=2, num_heads=HEADS, feedforward_channels=80),
          img_size=IMG_SIZE, patch_size=14, out_type='raw', final_norm=True)
TABLES = dict(use_relative_position_bias=True, layer_scale_init_value=0.2)


def timm_vit(**arguments) -> Callable[[], nn.Module]:
    return lambda: vision_transformer.VisionTransformer(**TIMM | dict(patch_size=14) | arguments)


def timm_beit(**arguments) -> Callable[[], nn.Module]:
    return lambda: beit.Beit(**TIMM | dict(patch_size=14, init_values=0.1) | arguments)


def hf(name: str, **config) -> Callable[[], nn.Module]:
    kind = getattr(transformers, name)
    return lambda: kind(kind.config_class(**HF | config))


# Architectures, by what is particular in them.
MODELS = {
    'timm ViT': timm_vit(),
    'timm ViT, patch 16': timm_vit(img_size=64, patch_size=16, global_pool='avg'),
    'timm ViT, class token without position': timm_vit(no_embed_class=True, init_values=1e-2),
    'timm ViT without biases': timm_vit(qkv_bias=False, proj_bias=False),
    'timm CLIP': timm_vit(pre_norm=True, norm_layer=partial(nn.LayerNorm, eps=1e-5)),
    'timm BEiT, own tables': timm_beit(use_rel_pos_bias=True),
    'timm BEiT, shared table': timm_beit(use_shared_rel_pos_bias=True, global_pool=''),
    'HF BeitModel': hf('BeitModel', use_shared_relative_position_bias=True, use_mask_token=True,
                       use_mean_pooling=False),
    'HF BeitModel, pooled': hf('BeitModel', **TABLES),
    'HF BeitForMaskedImageModeling': hf('BeitForMaskedImageModeling', vocab_size=5, **TABLES),
    'HF Data2VecVisionModel': hf('Data2VecVisionModel', use_mean_pooling=False, **TABLES),
    'HF Data2VecVisionForImageClassification': hf('Data2VecVisionForImageClassification',
                                                  use_mean_pooling=True, **TABLES),
    'HF ViTModel': hf('ViTModel'),
    'HF ViTForMaskedImageModeling': hf('ViTForMaskedImageModeling', encoder_stride=14,
                                       qkv_bias=False),
    'HF ViTMAEModel': hf('ViTMAEModel', mask_ratio=0.),
    'HF ViTMAEForPreTraining': hf('ViTMAEForPreTraining', mask_ratio=0., decoder_hidden_size=16,
                                  decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
                                  decoder_intermediate_size=16),
    'HF Dinov2Model': hf('Dinov2Model', mlp_ratio=2),
    'HF Dinov2ForImageClassification': hf('Dinov2ForImageClassification', mlp_ratio=2),
    'mmpretrain BEiT': lambda: BEiTViT(**MM | dict(out_type='avg_featmap', final_norm=False)),
    'mmpretrain BEiT, pre-training': lambda: BEiTPretrainViT(**MM),
    'mmpretrain ViT': lambda: VisionTransformer(**MM | dict(layer_scale_init_value=0.3)),
    'mmpretrain CLIP': lambda: VisionTransformer(**MM | dict(
        pre_norm=True, norm_cfg=dict(type='LN', eps=1e-5))),
    'mmpretrain MAE': lambda: MAEViT(**MM),
}


def randomise(model: nn.Module) -> nn.Module:
    """Every parameter gets a value of its own, so that none can be missed or swapped unseen."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value += (1. if 'table' in name else .3) * torch.randn_like(value)
    model.eval()  # mmpretrain's gives nothing back
    return model


def save(model: nn.Module, folder: Path) -> Path:
    """As users of the library have it; gives the file or the folder."""
    if isinstance(model, transformers.PreTrainedModel):
        model.save_pretrained(folder)
        return folder
    folder.mkdir(exist_ok=True)
    if type(model).__module__.startswith('timm'):
        return save_for_timm(model, folder)
    state = {f'backbone.{key}': value for key, value in model.state_dict().items()}
    backbone = f'dict(type="{type(model).__name__}", arch={MM["arch"]!r}' + (
        ', norm_cfg=dict(type="LN", eps=1e-5))' if hasattr(model, 'pre_norm') and isinstance(
            model.pre_norm, nn.LayerNorm) else ')')
    text = (f'model = dict(backbone={backbone})\n'
            'data_preprocessor = dict(mean=[1., 2., 3.], std=[4., 5., 6.], to_rgb=True)')
    torch.save(dict(meta=dict(cfg=text), state_dict=state | {'neck.mask_token': torch.ones(1)}),
               folder / 'epoch_1.pth')
    return folder / 'epoch_1.pth'


def save_for_timm(model: nn.Module, folder: Path) -> Path:
    """A folder as of timm's hub; the architecture is one whose arguments become the model's."""
    vit = isinstance(model, vision_transformer.VisionTransformer)
    clip = vit and isinstance(model.norm_pre, nn.LayerNorm)
    config = dict(
        architecture='vit_base_patch16_clip_224' if clip else
        'vit_base_patch16_224' if vit else 'beit_base_patch16_224',
        model_args=dict(img_size=IMG_SIZE, patch_size=14, embed_dim=WIDTH, depth=2,
                        num_heads=HEADS, pretrained=True, checkpoint_path='/nowhere'),
        pretrained_cfg=dict(mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6]))
    (folder / 'config.json').write_text(json.dumps(config))
    save_file({key: value.clone() for key, value in model.state_dict().items()},
              folder / 'model.safetensors')
    return folder


def tokens(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """All tokens that the library's own code gives, class token first."""
    for part in ('vit', 'beit', 'data2vec_vision', 'dinov2'):
        if hasattr(model, part):
            whole, model = model, getattr(model, part)
            hidden = tokens(model, images)
            return whole.layernorm(hidden) if hasattr(whole, 'layernorm') else hidden
    if isinstance(model, transformers.ViTMAEModel):
        noise = torch.arange(16.).expand(len(images), -1)  # which shuffles nothing
        return model(images, noise=noise).last_hidden_state
    if isinstance(model, transformers.PreTrainedModel):
        return model(images).last_hidden_state
    if hasattr(model, 'forward_features'):
        return model.forward_features(images)
    if isinstance(model, MAEViT | BEiTPretrainViT):
        return model(images, None)[0]
    if isinstance(model, BEiTViT):  # which gives the mean only: without its norm, undone
        model.out_type = 'raw'
    return model(images)[0]
