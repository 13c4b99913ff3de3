# The common runtime, with the hooks of a pre-training.
_base_ = 'default_runtime.py'

default_hooks = dict(
    # warns of a shortcut, of learning nothing and of a collapse
    learning_monitor=dict(type='mmpretrain.LearningMonitorHook'),
    # momentum=0, end_momentum=0 switches the asymmetric progress off
    teacher=dict(type='mmpretrain.TeacherUpdateHook', momentum=0.996, end_momentum=1.0),
    # skipped.txt in the work dir; ends the run past this share of unreadable images
    skipped_images=dict(type='mmpretrain.SkippedImagesHook', max_share=0.01),
    # a loss or gradient that is not finite: names the images, saves the state before it
    bad_numbers=dict(type='mmpretrain.BadNumbersHook'))
