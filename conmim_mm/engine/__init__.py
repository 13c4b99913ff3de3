from .amp_optim_wrapper import ConMIMAmpOptimWrapper
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .bad_numbers_hook import BadNumbersHook
from .brief_runner import BriefRunner
from .checkpoint_loaders import register_loaders
from .compile_hook import CompileHook
from .fsdp_strategy import ConMIMFSDPStrategy
from .guarded_optim_wrapper import GuardedOptimWrapper, NonFiniteError
from .learning_monitor_hook import LearningMonitorHook
from .live_view_hook import LiveViewHook
from .loader_watch_hook import LoaderWatchHook
from .online_evaluation_hook import OnlineEvaluationHook
from .optim_constructor import LayerDecayOptimWrapperConstructor, MergedOptimWrapperConstructor
from .report_hook import ReportHook
from .resumable_loops import ResumableEpochLoop, ResumableIterLoop
from .skipped_images_hook import SkippedImagesHook
from .start_checks_hook import StartChecksHook
from .step_log_hook import StepLogHook
from .step_timer_hook import StepTimerHook
from .stop_on_signal_hook import StopOnSignalHook
from .teacher_update_hook import TeacherUpdateHook
from .train_log_processor import TrainLogProcessor
from .wandb_run_backend import WandbRunBackend
from .warmup_cosine_lr import WarmupCosineLR

__all__ = [
    'AtomicCheckpointHook', 'BadNumbersHook', 'BriefRunner', 'CompileHook', 'ConMIMAmpOptimWrapper',
    'ConMIMFSDPStrategy', 'GuardedOptimWrapper', 'LayerDecayOptimWrapperConstructor',
    'LearningMonitorHook', 'LiveViewHook', 'LoaderWatchHook', 'MergedOptimWrapperConstructor',
    'NonFiniteError', 'OnlineEvaluationHook', 'ReportHook', 'ResumableEpochLoop',
    'ResumableIterLoop', 'SkippedImagesHook', 'StartChecksHook', 'StepLogHook', 'StepTimerHook',
    'StopOnSignalHook', 'TeacherUpdateHook', 'TrainLogProcessor', 'WandbRunBackend',
    'WarmupCosineLR'
]

register_loaders()
