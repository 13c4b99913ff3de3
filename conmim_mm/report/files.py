"""What lies in a run's ``report`` folder, written whole or not at all."""

import json
from pathlib import Path

FOLDER = 'report'
PAGE = 'report.html'  # beside the folder
FACTS = 'facts.json'  # versions, machine, data set
PROGRESS = 'progress.json'  # how far the run is, and whether it goes on
SAMPLES = 'samples.json'  # what the model is fed
PICTURES = 'pictures.json'  # what explains the model


def write_json(work_dir: Path, name: str, content: object) -> None:
    """Writes a file of the report folder, making that where it is missing."""
    folder = work_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / name, json.dumps(content, indent=1))


def write_text(path: Path, text: str) -> None:
    """Writes a text aside and renames it, so that a reader finds the old one or the new one."""
    aside = path.with_name(f'{path.name}.tmp')
    aside.write_text(text, encoding='utf-8', errors='replace')
    aside.replace(path)


def read_json(work_dir: Path, name: str, default: dict | list) -> dict | list:
    """A file of the report folder; ``default`` where it is missing, damaged or of another kind."""
    try:
        content = json.loads((work_dir / FOLDER / name).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return default
    return content if isinstance(content, type(default)) else default
