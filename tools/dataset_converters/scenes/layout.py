"""Where every file of the data set lies, and what it was made from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from conmim_mm.errors import InputError

from .compose import SPLITS
from .shapes import CLASS_NAMES

# Raise it with every change that alters a byte of a picture, a map or an annotation.
GENERATOR_VERSION = '1'
KINDS = ('classification', 'scene')
ADE_CLASS_NAMES = ('background', *CLASS_NAMES)  # map values 1 to 11; 0 does not occur
_ADE_SPLIT = {'train': 'training', 'val': 'validation'}
_COCO_SPLIT = {'train': 'train2017', 'val': 'val2017'}


@dataclass(frozen=True)
class SceneSettings:
    """What determines every byte of a data set.

    Attributes:
        images: classification images for training; a quarter as many scenes.
        size: side of all pictures in pixels.
        seed: seed of the data set.
        val: held-out classification images; by default a fifth of ``images``, at least 10.

    Raises:
        InputError: a value out of range.
    """

    images: int
    size: int
    seed: int = 0
    val: int | None = None

    def __post_init__(self) -> None:
        if self.images < 10:
            raise InputError(f'images must be at least 10 (one per class), got {self.images}')
        if self.size < 32:
            raise InputError(f'size must be at least 32 pixels, got {self.size}')
        if self.seed < 0:
            raise InputError(f'seed must not be negative, got {self.seed}')
        if self.val is None:
            object.__setattr__(self, 'val', max(10, self.images // 5))
        if self.val < 10:
            raise InputError(f'val must be at least 10 (one per class), got {self.val}')

    def count(self, kind: str, split: str) -> int:
        """How many pictures of a kind a split holds."""
        images = self.images if split == 'train' else self.val
        if kind == 'classification':
            return images
        return max(4 if split == 'train' else 2, images // 4)

    @property
    def num_pictures(self) -> int:
        """Of all kinds and splits."""
        return sum(self.count(kind, split) for kind in KINDS for split in SPLITS)

    def meta(self) -> dict:
        """The settings and what follows from them, as kept in ``meta.json``."""
        return {
            'generator_version': GENERATOR_VERSION,
            **asdict(self),
            'counts': {kind: {s: self.count(kind, s) for s in SPLITS} for kind in KINDS},
            'class_names': list(CLASS_NAMES),
            'segmentation_names': list(ADE_CLASS_NAMES),
        }


def scene_id(index: int) -> int:
    """COCO image id of a scene; ids start at 1, as some readers take 0 for none."""
    return index + 1


def class_image(out: Path, split: str, index: int) -> Path:
    """A classification image in the ImageNet layout."""
    return out / 'imagenet' / split / CLASS_NAMES[index % len(CLASS_NAMES)] / f'{index:06d}.jpg'


def ade_image(out: Path, split: str, index: int) -> Path:
    """A scene in the ADE20K layout."""
    return out / 'ade' / 'images' / _ADE_SPLIT[split] / f'{scene_id(index):012d}.jpg'


def ade_map(out: Path, split: str, index: int) -> Path:
    """A scene's label map in the ADE20K layout."""
    return out / 'ade' / 'annotations' / _ADE_SPLIT[split] / f'{scene_id(index):012d}.png'


def coco_image(out: Path, split: str, index: int) -> Path:
    """A scene in the COCO layout."""
    return out / 'coco' / _COCO_SPLIT[split] / f'{scene_id(index):012d}.jpg'


def coco_annotations(out: Path, split: str) -> Path:
    """The instances of a split in the COCO layout."""
    return out / 'coco' / 'annotations' / f'instances_{_COCO_SPLIT[split]}.json'


def all_files(out: Path, settings: SceneSettings) -> Iterator[Path]:
    """Every file of a complete data set but ``meta.json``."""
    for split in SPLITS:
        for index in range(settings.count('classification', split)):
            yield class_image(out, split, index)
        for index in range(settings.count('scene', split)):
            yield ade_image(out, split, index)
            yield ade_map(out, split, index)
            yield coco_image(out, split, index)
        yield coco_annotations(out, split)
