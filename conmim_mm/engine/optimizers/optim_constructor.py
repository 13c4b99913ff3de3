"""Optimizer groups: as few as there are different settings."""

from collections import Counter
from collections.abc import Set

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmpretrain.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ...distributed.sharded import clean_name, parameter_shapes
from ...errors import InputError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with one group per setting in place of one per parameter.

    Few groups let the optimizer work on many tensors at once (foreach, fused). Parameters without
    gradient (the teacher's) are left out.

    ``paramwise_cfg`` understands two of MMEngine's keys:

    - ``flat_decay_mult``: factor of the weight decay of all 1-D parameters, biases and norms.
    - ``custom_keys``: part of a parameter's name to ``dict(lr_mult=..., decay_mult=...)``; the
      longest matching key wins and overrules ``flat_decay_mult``, as in MMEngine, but with a
      ``decay_mult`` of None.

    Raises:
        InputError: Another key in ``paramwise_cfg`` or in a custom key, or a custom key with an
            ``lr_mult`` other than 1 that matches no parameter.
    """

    known_keys = frozenset({'flat_decay_mult', 'custom_keys'})

    def __call__(self, model: nn.Module) -> OptimWrapper:
        self.shapes = parameter_shapes(model)  # a process may hold pieces only
        return super().__call__(model)

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        _reject_unknown('paramwise_cfg', self.paramwise_cfg, self.known_keys)
        for key, setting in self.custom_keys.items():
            _reject_unknown(f'custom_keys[{key!r}]', setting, {'lr_mult', 'decay_mult'})

    @property
    def custom_keys(self) -> dict:
        return self.paramwise_cfg.get('custom_keys', {})

    def lr_scale(self, name: str, model: nn.Module) -> float:
        """Factor of a parameter's learning rate, besides that of its custom key."""
        return 1.

    def add_params(self, params: list[dict], module: nn.Module, **_: object) -> None:
        """Appends the merged groups of ``module`` to ``params``."""
        groups: dict[tuple[float, float], dict] = {}
        counts = Counter()
        used = set()
        for wrapped_name, param in module.named_parameters():
            if not param.requires_grad:
                continue
            name = clean_name(wrapped_name)
            key = max((key for key in self.custom_keys if key in name), key=len, default=None)
            used.add(key)
            setting = self.custom_keys.get(key, dict(decay_mult=None))
            lr_mult = setting.get('lr_mult', 1.) * self.lr_scale(name, module)
            decay_mult = setting.get('decay_mult', 1.)
            if decay_mult is None:
                flat = len(self.shapes[name]) <= 1
                decay_mult = self.paramwise_cfg.get('flat_decay_mult', 1.) if flat else 1.
            group = groups.setdefault(
                (lr_mult, decay_mult),
                dict(
                    params=[],
                    lr=self.base_lr * lr_mult,
                    weight_decay=(self.base_wd or 0.) * decay_mult))
            group['params'].append(param)
            counts[lr_mult, decay_mult] += self.shapes[name].numel()

        for key in set(self.custom_keys) - used:
            if self.custom_keys[key].get('lr_mult', 1.) != 1.:
                raise InputError(f'custom_keys[{key!r}] sets a learning rate but matches no '
                                 'parameter; remove it or correct the name')
        for setting, group in groups.items():
            print_log(
                f'optimizer group: lr {group["lr"]:.3g}, weight decay {group["weight_decay"]:.3g}, '
                f'{len(group["params"])} tensors, {counts[setting]:,} parameters',
                logger='current')
        params.extend(groups.values())


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(MergedOptimWrapperConstructor):
    """Layer-wise learning-rate decay for any task on a :class:`ConMIMViT`, in few groups.

    The last layer and all that is not the backbone's (task heads, necks) have the full rate, each
    layer before it ``layer_decay_rate`` times the next one's (BEiT, arXiv 2106.08254; layers as in
    :meth:`ConMIMViT.get_layer_depth`). For mmpretrain, mmsegmentation and mmdetection
    alike; the latter two name it ``mmpretrain.LayerDecayOptimWrapperConstructor``.

    ``paramwise_cfg`` understands ``layer_decay_rate`` besides the keys of
    :class:`MergedOptimWrapperConstructor`.

    Raises:
        InputError: A rate that is missing or not in (0, 1], a model whose ``backbone`` has no
            layers, or as for :class:`MergedOptimWrapperConstructor`.
    """

    known_keys = MergedOptimWrapperConstructor.known_keys | {'layer_decay_rate'}

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        rate = self.paramwise_cfg.get('layer_decay_rate')
        if not isinstance(rate, int | float) or not 0 < rate <= 1:
            raise InputError('paramwise_cfg.layer_decay_rate must be above 0 and at most 1, but is '
                             f'{rate!r}')

    def lr_scale(self, name: str, model: nn.Module) -> float:
        backbone = getattr(model, 'backbone', None)
        if not hasattr(backbone, 'get_layer_depth'):
            raise InputError(f'layer-wise decay needs a backbone with layers, such as ConMIMViT, '
                             f'but {type(model).__name__} has {type(backbone).__name__}')
        layer, num_layers = backbone.get_layer_depth(name, 'backbone.')
        return self.paramwise_cfg['layer_decay_rate']**(num_layers - 1 - layer)


def _reject_unknown(what: str, given: dict, known: Set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise InputError(f'{what} has unknown keys {unknown}; known are {sorted(known)}')
