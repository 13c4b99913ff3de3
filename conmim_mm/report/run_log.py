"""What a run has logged, as the report needs it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..evaluation import learning_signs as signs
from ..utils.files import lines_in
from ..utils.work_dir import log_entries

TEXT_LOGS = '*/*.log'
MAX_WARNINGS = 50
MAX_NUMBER = 1e100  # of which differences and shares can be taken
_WARNING = re.compile(r'^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d - \S+ - (?:WARNING|ERROR) - (.+)$')
_NOISE = re.compile(r'deprecated', re.IGNORECASE)  # of the packages below, and nothing to be done


class RunLog(NamedTuple):
    """The log of a run over all its starts.

    Attributes:
        training: Numbers of the training steps that were logged, by step; after a resume the newest
            wins for steps logged twice.
        evaluations: Numbers of evaluations, by their step (or epoch, as the run logs them).
        warnings: Each warning once, in the order of their first time.
    """

    training: list[dict]
    evaluations: list[dict]
    warnings: list[str]


def read_run_log(work_dir: Path) -> RunLog:
    """Reads all logs of a run; what is missing is empty, and what is no number is left out.

    Args:
        work_dir: Folder of the run.

    Raises:
        InputError: A log cannot be read.
    """
    training, evaluations = {}, {}
    for entry in log_entries(work_dir):
        step = entry.get('step')
        if not (isinstance(step, int) and finite(step)):
            continue
        entry = {key: value for key, value in entry.items()
                 if finite(value) or isinstance(value, float)}
        if 'loss' in entry:
            training[step] = entry
        else:
            evaluations.setdefault(step, {}).update(entry)
    return RunLog([training[step] for step in sorted(training)],
                  [evaluations[step] for step in sorted(evaluations)],
                  list(dict.fromkeys(_warnings(work_dir)))[:MAX_WARNINGS])


def holds_at_end(warning: str, last: dict, num_patches: int | None) -> bool:
    """Whether a warning judges the learning, and is true of the last step that was logged, too.

    ``LearningMonitorHook`` warns once of each sign, and takes nothing back.

    Args:
        warning: One of the log's.
        last: What was logged last.
        num_patches: Patches L of an image; None where that is not known.
    """
    hit_rate, similarity = last.get('hit_rate'), last.get('teacher_similarity')
    sign = signs.sign_of(warning)
    if sign == signs.CHANCE:
        return (not (num_patches and finite(hit_rate))
                or hit_rate < signs.CHANCE_FACTOR / num_patches)
    if sign == signs.SHORTCUT:
        return not finite(hit_rate) or hit_rate > signs.SHORTCUT_HIT_RATE
    return sign == signs.COLLAPSE and (
        not finite(similarity) or similarity > signs.COLLAPSE_SIMILARITY)


def _warnings(work_dir: Path) -> Iterator[str]:
    for path in sorted(work_dir.glob(TEXT_LOGS)):
        for line in lines_in(work_dir, path):
            if (match := _WARNING.match(line)) and not _NOISE.search(match[1]):
                yield match[1]


def finite(value: object) -> bool:
    """Whether something logged is a number that can be drawn."""
    return (isinstance(value, int | float) and not isinstance(value, bool)
            and abs(value) < MAX_NUMBER)
