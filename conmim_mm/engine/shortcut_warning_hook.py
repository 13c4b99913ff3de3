"""Says so when a run finds the hidden patches too easily."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ..errors import InputError


@HOOKS.register_module()
class ShortcutWarningHook(Hook):
    """Warns once when nearly all hidden patches are found: positions are matched, not content.

    Args:
        threshold: Hit rate, averaged over ``interval`` iterations, above which it warns.
        interval: Iterations between two looks.

    Raises:
        InputError: A threshold outside 0 to 1.
    """

    priority = 'BELOW_NORMAL'

    def __init__(self, threshold: float = 0.9, interval: int = 100) -> None:
        if not 0 < threshold <= 1:
            raise InputError(f'threshold must lie in (0, 1], but is {threshold}')
        self.threshold = threshold
        self.interval = interval
        self.warned = False

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        if self.warned or not self.every_n_train_iters(runner, self.interval):
            return
        hit_rate = runner.message_hub.get_scalar('train/hit_rate').mean(self.interval)
        if hit_rate > self.threshold:
            self.warned = True
            runner.logger.warning(
                f'{hit_rate:.0%} of the hidden patches are found: the student matches positions '
                'rather than content. Is there an absolute position embedding (use_abs_pos_emb)? '
                'See docs/learning.md.')
