"""Damaged folders of runs for fuzz.py."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
from damages import (
    OUTSIDE,
    SECRET,
    SECRET_TEXT,
    Fault,
    choose,
    damaged,
    encoded,
    with_odd_value,
)

from conmim_mm.apis import report


@cache
def run_files() -> dict[str, bytes]:
    """Names and contents of what a run leaves."""
    picture = encoded()[5]
    entries = [dict(step=step, loss=3. - step / 20, hit_rate=0.1, lr=1e-3, time=0.2, memory=100,
                    teacher_similarity=0.3) for step in range(1, 20)]
    entries += [{'step': 10, 'val/knn_top1': 20., 'val/linear_top1': 30.}]
    samples = [dict(path='a.png', hidden=0.5, num_patches=16, files=dict(
        student='s.png', teacher='s.png', masked='s.png'))]
    facts = dict(versions=dict(torch='2'), code=dict(commit='a'), machine=dict(host='b'),
                 data=dict(images='4'), model=dict(model='ConMIM'), command='c', folder='d',
                 settings=dict(model=dict(type='ConMIM', backbone=dict(img_size=32, patch_size=8)),
                               train_cfg=dict(max_epochs=2)),
                 starts=[dict(time=1.7e9, iteration=0)])
    texts = {
        '20260101_000000/vis_data/scalars.json': '\n'.join(map(json.dumps, entries)),
        '20260101_000000/20260101_000000.log':
            '2026/01/01 00:00:00 - mmengine - WARNING - the loss is at chance\n' * 3,
        'config.py': "open('../../outside/executed', 'w').close()\n",
        'skipped.txt': 'a.jpg\t2\tcut off\n', 'report.html': '<html>',
        'last_checkpoint': 'epoch_1.pth', 'report/facts.json': json.dumps(facts),
        'report/progress.json': json.dumps(dict(
            state='running', iteration=5, max_iters=20, max_epochs=2, error='', time=1.7e9)),
        'report/samples.json': json.dumps(samples), 'report/pictures.json': json.dumps([
            dict(title='t', caption='c', file='s.png', step=3)])}
    return {name: text.encode() for name, text in texts.items()} | {'report/s.png': picture}


def write_run(folder: Path, rng: np.random.Generator) -> None:
    run = folder / 'run'
    files = dict(run_files())
    for _ in range(rng.integers(1, 7)):
        name = choose(rng, list(run_files()))
        if name.endswith('.json') and files[name] and rng.random() < 0.7:
            files[name] = damaged_json(files[name], rng)
        elif rng.random() < 0.5:
            files[name] = damaged(files[name] or b'x', [b'\xff\xfe' * 30], rng)
        else:
            files[name] = None
    for name, content in files.items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)
        else:
            replace_by_something_else(path, folder.parent / OUTSIDE / SECRET, rng)


def damaged_json(content: bytes, rng: np.random.Generator) -> bytes:
    """A value of some line is another, or written as JSON does not have it."""
    lines = content.decode('utf-8', 'replace').split('\n')
    place = rng.integers(len(lines))
    try:
        value = json.loads(lines[place])
    except (ValueError, RecursionError):
        value = {}
    lines[place] = json.dumps(with_odd_value(value, rng))
    if rng.random() < 0.2:
        lines[place] = choose(rng, ['[' * 10**5, '{"step": ' + '9' * 5000 + '}', '"\\ud800"', '\0',
                                    '{"step": 1, "loss": -1e999}', 'NaN', '1' * 10**6])
    return '\n'.join(lines).encode('utf-8', 'surrogatepass')


def replace_by_something_else(path: Path, secret: Path, rng: np.random.Generator) -> None:
    """By nothing, a folder, links of all kinds, or a pipe."""
    way = rng.integers(6)
    if way == 1:
        (path / 'inside').mkdir(parents=True)
    elif way == 2:
        path.symlink_to(secret)
    elif way == 3:
        path.symlink_to(path.name)
    elif way == 4:
        path.symlink_to('nowhere')
    elif way == 5:
        os.mkfifo(path)


def read_run(folder: Path) -> None:
    page = report(folder / 'run')
    if SECRET_TEXT in page.read_text(encoding='utf-8'):
        raise Fault('the page shows a file from outside of the folder')
