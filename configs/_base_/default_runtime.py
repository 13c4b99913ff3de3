default_scope = 'mmpretrain'
custom_imports = dict(imports=['conmim_mm.registration'], allow_failed_imports=False)

# NAME=None switches any of them off
default_hooks = dict(
    # refuses data, labels and checkpoints that do not fit, before the first step
    start_checks=dict(type='mmpretrain.StartChecksHook'),
    runtime_info=dict(type='mmpretrain.StepLogHook'),
    timer=dict(type='mmpretrain.StepTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='mmpretrain.AtomicCheckpointHook', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # SIGTERM, SIGINT and SIGUSR1: end the step, save, exit with 143
    stop=dict(type='mmpretrain.StopOnSignalHook'),
    # at a terminal one line in place of the log's
    live=dict(type='mmpretrain.LiveViewHook'),
    # warns once if more than this share of the time goes into waiting for data
    loader=dict(type='mmpretrain.LoaderWatchHook', max_share=0.2),
    # report.html in the work dir, for a browser
    report=dict(type='mmpretrain.ReportHook'))

# MMEngine averages losses over the window, but shows the last value of anything else.
log_processor = dict(
    type='mmpretrain.TrainLogProcessor',
    window_size=20,
    custom_cfg=[
        dict(data_src=name, method_name='mean', window_size=20)
        for name in ('hit_rate', 'positive_similarity', 'negative_similarity')
    ])

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
