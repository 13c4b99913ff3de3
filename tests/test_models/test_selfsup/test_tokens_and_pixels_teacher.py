import pytest
import torch
from mmpretrain.registry import MODELS

from conmim_mm.errors import InputError

from ...toy import build_model, tokens_and_pixels_cfg, visible_cfg


def test_the_pixels_of_a_patch_stand_behind_its_token() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = build_model(tokens_and_pixels_cfg())
    targets = model.teacher(images)
    assert targets.shape == (2, 17, 24 + 3 * 8 * 8)
    patch = images[1, :, 8:16, 24:]  # the second row's last
    torch.testing.assert_close(targets[1, 8, 24:].reshape(3, 8, 8), (patch - patch.mean()) / (
        patch.var(correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(model.teacher(3 * images + 1)[..., 24:], targets[..., 24:],
                               rtol=0, atol=1e-3)


@pytest.mark.parametrize('change, words', [
    (dict(neck=dict(out_channels=24)), 'TokensAndPixelsTeacher.s targets: set '
     'model.neck.out_channels=216'),
    (dict(head=dict(num_pixels=64)), 'gives 192 pixels of a patch, but the head wants 64'),
    (dict(teacher=dict(type='EMATeacher')), 'gives 0 pixels of a patch, but the head wants 192'),
    (dict(head=dict(num_pixels=0)), 'num_pixels must be at least 1'),
    (dict(head=dict(pixel_weight=-1.)), 'pixel_weight at least 0')])
def test_parts_that_do_not_fit_are_refused(change: dict, words: str) -> None:
    cfg = tokens_and_pixels_cfg()
    for part, keys in change.items():
        cfg[part].update(keys)
    with pytest.raises(InputError, match=words):
        MODELS.build(cfg)


def test_a_head_without_pixels_takes_no_pixels() -> None:
    cfg = visible_cfg()
    cfg['neck'], cfg['teacher'] = (tokens_and_pixels_cfg()[part] for part in ('neck', 'teacher'))
    with pytest.raises(InputError, match='gives 192 pixels of a patch, but the head wants 0'):
        MODELS.build(cfg)
