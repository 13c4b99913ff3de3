"""The page about a run."""

import hashlib
import time
from base64 import b64encode
from collections.abc import Iterator
from functools import cache, lru_cache
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from PIL import Image

from ..checkpoint.settings import type_name
from ..datasets.transforms.loading import FORMATS
from ..errors import InputError
from ..utils.files import is_plain_file_in, lines_in, write_text
from ..utils.work_dir import LOG_FILES, SKIPPED_IMAGES_FILE
from .charts import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH
from .curves import further_curves, learning_curves, tiles
from .progress import FACTS, FOLDER, PAGE, PICTURES, SAMPLES, read_json, read_progress
from .run_log import finite, read_run_log
from .verdict import judge_learning

HERE = Path(__file__).parent
SHOWN_SKIPPED = 10
MAX_SHOWN = 50  # pictures, samples, starts
MAX_PATCHES = 10**6
MAX_CONFIG = 2**20  # bytes; more is no config

CONFIGS = ('*.py', '*/vis_data/config.py')

MAX_SIDE = 1400  # pixels; larger pictures are reduced
PNG_BYTES = 40_000  # a larger PNG gives way to JPEG


def build_report(work_dir: Path) -> Path:
    """Writes ``report.html`` into a run's folder, from what lies there and nothing else.

    One file that needs no other and no network. It may be called at any time, while the run goes on
    or long after.

    Args:
        work_dir: Folder of the run.

    Returns:
        The page.

    Raises:
        InputError: No such folder, it holds no run, or the page cannot be written.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise InputError(f'no such folder: {work_dir}')
    config = newest_config(work_dir)
    if not (any(work_dir.glob(LOG_FILES)) or (work_dir / FOLDER / FACTS).is_file()):
        raise InputError(f'{work_dir} is no work dir of a run: it has neither a log ({LOG_FILES}) '
                         f'nor {FOLDER}/{FACTS}; give the folder that --work-dir named')
    write_text(work_dir / PAGE, _render(work_dir, config))
    return work_dir / PAGE


def _render(work_dir: Path, config: Path | None) -> str:
    log = read_run_log(work_dir)
    facts = _facts(work_dir)
    config_text = ''.join(lines_in(work_dir, config)) if config else ''
    samples = list(_samples(work_dir))
    num_patches = _num_patches(samples, facts['settings'])
    learning, further = learning_curves(log, num_patches), further_curves(log)
    return _template().render(
        name=work_dir.resolve().name, written=time.time(), work_dir=str(work_dir.resolve()),
        progress=read_progress(work_dir, log), verdict=judge_learning(log, num_patches),
        tiles=tiles(log), curves=[*learning, *further], warnings=log.warnings,
        thinned=max([1, *(curve.chart.thinned for curve in [*learning, *further] if curve.chart)]),
        pictures=list(_pictures(work_dir)), samples=samples, skipped=_skipped(work_dir),
        facts=facts, config_name=config.name if config else '', config=config_text)


@cache
def _template() -> Template:
    script = (HERE / 'page.js').read_text(encoding='utf-8')
    environment = Environment(  # everything from the run's folder is foreign text
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=FileSystemLoader(HERE))
    environment.filters['moment'] = _moment
    environment.globals.update(
        size=dict(width=WIDTH, height=HEIGHT, left=LEFT, right=RIGHT, bottom=BOTTOM),
        style=(HERE / 'page.css').read_text(encoding='utf-8'), script=script,
        # of all scripts that may be in the page only this one runs
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode())
    return environment.get_template('page.html')


def _moment(seconds: object) -> str:
    """A time as the page shows it, on the clock of the machine that writes it."""
    try:
        return time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(seconds))
    except (TypeError, ValueError, OverflowError, OSError):
        return 'at an unknown time'


def _facts(work_dir: Path) -> dict:
    """What the run noted of itself; empty where that is missing, or not what it should be."""
    noted = read_json(work_dir, FACTS, {})
    facts = {name: noted[name] if isinstance(noted.get(name), dict) else {}
             for name in ('versions', 'code', 'machine', 'data', 'model', 'settings')}
    starts = noted.get('starts')
    return facts | dict(
        command=str(noted.get('command', '')), folder=str(noted.get('folder', '')),
        starts=[dict(time=start.get('time'), iteration=start.get('iteration'))
                for start in (starts[-MAX_SHOWN:] if isinstance(starts, list) else [])
                if isinstance(start, dict)])


def _num_patches(samples: list[dict], settings: dict) -> int | None:
    """Patches L of an image, by the masks the model was fed, otherwise by the run's settings."""
    for sample in samples:
        if _is_count(sample['num_patches']) and sample['num_patches'] > 1:
            return sample['num_patches']
    match settings:
        case {'model': {'backbone': {'img_size': img_size, 'patch_size': int(patch_size)}} as model
              } if type_name(model) == 'ConMIM':
            pass
        case _:
            return None
    img_size = img_size if isinstance(img_size, list) and img_size else [img_size]
    if not all(map(_is_count, (*img_size, patch_size))):
        return None
    num_patches = (img_size[0] // patch_size) * (img_size[-1] // patch_size)
    return num_patches if num_patches > 1 and _is_count(num_patches) else None


def _is_count(value: object) -> bool:
    return type(value) is int and 0 < value <= MAX_PATCHES


def _samples(work_dir: Path) -> Iterator[dict]:
    for entry in _listed(work_dir, SAMPLES):
        files = entry.get('files')
        if not isinstance(files, dict):
            continue
        views = {view: _picture(work_dir, files.get(view))
                 for view in ('student', 'teacher', 'masked')}
        if None not in views.values():
            hidden = entry.get('hidden')
            yield dict(path=entry.get('path') or '', views=views,
                       hidden=hidden if finite(hidden) else None,
                       num_patches=entry.get('num_patches'), bands=entry.get('bands') or '')


def _pictures(work_dir: Path) -> Iterator[dict]:
    for entry in _listed(work_dir, PICTURES):
        picture = _picture(work_dir, entry.get('file'))
        if picture is not None:
            yield dict(picture=picture, title=entry.get('title', ''),
                       caption=entry.get('caption', ''), step=entry.get('step'))


def _listed(work_dir: Path, name: str) -> list[dict]:
    return [entry for entry in read_json(work_dir, name, [])[:MAX_SHOWN]
            if isinstance(entry, dict)]


def _skipped(work_dir: Path) -> dict:
    """The images that could not be read: how many, and the first of them."""
    lines = lines_in(work_dir, work_dir / SKIPPED_IMAGES_FILE)
    first = [line.rstrip('\n').split('\t') for line in islice(lines, SHOWN_SKIPPED)]
    return dict(number=len(first) + sum(1 for _ in lines),
                first=[(parts[0], parts[-1]) for parts in first])


def newest_config(work_dir: Path) -> Path | None:
    """The config of the last start of a run; None where none was saved.

    None that is a link out of it: whatever a stranger's run links to would be in its page.
    """
    found = [path for pattern in CONFIGS for path in work_dir.glob(pattern)
             if is_plain_file_in(work_dir, path) and path.stat().st_size < MAX_CONFIG]
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


class EmbeddedPicture(NamedTuple):
    """A picture ready for a page.

    Attributes:
        uri: ``data:`` address with the picture in it.
        width: Pixels.
        height: Pixels.
    """

    uri: str
    width: int
    height: int


def _picture(work_dir: Path, name: object) -> EmbeddedPicture | None:
    path = work_dir / FOLDER / Path(str(name)).name
    return embed_picture(path) if is_plain_file_in(work_dir, path) else None


def embed_picture(path: Path) -> EmbeddedPicture | None:
    """A picture file for a page; None where it cannot be read."""
    try:
        return _embed(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=64)  # a run's pages show the same samples every time
def _embed(path: Path, _changed: int) -> EmbeddedPicture | None:
    try:
        content, kind = path.read_bytes(), 'png'
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            image.load()
            if image.format != 'PNG' or len(content) > PNG_BYTES or max(image.size) > MAX_SIDE:
                image, kind = image.convert('RGB'), 'jpeg'
    except Exception:  # damaged files raise nearly anything
        return None
    if kind == 'jpeg':
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        buffer = BytesIO()
        image.save(buffer, 'JPEG', quality=88)
        content = buffer.getvalue()
    return EmbeddedPicture(
        f'data:image/{kind};base64,{b64encode(content).decode()}', *image.size)
