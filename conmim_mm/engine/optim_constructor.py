"""Optimizer groups: as few as there are different settings."""

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ..errors import InputError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with one group per setting in place of one per parameter.

    Few groups let the optimizer work on many tensors at once (foreach, fused). Parameters without
    gradient (the teacher's) are left out.

    ``paramwise_cfg`` understands two of MMEngine's keys:

    - ``flat_decay_mult``: factor of the weight decay of all 1-D parameters, biases and norms.
    - ``custom_keys``: part of a parameter's name to ``dict(lr_mult=..., decay_mult=...)``; the
      longest matching key wins and overrules ``flat_decay_mult``, as in MMEngine.

    Raises:
        InputError: Another key in ``paramwise_cfg`` or in a custom key, or a custom key with an
            ``lr_mult`` other than 1 that matches no parameter.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        _reject_unknown('paramwise_cfg', self.paramwise_cfg, {'flat_decay_mult', 'custom_keys'})
        for key, setting in self.custom_keys.items():
            _reject_unknown(f'custom_keys[{key!r}]', setting, {'lr_mult', 'decay_mult'})

    @property
    def custom_keys(self) -> dict:
        return self.paramwise_cfg.get('custom_keys', {})

    def add_params(self, params: list[dict], module: nn.Module, **_: object) -> None:
        """Appends the merged groups of ``module`` to ``params``."""
        groups: dict[tuple[float, float], dict] = {}
        used = set()
        for name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            key = max((key for key in self.custom_keys if key in name), key=len, default=None)
            if key is not None:
                used.add(key)
                setting = self.custom_keys[key]
                mults = setting.get('lr_mult', 1.), setting.get('decay_mult', 1.)
            else:
                flat = param.ndim <= 1
                mults = 1., self.paramwise_cfg.get('flat_decay_mult', 1.) if flat else 1.
            lr_mult, decay_mult = mults
            group = groups.setdefault(
                mults,
                dict(
                    params=[],
                    lr=self.base_lr * lr_mult,
                    weight_decay=(self.base_wd or 0.) * decay_mult))
            group['params'].append(param)

        for key in set(self.custom_keys) - used:
            if self.custom_keys[key].get('lr_mult', 1.) != 1.:
                raise InputError(f'custom_keys[{key!r}] sets a learning rate but matches no '
                                 'parameter; remove it or correct the name')
        for group in groups.values():
            count = sum(param.numel() for param in group['params'])
            print_log(
                f'optimizer group: lr {group["lr"]:.3g}, weight decay {group["weight_decay"]:.3g}, '
                f'{len(group["params"])} tensors, {count:,} parameters',
                logger='current')
        params.extend(groups.values())


def _reject_unknown(what: str, given: dict, known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(f'{what} has unknown keys {unknown}; known are {sorted(known)}')
