"""Keeps the config inside a checkpoint from building what is not this project's.

A checkpoint may be a stranger's, and MMEngine would call whatever function its config names as a
component's ``type``.
"""

from collections.abc import Iterator
from typing import Any

from mmengine.registry import Registry
from mmpretrain.registry import MODELS, TRANSFORMS

# Where the components may be defined: what is built of them does no more than compute.
_HARMLESS = ('conmim_mm.', 'torch.nn.', 'mmcv.transforms.loading')
# Packages that a name may begin with; MMEngine imports it.
_SCOPES = ('mmengine', 'mmcv', 'mmpretrain')


def check_components(values: dict[str, Any]) -> None:
    """Refuses components that are not this project's in what pictures are made with.

    That is the model, of whose ``init_cfg``, which is not used, only the scopes are looked at, and
    the training pipeline. A ``_scope_``, which MMEngine would import, is refused wherever it is.

    Args:
        values: Of a config.

    Raises:
        ValueError: The config names another component, or a scope.
    """
    for part in _dicts_in(values):
        if '_scope_' in part:
            raise ValueError(f'it names the scope {part["_scope_"]}')
    loader = values.get('train_dataloader') or {}
    pipeline = (loader.get('dataset') or {}).get('pipeline')
    for registry, used in ((MODELS, values.get('model')), (TRANSFORMS, pipeline)):
        for part in _dicts_in(used):
            scope, dot, _ = str(part.get('type', '')).partition('.')
            if dot and scope not in _SCOPES:
                raise ValueError(f'it names {part["type"]}, which is no component of conmim_mm')
        for part in _dicts_in(used, without='init_cfg'):
            if 'type' in part and not _is_harmless(part['type'], registry):
                raise ValueError(f'it names {part["type"]}, which is no component of conmim_mm')


def _is_harmless(name: Any, registry: Registry) -> bool:
    bare = str(name).removeprefix('mmpretrain.')
    found = [kind.module_dict[bare] for kind in (registry, registry.parent)
             if bare in kind.module_dict]
    return bool(found) and all(f'{one.__module__}.'.startswith(_HARMLESS) for one in found)


def _dicts_in(part: Any, without: str | None = None) -> Iterator[dict]:
    """The dicts of a config at any depth, but for those below a key."""
    if isinstance(part, dict):
        yield part
        part = [value for key, value in part.items() if without is None or key != without]
    if isinstance(part, list | tuple):
        for value in part:
            yield from _dicts_in(value, without)
