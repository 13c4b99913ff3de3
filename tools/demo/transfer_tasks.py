"""The three tasks that show what pre-trained weights are worth, and their trainings."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from conmim_mm.report.run_log import read_run_log

ROOT = Path(__file__).parents[2]
# What a training starts from, and what the tables call it.
INITS = dict(random='random weights', conmim='ConMIM')


@dataclass(frozen=True)
class Task:
    """A task on the generated scenes.

    Attributes:
        name: Names its folder and its row.
        config: Config file, relative to the repository.
        layout: Folder of the scenes in the layout that the task reads.
        metrics: Names of its metrics by their key in the log.
        percent: Whether the log has them in per cent already.
    """

    name: str
    config: str
    layout: str
    metrics: Mapping[str, str]
    percent: bool


TASKS = {
    task.name: task for task in (
        Task('classification', 'configs/classification/vit-tiny_1xb32_scenes-64px.py', 'imagenet',
             {'accuracy/top1': 'top-1'}, percent=True),
        Task('segmentation', 'configs/segmentation/vit-tiny_upernet_1xb8_scenes-128px.py', 'ade',
             {'mIoU': 'mIoU'}, percent=True),
        Task('detection', 'configs/detection/vit-tiny_mask-rcnn_1xb8_scenes-128px.py', 'coco',
             {'coco/bbox_mAP': 'box AP', 'coco/segm_mAP': 'mask AP'}, percent=False),
    )
}


@dataclass(frozen=True)
class Training:
    """One task from one kind of weights, in a folder of its own.

    Attributes:
        task: The task.
        init: A key of :data:`INITS`.
        checkpoint: The pre-training checkpoint.
        scenes: Folder of the generated scenes.
        out: Folder of the whole comparison.
    """

    task: Task
    init: str
    checkpoint: Path
    scenes: Path
    out: Path

    @property
    def name(self) -> str:
        """For people."""
        return f'{self.task.name} from {INITS[self.init]}'

    @property
    def work_dir(self) -> Path:
        """Folder of this training."""
        return self.out / self.task.name / self.init

    @property
    def log(self) -> Path:
        """What the training printed."""
        return self.work_dir / 'train.log'

    @property
    def config(self) -> Path:
        """The config file."""
        return ROOT / self.task.config

    @property
    def data_root(self) -> Path:
        """Folder of the images."""
        return self.scenes / self.task.layout

    @cached_property
    def num_steps(self) -> int:
        """Steps of the training."""
        return Config.fromfile(self.config).train_cfg.max_iters

    def arguments(self, seed: int) -> list[str]:
        """Arguments of tools/train.py."""
        weights = 'init_cfg=None' if self.init == 'random' else (
            f'init_cfg.checkpoint={self.checkpoint}')
        return [str(self.config), '--work-dir', str(self.work_dir),
                '--data-root', str(self.data_root),
                '--cfg-options', f'model.backbone.{weights}', f'randomness.seed={seed}']

    @property
    def step(self) -> int:
        """The last step in the log."""
        return max((entry['step'] for entry in read_run_log(self.work_dir).training), default=0)

    @property
    def finished(self) -> Path:
        """A file that is there once it ran to its end."""
        return self.work_dir / 'finished'

    def read_metrics(self) -> dict[str, float]:
        """The last evaluation in per cent, by metric; empty before it.

        A metric that it lacks is 0: COCO's evaluation says nothing where nothing was detected.
        """
        evaluations = read_run_log(self.work_dir).evaluations
        scale = 1 if self.task.percent else 100
        return {name: evaluations[-1].get(key, 0.) * scale
                for key, name in self.task.metrics.items()} if evaluations else {}


def format_table(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """A table of metrics in per cent: ``metrics[task][init][metric]``."""
    lines = [f'{"":<26}' + ''.join(f'{label:>16}' for label in INITS.values()) + f'{"gain":>9}']
    for task, by_init in metrics.items():
        for metric in by_init['conmim']:
            values = [by_init[init][metric] for init in INITS]
            lines.append(f'{task:<15}{metric:<11}' +
                         ''.join(f'{value:>14.1f} %' for value in values) +
                         f'{values[1] - values[0]:>+9.1f}')
    return '\n'.join(lines)
