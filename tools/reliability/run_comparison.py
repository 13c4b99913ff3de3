"""Whether two runs did the same, to the last bit."""

from pathlib import Path

import torch

from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.utils.work_dir import last_checkpoint, log_entries

SAVED_PARTS = ('state_dict', 'optimizer', 'param_schedulers', 'ranks')
CLOCKS = ('time', 'data_time', 'data_wait', 'images_per_second', 'memory')


def run_differences(one: Path, other: Path) -> list[str]:
    """What differs between two runs: their last checkpoints and what they logged of each step.

    Compared are weights, the states of optimizer, loss scale and schedules, random states and all
    logged numbers but times and memory. Tolerance zero.

    Args:
        one: Work dir of a run.
        other: Work dir of another one.

    Returns:
        The places that differ, such as ``'state_dict.backbone.cls_token'``; empty for equal runs.
    """
    checkpoints = [load_checkpoint_file(last_checkpoint(path)) for path in (one, other)]
    saved = [{part: checkpoint[part] for part in SAVED_PARTS} for checkpoint in checkpoints]
    return [*differences(*saved), *differences(entries_by_step(one), entries_by_step(other), 'log')]


def entries_by_step(work_dir: Path) -> dict[int, dict]:
    """What a run logged, by step, over all its starts; of what was logged twice the later value."""
    entries: dict[int, dict] = {}
    for entry in log_entries(work_dir):
        entries.setdefault(entry['step'], {}).update(
            {key: value for key, value in entry.items() if key not in CLOCKS})
    return entries


def differences(one: object, other: object, where: str = '') -> list[str]:
    """Places in which two nested structures of tensors and plain values are not equal."""
    if type(one) is not type(other):
        return [where]
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) else [where]
    if isinstance(one, dict) and one.keys() == other.keys():
        return [place for key in one
                for place in differences(one[key], other[key], f'{where}.{key}'.lstrip('.'))]
    if isinstance(one, list | tuple) and len(one) == len(other):
        return [place for i, pair in enumerate(zip(one, other, strict=True))
                for place in differences(*pair, f'{where}[{i}]')]
    equal = one == other or (one != one and other != other)  # both no numbers
    return [] if equal else [where]
