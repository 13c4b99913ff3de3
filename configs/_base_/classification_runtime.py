# mmpretrain's way: pictures of predictions on request (tools/test.py --show-dir).
_base_ = 'default_runtime.py'

default_hooks = dict(
    # the best top-1 too, as the original code; 'auto' is the evaluator's first metric
    checkpoint=dict(save_best='auto'),
    visualization=dict(type='VisualizationHook', enable=False))
