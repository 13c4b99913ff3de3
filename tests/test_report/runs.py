"""A run's folder as a run leaves it, without the run."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS

from conmim_mm.models import ConMIMDataPreprocessor
from conmim_mm.report.progress import note_progress, note_start
from conmim_mm.report.samples import sample_inputs, write_pictures, write_samples
from conmim_mm.visualization.explain import Picture

from ..toy import run_cfg, write_noise_images

NUM_PATCHES = 16
# what a careless page would take for part of itself
HOSTILE = '</script><script>document.title = "taken over"</script><img src=x onerror=alert(1)>'
LONG = '/data/' + 'a_folder_with_a_long_name/' * 12
CONFIG = f'''model = dict(
    type='ConMIM', backbone=dict(img_size=32, patch_size=8), note='{HOSTILE}')
train_cfg = dict(max_iters=4000)
{"long = '" + 'x' * 400 + "'"}
'''


def write_log(work_dir: Path, entries: list[dict], start: str = '20260101_000000',
              text: str = '') -> None:
    folder = work_dir / start / 'vis_data'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, entries)))
    (work_dir / start / f'{start}.log').write_text(text)


def training_entry(step: int, total: int = 4000) -> dict:
    share = step / total
    return dict(
        step=step, loss=3.2 - 1.7 * share + 0.05 * math.sin(step), hit_rate=0.06 + 0.4 * share,
        positive_similarity=0.6 * share, negative_similarity=0.1, teacher_similarity=0.3,
        lr=1e-3 * (1 - share), momentum=0.996 + 0.004 * share, time=0.25, data_time=0.01,
        images_per_second=16., data_wait=0.04, feature_rank=12., memory=2048,
        grad_norm=math.nan if step == 20 else 1.)


def write_run(work_dir: Path, num_entries: int = 900) -> Path:
    """A run with everything a report can show, in two starts, still going on."""
    entries = [training_entry(step) for step in range(0, 4 * num_entries, 4)]
    evaluations = [{'step': step, 'val/knn_top1': 20. + step / 200, 'val/linear_top1': 30.}
                   for step in range(0, 3601, 400)]
    half = len(entries) // 2
    write_log(work_dir, entries[:half + 5], '20260101_000000',
              '2026/01/01 00:00:00 - mmengine - WARNING - ' + HOSTILE)
    write_log(work_dir, [*entries[half:], *evaluations], '20260102_000000')
    (work_dir / 'run.py').write_text(CONFIG)
    (work_dir / 'skipped.txt').write_text(f'{LONG}broken.jpg\t2\tnot an image\n')
    images = work_dir / 'images'
    images.mkdir()
    write_noise_images(images, 4, 40)
    preprocessor = ConMIMDataPreprocessor()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(run_cfg(images, work_dir)['train_dataloader']['dataset'])
    inputs, paths = sample_inputs(dataset, preprocessor, 3, seed=0)
    write_samples(work_dir, inputs, [LONG + HOSTILE, *paths[1:]], preprocessor)
    rng = np.random.default_rng(0)
    write_pictures(work_dir, [
        Picture(f'a {number}', f'Picture {number} {HOSTILE}', 'A caption.',
                rng.integers(0, 256, (90, size, 3), dtype=np.uint8))
        for number, size in enumerate((1600, 120))], 3000)
    note_start(work_dir, dict(
        versions=dict(torch=torch.__version__), code=dict(commit='a' * 40),
        machine={'processor': HOSTILE}, data=dict(images='4', folder=LONG),
        model=dict(model='ConMIM'), command=f'train.py {LONG}', folder=LONG), 0)
    note_progress(work_dir, 'running', 3600, 4000, 10)
    return work_dir
