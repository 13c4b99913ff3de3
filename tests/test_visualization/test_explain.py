"""What the training report shows while a run goes on."""

import numpy as np
import pytest
import torch

from conmim_mm.models import ConMIMDataPreprocessor
from conmim_mm.utils.inspection import inspection
from conmim_mm.visualization.explain import explain_samples
from conmim_mm.visualization.look_up import look_up
from conmim_mm.visualization.sheet import describe_bands, to_pixels

from ..toy import random_inputs


def test_nothing_of_the_model_changes(model) -> None:
    model.backbone.blocks[0].eval()  # as a frozen one
    inputs = random_inputs(6)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    rng, numpy_rng = torch.get_rng_state(), np.random.get_state()[1].copy()
    pictures = explain_samples(model, inputs, max_images=2)

    assert torch.equal(torch.get_rng_state(), rng)
    assert (np.random.get_state()[1] == numpy_rng).all()
    assert [module.training for module in model.modules()] == modes
    assert weights.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key]), key
    assert all(param.grad is None for param in model.parameters())
    assert torch.is_grad_enabled()
    assert {picture.name for picture in pictures} == {
        'patch_similarity', 'filled_holes', 'attention', 'token_pca'}
    for picture in pictures:
        assert picture.image.dtype == np.uint8 and picture.image.shape[2] == 3
        assert picture.title and 'by chance 6.2%' in picture.caption or picture.name in (
            'attention', 'token_pca')


def test_an_image_looks_the_same_whatever_is_beside_it(model) -> None:
    inputs = random_inputs(6)
    alone = look_up(model, {key: value[:1] for key, value in inputs.items()})
    torch.testing.assert_close(alone.similarity, look_up(model, inputs).similarity[:1])


def test_modes_come_back_after_an_error(model) -> None:
    with pytest.raises(RuntimeError), inspection(model):
        assert not model.training and not torch.is_grad_enabled()
        raise RuntimeError
    assert all(module.training for module in model.modules()) and torch.is_grad_enabled()


def test_pixels_come_back(model) -> None:
    pixels = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    normalised = model.data_preprocessor.normalise(pixels.float())
    assert (to_pixels(normalised, model.data_preprocessor) == pixels.permute(0, 2, 3, 1).numpy()
            ).all()


@pytest.mark.parametrize('channels, chosen, shown, words', [
    (5, None, (1, 2, 3), 'Shown as red, green and blue: channels 1, 2, 3 of 5.'),
    (5, (4, 3, 1), (4, 3, 1), 'Shown as red, green and blue: channels 4, 3, 1 of 5.'),
    (5, (2, ), (2, 2, 2), 'Shown as grey: channel 2 of 5.'),
    (2, None, (1, 1, 1), 'Shown as grey: channel 1 of 2.'), (1, None, (1, 1, 1), ''),
    (3, None, (1, 2, 3), ''), (3, (3, 2, 1), (3, 2, 1),
                               'Shown as red, green and blue: channels 3, 2, 1 of 3.')])
def test_bands_to_show(channels: int, chosen: tuple | None, shown: tuple, words: str) -> None:
    preprocessor = ConMIMDataPreprocessor(
        mean=range(channels), std=range(1, channels + 1), shown_bands=chosen)
    pixels = torch.randint(0, 256, (2, channels, 8, 8), dtype=torch.uint8)
    seen = to_pixels(preprocessor.normalise(pixels.float()), preprocessor)
    expected = pixels[:, [band - 1 for band in shown]].permute(0, 2, 3, 1)
    assert (seen == expected.numpy()).all()
    assert describe_bands(preprocessor, channels) == words
