"""Folders of tools that may be repeated: what is there is shown, what is other goes aside."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from conmim_mm.utils.files import write_text

SETTINGS, RESULTS = 'settings.json', 'results.json'


def prepare_output(out: Path, settings: dict, outputs: Sequence[str]) -> dict | None:
    """Results of an earlier, finished run with these settings; else makes room for a new one.

    Args:
        out: The folder, made where it does not exist.
        settings: What determines the results, as plain data.
        outputs: Files and folders that a run writes below ``out``, besides settings and results.
            Those of other settings are moved to ``out/earlier``.

    Returns:
        The results, or None where there are none yet.
    """
    out.mkdir(parents=True, exist_ok=True)
    settings_file, results_file = out / SETTINGS, out / RESULTS
    if settings_file.is_file():
        if json.loads(settings_file.read_text(encoding='utf-8')) == settings:
            return (json.loads(results_file.read_text(encoding='utf-8'))
                    if results_file.is_file() else None)
        aside = out / 'earlier' / time.strftime('%Y%m%d-%H%M%S')
        aside.mkdir(parents=True)
        for name in (SETTINGS, RESULTS, *outputs):
            if (out / name).exists():
                shutil.move(out / name, aside / name)
        print(f'{out} held a run with other settings; it is in {aside} now')
    write_text(settings_file, json.dumps(settings, indent=2))
    return None


def save_results(out: Path, results: dict) -> None:
    """Writes the results that :func:`prepare_output` finds."""
    write_text(out / RESULTS, json.dumps(results, indent=2))
