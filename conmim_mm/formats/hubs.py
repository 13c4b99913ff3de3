"""Weights by their name in the hub of timm, Hugging Face or mmpretrain, through its own cache."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mmpretrain.registry import MODELS

from ..checkpoint.reading import load_checkpoint_file
from ..checkpoint.settings import SETTINGS
from ..errors import InputError, one_line
from ..models.backbones.conmim_vit import ConMIMViT
from .facts import UNKNOWN, noted_facts
from .stored import CONFIG, PREPROCESSOR, WEIGHT_FILES, Stored, read_weights, stored_at
from .timm_format import from_timm, timm_model

_TIMEOUT = 10  # seconds, to connect and between two pieces of a file


def is_hub_name(place: str) -> bool:
    """Whether a place is a name, such as ``timm:NAME``.

    The others are ``timm:NAME=FILE`` (weights from the file; architecture and normalisation by the
    name, where the file does not note them, as ours do), ``hf:NAME``, ``hf:NAME@REVISION`` and
    ``mmpretrain:NAME``.
    """
    return place.partition(':')[0] in _HUBS and ':' in place


def fetched(place: str) -> Stored:
    """Weights out of a hub, or out of what the library keeps of it here.

    Args:
        place: As for :func:`is_hub_name`.

    Raises:
        InputError: There is no such name, the library is not installed, or the hub is out of reach.
    """
    hub, _, name = place.partition(':')
    fetch, package, how = _HUBS[hub]
    try:
        with _short_timeouts():
            return fetch(name)
    except InputError as error:
        raise InputError(f'{place}: {error}') from error
    except ModuleNotFoundError as error:
        reason = f'needs {error.name} (pip install {package})'
    except Exception as error:  # whatever the library and the network have
        reason = f'cannot be fetched ({one_line(error)[:120]})'
    raise InputError(f'{place} {reason}; a file will do as well; where there is a network: '
                     f'{how.format(name=name)}')


@contextmanager
def _short_timeouts() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_timm(place: str) -> Stored:
    import timm

    name, _, file = place.partition('=')
    model = timm_model(name)
    from_timm(model.state_dict(), {})  # refuses what does not fit before it is fetched
    cfg = model.pretrained_cfg
    config = dict(architecture=name, pretrained_cfg=cfg)
    if file:
        checkpoint = read_weights(file)
        return Stored(file, checkpoint, config if noted_facts(checkpoint) == UNKNOWN else {})
    hub_id, file = cfg.get('hf_hub_id'), cfg.get('hf_hub_filename')
    if hub_id and not file:
        return replace(_from_huggingface(hub_id), config=config)
    if hub_id:  # under names of others, which timm's own loader knows
        config['pretrained_cfg'] = cfg | dict(file=str(Path(_snapshot(hub_id, [file]), file)))
    elif not cfg.get('url'):
        raise InputError('timm has no weights of it')
    model = timm.create_model(name, pretrained=True, num_classes=0,
                              pretrained_cfg=config['pretrained_cfg'])
    return Stored(name, model.state_dict(), config)


def _snapshot(place: str, files: list[str]) -> str:
    from huggingface_hub import snapshot_download

    name, _, revision = place.partition('@')
    return snapshot_download(name, revision=revision or None, allow_patterns=files,
                             etag_timeout=_TIMEOUT)


def _from_huggingface(name: str) -> Stored:
    for files in (['model.safetensors', 'model-*.safetensors', WEIGHT_FILES[0]],
                  ['pytorch_model.bin', 'pytorch_model-*.bin', WEIGHT_FILES[2]]):
        folder = _snapshot(name, [CONFIG, PREPROCESSOR, *files])
        if any(Path(folder, file).is_file() for file in WEIGHT_FILES):
            return stored_at(folder)
    raise InputError(f'has none of {", ".join(WEIGHT_FILES)}')


def _from_mmpretrain(name: str) -> Stored:
    from mmpretrain.apis.model import ModelHub
    from mmpretrain.models import BEiTViT, VisionTransformer

    try:
        model = ModelHub.get(name)
    except ValueError as error:
        raise InputError('mmpretrain has no such model') from error
    config = model.config.to_dict()
    settings = {key: config['model'].get(key) or config.get(key)
                for key in ('backbone', 'data_preprocessor')}
    kind = MODELS.get(str((settings['backbone'] or {}).get('type')))
    if not (isinstance(kind, type) and issubclass(kind, BEiTViT | VisionTransformer | ConMIMViT)):
        raise InputError('it is no plain ViT')
    if not model.weights:
        raise InputError('mmpretrain has no weights of it')
    try:
        checkpoint = load_checkpoint_file(model.weights)
    except InputError as error:
        raise OSError(str(error)) from error
    return Stored(name, dict(checkpoint, meta={SETTINGS: dict(model=settings)}))


_HUBS = {  # how to fetch, what to install, and how to get a file elsewhere
    'timm': (_from_timm, 'timm', "python -c \"import timm, torch; torch.save(timm.create_model("
             "'{name}', pretrained=True).state_dict(), 'weights.pth')\""),
    'hf': (_from_huggingface, 'huggingface_hub', 'hf download {name} --local-dir FOLDER'),
    'mmpretrain': (_from_mmpretrain, 'onedl-mmpretrain', "python -c \"from mmpretrain.apis.model "
                   "import ModelHub; print(ModelHub.get('{name}').weights)\" names its address"),
}
