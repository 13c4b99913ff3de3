# The common runtime, in mmsegmentation's scope and counted in iterations.
_base_ = 'default_runtime.py'

default_scope = 'mmseg'

default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=16000),
    visualization=dict(type='SegVisualizationHook'))

log_processor = dict(_delete_=True, by_epoch=False)

visualizer = dict(type='SegLocalVisualizer')

# --tta tests at several scales and flipped; the pipeline for it is the data set's
tta_model = dict(type='SegTTAModel')
