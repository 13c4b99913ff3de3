# ConMIM whose student encodes the visible patches alone (ours: docs/method.md), around a backbone,
# which the inheriting config puts in.
_base_ = 'conmim.py'
model = dict(
    backbone=dict(
        use_mask_token=False,
        # measured 3 points ahead of relative tables (docs/results.md)
        use_shared_rel_pos_bias=False,
        use_sincos_pos_emb=True,
        # Xavier as in MAE: beside the embedding the original's small weights leave little of the
        # patches, and a short run does not make up for it
        init_cfg=[
            dict(type='Xavier', layer='Linear', distribution='uniform'),
            dict(type='Caffe2Xavier', layer='Conv2d')
        ]),
    decoder=dict(
        type='CrossAttentionDecoder',
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform')),
    head=dict(centre_positions=True),
    # no projector: that of the student ends at the backbone's width and predicts its tokens
    teacher=dict(type='EMABackboneTeacher'))
