"""The embedded data set: generated scenes of ten classes of shape, in three layouts."""

from .compose import Scene, classification_image, min_visible_pixels, scene_image
from .layout import ADE_CLASS_NAMES, SceneSettings
from .shapes import CLASS_NAMES
from .writers import make_scenes

__all__ = [
    'ADE_CLASS_NAMES',
    'CLASS_NAMES',
    'Scene',
    'SceneSettings',
    'classification_image',
    'make_scenes',
    'min_visible_pixels',
    'scene_image',
]
