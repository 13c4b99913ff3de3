from .hooks.atomic_checkpoint_hook import AtomicCheckpointHook
from .hooks.bad_numbers_hook import BadNumbersHook
from .hooks.compile_hook import CompileHook
from .hooks.learning_monitor_hook import LearningMonitorHook
from .hooks.live_view.live_view_hook import LiveViewHook
from .hooks.loader_watch_hook import LoaderWatchHook
from .hooks.report_hook import ReportHook
from .hooks.skipped_images_hook import SkippedImagesHook
from .hooks.start_checks.start_checks_hook import StartChecksHook
from .hooks.step_log_hook import StepLogHook
from .hooks.step_timer_hook import StepTimerHook
from .hooks.stop_on_signal_hook import StopOnSignalHook
from .hooks.teacher_update_hook import TeacherUpdateHook
from .optimizers.amp_optim_wrapper import ConMIMAmpOptimWrapper
from .optimizers.guarded_optim_wrapper import GuardedOptimWrapper, NonFiniteError
from .optimizers.optim_constructor import (
    LayerDecayOptimWrapperConstructor,
    MergedOptimWrapperConstructor,
)
from .runners.brief_runner import BriefRunner
from .runners.feature_val_loop import FeatureValLoop
from .runners.resumable_loops import ResumableEpochLoop, ResumableIterLoop
from .runners.train_log_processor import TrainLogProcessor
from .schedulers.warmup_cosine_lr import WarmupCosineLR
from .strategies.fsdp_strategy import ConMIMFSDPStrategy

__all__ = [
    'AtomicCheckpointHook', 'BadNumbersHook', 'BriefRunner', 'CompileHook', 'ConMIMAmpOptimWrapper',
    'ConMIMFSDPStrategy', 'FeatureValLoop', 'GuardedOptimWrapper',
    'LayerDecayOptimWrapperConstructor', 'LearningMonitorHook', 'LiveViewHook', 'LoaderWatchHook',
    'MergedOptimWrapperConstructor', 'NonFiniteError', 'ReportHook', 'ResumableEpochLoop',
    'ResumableIterLoop', 'SkippedImagesHook', 'StartChecksHook', 'StepLogHook', 'StepTimerHook',
    'StopOnSignalHook', 'TeacherUpdateHook', 'TrainLogProcessor', 'WarmupCosineLR'
]
