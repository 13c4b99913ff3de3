import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from conmim_mm.datasets.labelled_folder import evaluation_pipeline


@pytest.mark.parametrize(('size', 'shape'), [
    (32, (3, 32, 32)), ((16, 32), (3, 16, 32)), ((32, 16), (3, 32, 16))])
def test_the_middle_is_seen_in_the_backbones_size(tmp_path, size, shape) -> None:
    """Height comes first; the picture's left half is dark, its right half light."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, 48:] = 200
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    sample = dict(img_path=str(tmp_path / 'a.png'))
    for transform in evaluation_pipeline(size):
        sample = TRANSFORMS.build(transform)(sample)
    inputs = sample['inputs']
    assert tuple(inputs.shape) == shape
    middle = shape[2] // 2
    assert (inputs[..., :middle - 2] == 0).all() and (inputs[..., middle + 2:] == 200).all()
