# ViT-B/16: the only place where this backbone is described.
backbone = dict(
    type='mmpretrain.ConMIMViT',
    arch=dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072),
    img_size=224,
    patch_size=16,
    layer_scale_init_value=0.1)
