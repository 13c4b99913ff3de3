"""Pictures of what models predict, beside the truth, drawn alike for all three toolboxes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.registry import DefaultScope
from PIL import Image
from scenes import CLASS_NAMES
from transfer_tasks import INITS, Training

from conmim_mm.datasets.transforms.loading import FORMATS, read_rgb
from conmim_mm.utils.work_dir import last_checkpoint

NUM_IMAGES = 8
MIN_SCORE = 0.3
# 0 means no label in the maps and 1 the background
NUM_MAP_VALUES_BELOW_CLASSES = 2
# Paul Tol's "muted" scheme, which the colour-blind can tell apart, and black.
COLOURS = np.array([to_rgb(colour) for colour in (
    '#332288', '#88CCEE', '#44AA99', '#117733', '#999933', '#DDCC77', '#CC6677', '#882255',
    '#AA4499', '#000000')])

Annotation = dict  # label: str; or class_map: (H, W) int, -1 = background; or boxes, masks, labels


def draw_predictions(trainings: Sequence[Training], target: Path) -> None:
    """One column per held-out image: the truth, then each training's prediction.

    Args:
        trainings: Finished trainings of one task.
        target: Picture to write.
    """
    task = trainings[0].task.name
    scope, read_truths, predict = _TOOLBOXES[task]
    paths, truths = read_truths(trainings[0].data_root)
    rows = [('truth', truths)]
    for training in trainings:
        # The inferencers look their parts up in the scope of whichever toolbox was used last.
        with DefaultScope.overwrite_default_scope(scope):
            rows.append((f'from {INITS[training.init]}', predict(
                str(training.work_dir / training.config.name),
                str(last_checkpoint(training.work_dir)), [str(path) for path in paths])))
    figure = Figure(figsize=(1.4 * len(paths) + 0.4, 1.5 * len(rows) + 0.7), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(paths))
    for row, (name, annotations) in enumerate(rows):
        for axis, path, annotation in zip(axes[row], paths, annotations, strict=True):
            _draw(axis, np.asarray(read_rgb(str(path))), **annotation)
        axes[row, 0].set_ylabel(name, fontsize=9)
    if task != 'classification':
        handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS]
        figure.legend(handles, CLASS_NAMES, ncols=len(CLASS_NAMES), fontsize=7, frameon=False,
                      loc='outside lower center', handlelength=1.)
    figure.suptitle(f'{task} of held-out scenes')
    figure.savefig(target, dpi=130)


def _draw(axis, image: np.ndarray, label: str = '', class_map: np.ndarray | None = None,
          boxes: Sequence = (), masks: Sequence = (), labels: Sequence[int] = ()) -> None:
    maps = [] if class_map is None else [class_map]
    maps += [np.where(mask, number, -1) for mask, number in zip(masks, labels, strict=True)]
    shown = image / 255
    for numbers in maps:
        inside = numbers >= 0
        shown[inside] = 0.35 * shown[inside] + 0.65 * COLOURS[numbers[inside]]
    axis.imshow(shown, interpolation='nearest')
    for (x1, y1, x2, y2), number in zip(boxes, labels, strict=True):
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, linewidth=1.2,
                                 edgecolor=COLOURS[number]))
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(label, fontsize=8)


def _class_truths(root: Path) -> tuple[list[Path], list[Annotation]]:
    folders = sorted(path for path in (root / 'val').iterdir() if path.is_dir())[:NUM_IMAGES]
    paths = [sorted(folder.iterdir())[0] for folder in folders]
    return paths, [dict(label=folder.name) for folder in folders]


def _map_truths(root: Path) -> tuple[list[Path], list[Annotation]]:
    paths = sorted((root / 'images' / 'validation').iterdir())[:NUM_IMAGES]
    folder = root / 'annotations' / 'validation'
    maps = [np.asarray(Image.open(folder / f'{path.stem}.png', formats=FORMATS))
            for path in paths]
    return paths, [dict(class_map=values.astype(int) - NUM_MAP_VALUES_BELOW_CLASSES)
                   for values in maps]


def _instance_truths(root: Path) -> tuple[list[Path], list[Annotation]]:
    from pycocotools.coco import COCO  # only detection needs it

    coco = COCO(str(root / 'annotations' / 'instances_val2017.json'))
    images = coco.loadImgs(sorted(coco.getImgIds())[:NUM_IMAGES])
    label_of = {category['id']: CLASS_NAMES.index(category['name'])
                for category in coco.loadCats(coco.getCatIds())}
    truths = []
    for image in images:
        objects = coco.loadAnns(coco.getAnnIds(imgIds=image['id']))
        truths.append(dict(
            boxes=[(x, y, x + w, y + h) for x, y, w, h in (one['bbox'] for one in objects)],
            masks=[coco.annToMask(one).astype(bool) for one in objects],
            labels=[label_of[one['category_id']] for one in objects]))
    return [root / 'val2017' / image['file_name'] for image in images], truths


def _predict_classes(config: str, checkpoint: str, paths: list[str]) -> list[Annotation]:
    from mmpretrain import ImageClassificationInferencer

    results = ImageClassificationInferencer(config, checkpoint)(paths, batch_size=len(paths))
    return [dict(label=CLASS_NAMES[int(result['pred_label'])]) for result in results]


def _predict_maps(config: str, checkpoint: str, paths: list[str]) -> list[Annotation]:
    from mmseg.apis import MMSegInferencer

    results = MMSegInferencer(config, checkpoint)(paths, return_datasamples=True)
    return [dict(class_map=result.pred_sem_seg.data[0].cpu().numpy().astype(int) - 1)
            for result in results]


def _predict_instances(config: str, checkpoint: str, paths: list[str]) -> list[Annotation]:
    from mmdet.apis import DetInferencer

    results = DetInferencer(config, checkpoint)(paths, return_datasamples=True, no_save_vis=True)
    found = [result.pred_instances for result in results['predictions']]
    found = [one[one.scores > MIN_SCORE].cpu().numpy() for one in found]
    return [dict(boxes=one.bboxes, masks=one.masks, labels=one.labels) for one in found]


class _Toolbox(NamedTuple):
    """Its scope, and who reads the truth of held-out images and predicts it."""

    scope: str
    read_truths: Callable
    predict: Callable


_TOOLBOXES = dict(
    classification=_Toolbox('mmpretrain', _class_truths, _predict_classes),
    segmentation=_Toolbox('mmseg', _map_truths, _predict_maps),
    detection=_Toolbox('mmdet', _instance_truths, _predict_instances))
