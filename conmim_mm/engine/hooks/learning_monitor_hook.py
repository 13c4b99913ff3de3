"""Says so when a run learns nothing, or nothing of use."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...distributed.sharded import unwrap_model
from ...errors import InputError
from ...evaluation import learning_signs as signs
from ...evaluation.tokens import effective_rank, mean_similarity
from ..schedulers.warmup_cosine_lr import WarmupCosineLR
from ..watching import only_watches


@HOOKS.register_module()
class LearningMonitorHook(Hook):
    """Looks at a run every so often, logs what it sees, and warns once of each thing that is wrong.

    - A positional shortcut: nearly all hidden patches are found.
    - Chance: after the warm-up and a grace as long again, hardly more of them are found than by
      guessing. The warm-up is that of the run's :class:`WarmupCosineLR`, if it has one; the
      grace is at least a twentieth of the run.
    - Collapse: the teacher's projected tokens of an image are all alike, or not finite.

    It logs ``feature_rank``, the effective rank of the teacher's projected patch tokens, and
    ``teacher_similarity``, the mean cosine similarity of two of an image; both of the batch at
    which it looks, on this process. Between two looks it costs nothing.

    Args:
        interval: Iterations between two looks; hit rates are averaged over them.
        shortcut_hit_rate: Above this hit rate it warns of a shortcut.
        chance_factor: Below so many times the hit rate of guessing it warns of chance.
        collapse_similarity: Above this similarity it warns of a collapse.

    Raises:
        InputError: A hit rate or a similarity outside 0 to 1; at the start of a run, a model
            without a teacher.
    """

    # Before the logger, so that what is logged belongs to the iteration it is logged with.
    priority = 'NORMAL'

    def __init__(self,
                 interval: int = 100,
                 shortcut_hit_rate: float = signs.SHORTCUT_HIT_RATE,
                 chance_factor: float = signs.CHANCE_FACTOR,
                 collapse_similarity: float = signs.COLLAPSE_SIMILARITY) -> None:
        for name, value in dict(shortcut_hit_rate=shortcut_hit_rate,
                                collapse_similarity=collapse_similarity).items():
            if not 0 < value <= 1:
                raise InputError(f'{name} must lie in (0, 1], but is {value}')
        self.interval = interval
        self.shortcut_hit_rate = shortcut_hit_rate
        self.chance_factor = chance_factor
        self.collapse_similarity = collapse_similarity
        self._warned: set[str] = set()
        self._handle = None

    @only_watches
    def before_train(self, runner: Runner) -> None:
        if not hasattr(unwrap_model(runner.model), 'teacher'):
            raise InputError('LearningMonitorHook needs a model with a teacher, such as ConMIM')
        self._judges_from = grace_period_end(runner)

    @only_watches
    def before_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if self.every_n_train_iters(runner, self.interval):
            teacher = unwrap_model(runner.model).teacher
            self._handle = teacher.register_forward_hook(self._keep_tokens)

    def _keep_tokens(self, teacher: torch.nn.Module, args: tuple, tokens: torch.Tensor) -> None:
        self._tokens = tokens

    @only_watches
    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        if self._handle is None:
            return
        self._handle.remove()
        self._handle = None
        model = unwrap_model(runner.model)
        tokens = model.head.of_patches(
            self._tokens, self._tokens.shape[1] - model.backbone.num_extra_tokens)
        del self._tokens
        similarity = mean_similarity(tokens)
        runner.message_hub.update_scalar('train/teacher_similarity', similarity)
        runner.message_hub.update_scalar('train/feature_rank', effective_rank(tokens))
        if not similarity <= self.collapse_similarity:  # or NaN
            self._warn_once(runner, signs.COLLAPSE, similarity=similarity)

        hit_rate = runner.message_hub.get_scalar('train/hit_rate').mean(self.interval)
        chance = 1 / tokens.shape[1]
        if hit_rate > self.shortcut_hit_rate:
            self._warn_once(runner, signs.SHORTCUT, hit_rate=hit_rate)
        if runner.iter >= self._judges_from and hit_rate < self.chance_factor * chance:
            self._warn_once(runner, signs.CHANCE, hit_rate=hit_rate, chance=chance)

    def _warn_once(self, runner: Runner, message: str, **values: float) -> None:
        if message not in self._warned:
            self._warned.add(message)
            runner.logger.warning(message.format(**values))


def grace_period_end(runner: Runner) -> int:
    """The iteration from which on a run should find more than chance."""
    schedulers = runner.param_schedulers
    if isinstance(schedulers, dict):
        schedulers = [item for items in schedulers.values() for item in items]
    warmup = max((scheduler.warmup_steps * scheduler.accumulative_counts
                  for scheduler in schedulers or [] if isinstance(scheduler, WarmupCosineLR)),
                 default=0)
    return warmup + max(warmup, runner.max_iters // 20)
