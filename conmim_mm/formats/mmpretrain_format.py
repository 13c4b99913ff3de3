"""The backbone for a task of mmpretrain, mmsegmentation or mmdetection: a small file."""

from datetime import UTC, datetime
from pathlib import Path

from ..checkpoint.reading import backbone_of_model, is_pretraining_checkpoint, load_checkpoint_file
from ..checkpoint.settings import SETTINGS, run_record
from ..errors import InputError
from ..utils.files import sha256_of
from ..version import __version__
from .backbone import save_weights


def extract(source: Path, target: Path, weights: str = 'teacher') -> None:
    """Writes the backbone of ``source`` to ``target``.

    Raises:
        InputError: ``source`` is no pre-training checkpoint.
    """
    checkpoint = load_checkpoint_file(source)
    if not is_pretraining_checkpoint(checkpoint):
        raise InputError(f'{source} is no pre-training checkpoint of ConMIM (it has no projector)')
    run = run_record(checkpoint)
    meta = dict(
        conmim_mm_version=__version__,
        weights=weights,
        source=source.name,
        source_sha256=sha256_of(source),
        extracted=datetime.now(UTC).isoformat(timespec='seconds'),
        pretraining={key: run[key] for key in ('epoch', 'iter', 'seed', 'experiment_name', 'time',
                                               'mmengine_version', 'cfg', SETTINGS) if key in run})
    save_weights(dict(meta=meta, state_dict=backbone_of_model(checkpoint, weights)), target)
