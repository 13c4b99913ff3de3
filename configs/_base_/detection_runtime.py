# The common runtime, in mmdetection's scope.
_base_ = 'default_runtime.py'

default_scope = 'mmdet'

default_hooks = dict(
    logger=dict(interval=50),
    visualization=dict(type='DetVisualizationHook'))

log_processor = dict(_delete_=True, window_size=50)

visualizer = dict(type='DetLocalVisualizer', name='visualizer')
