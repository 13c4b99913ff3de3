# A ViT that learns in minutes on two cores, for the demo: the only place where it is described.
backbone = dict(
    type='mmpretrain.ConMIMViT',
    arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
    img_size=64,
    patch_size=8,
    layer_scale_init_value=0.1,
    # of the student of visible patches; in tasks it starts at 0 where a checkpoint has none
    use_abs_pos_emb=True,
    # neighbours first from the start: short runs have no steps to learn that
    rel_pos_init_slope=2.)
