# A ViT that learns in minutes on two cores, for the demo: the only place where it is described.
backbone = dict(
    type='mmpretrain.ConMIMViT',
    arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
    img_size=64,
    patch_size=8,
    layer_scale_init_value=0.1)
