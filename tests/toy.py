"""A ConMIM small enough for tests: 32 px, patch 8, two blocks."""

import torch
from mmpretrain.registry import MODELS

import conmim_mm  # noqa: F401

IMG_SIZE = 32
PATCH_SIZE = 8
NUM_PATCHES = 16
ARCH = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)


def backbone_cfg(**overrides) -> dict:
    return dict(
        type='ConMIMViT', arch=ARCH, img_size=IMG_SIZE, patch_size=PATCH_SIZE,
        use_mask_token=True) | overrides


def model_cfg(**backbone_overrides) -> dict:
    return dict(
        type='ConMIM',
        backbone=backbone_cfg(**backbone_overrides),
        neck=dict(type='ConMIMProjector', in_channels=24, hid_channels=32, out_channels=16),
        head=dict(type='ConMIMHead', loss=dict(type='PatchInfoNCELoss', temperature=0.1)))


def build_model(**backbone_overrides):
    model = MODELS.build(model_cfg(**backbone_overrides))
    model.init_weights()
    return model


def random_inputs(batch: int = 4, size: tuple[int, int] = (IMG_SIZE, IMG_SIZE),
                  patch: int = PATCH_SIZE) -> dict[str, torch.Tensor]:
    """Views, already normalised, and a mask with the same number of holes in every image."""
    num_patches = size[0] * size[1] // patch**2
    mask = torch.zeros(batch, num_patches, dtype=torch.bool)
    for row in mask:
        row[torch.randperm(num_patches)[:num_patches // 2]] = True
    return dict(
        student_view=torch.randn(batch, 3, *size),
        teacher_view=torch.randn(batch, 3, *size),
        mask=mask)
