import torch

from ...toy import build_model, visible_cfg


def test_the_pixels_of_a_patch_stand_behind_its_token() -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    model = build_model(visible_cfg() | dict(teacher=dict(type='TokensAndPixelsTeacher')))
    targets = model.teacher(images)
    assert targets.shape == (2, 17, 24 + 3 * 8 * 8)
    patch = images[1, :, 8:16, 24:]  # the second row's last
    torch.testing.assert_close(targets[1, 8, 24:].reshape(3, 8, 8), (patch - patch.mean()) / (
        patch.var(correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(model.teacher(3 * images + 1)[..., 24:], targets[..., 24:],
                               rtol=0, atol=1e-3)
