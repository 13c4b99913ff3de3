# ViT-L/16: the only place where this backbone is described.
backbone = dict(
    type='mmpretrain.ConMIMViT',
    arch=dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    img_size=224,
    patch_size=16,
    layer_scale_init_value=1e-5)
