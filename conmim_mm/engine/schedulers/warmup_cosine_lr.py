"""The learning rate of every optimizer step."""

from mmengine.optim import OptimWrapper
from mmpretrain.registry import PARAM_SCHEDULERS
from torch.optim import Optimizer

from ...errors import InputError
from ..private_names import ParamScheduler
from .curves import num_optimizer_steps, optimizer_step, warmup_cosine


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(ParamScheduler):
    """Linear warm-up from 0, then a cosine to ``eta_min``; per step, in closed form.

    One curve for all parameter groups: a group whose rate is k times the optimizer's keeps that
    factor throughout, at the end too. With gradient accumulation the curve counts optimizer steps,
    so all batches of one step see one rate. Follows the original implementation (BEiT's schedule).

    As MMEngine's schedulers it counts iterations itself; lengths in epochs need
    ``by_epoch=True, convert_to_iter_based=True`` in the config.

    Args:
        optimizer: The optimizer or its wrapper.
        warmup: Length of the warm-up.
        eta_min: Value the cosine heads for, for a group with the optimizer's own rate.
        end: Length of the whole curve. The runner fills in its own.
        by_epoch: False, once converted.
        last_step: As in MMEngine.
        verbose: As in MMEngine.

    Raises:
        InputError: A warm-up as long as the run, or lengths in epochs that are not converted.
    """

    def __init__(self,
                 optimizer: Optimizer | OptimWrapper,
                 warmup: int,
                 eta_min: float,
                 end: int,
                 by_epoch: bool = True,
                 last_step: int = -1,
                 verbose: bool = False) -> None:
        if by_epoch:
            raise InputError('WarmupCosineLR changes the rate with every step: set '
                             'convert_to_iter_based=True, or by_epoch=False and give iterations')
        if not 0 <= warmup < end:
            raise InputError(f'the warm-up ({warmup} iterations) must be shorter than the run '
                             f'({end} iterations)')
        self.accumulative_counts = getattr(optimizer, '_accumulative_counts', 1)
        self.warmup_steps = round(warmup / self.accumulative_counts)
        self.total_steps = num_optimizer_steps(end, self.accumulative_counts)
        self.eta_min = eta_min
        self.peak = getattr(optimizer, 'optimizer', optimizer).defaults['lr']
        super().__init__(optimizer, 'lr', end=end, last_step=last_step, by_epoch=False,
                         verbose=verbose)

    @classmethod
    def build_iter_from_epoch(cls,
                              *args,
                              warmup: float,
                              end: int,
                              epoch_length: int,
                              by_epoch: bool = True,
                              **kwargs) -> 'WarmupCosineLR':
        """Builds the schedule from lengths in epochs, as MMEngine's schedulers do.

        Args:
            *args: As in the constructor.
            warmup: Epochs of the warm-up; a fraction is possible.
            end: Epochs of the whole curve.
            epoch_length: Iterations of an epoch.
            by_epoch: True; MMEngine's registry converts no other schedule.
            **kwargs: As in the constructor.
        """
        if not epoch_length:
            raise InputError('there are fewer images than one batch; lower '
                             'train_dataloader.batch_size or add images')
        return cls(*args, warmup=round(warmup * epoch_length), end=end * epoch_length,
                   by_epoch=False, **kwargs)

    def load_state_dict(self, state_dict: dict) -> None:
        """Takes over where the schedule stands; its shape stays the config's.

        So a resumed run may be longer than it was planned: everything else is in closed form.
        """
        progress = ('_global_step', 'base_values', '_last_value')
        super().load_state_dict({key: state_dict[key] for key in progress})
        # MMEngine stops counting last_step at the end of the curve; this end may lie further on
        self.last_step = min(self._global_step, self.end - 1)
        for group, rate in zip(self.optimizer.param_groups, self._get_value(), strict=True):
            group['lr'] = rate

    def _get_value(self) -> list[float]:
        step = optimizer_step(self.last_step, self.accumulative_counts)
        rate = warmup_cosine(self.peak, self.eta_min, step, self.total_steps, self.warmup_steps)
        return [rate * base / self.peak for base in self.base_values]
