# mmpretrain's way: pictures of predictions on request (tools/test.py --show-dir).
_base_ = 'default_runtime.py'

default_hooks = dict(visualization=dict(type='VisualizationHook', enable=False))
