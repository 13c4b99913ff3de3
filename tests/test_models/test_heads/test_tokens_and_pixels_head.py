import pytest
import torch

from conmim_mm.models.heads.conmim_head import ConMIMHead
from conmim_mm.models.heads.tokens_and_pixels_head import TokensAndPixelsHead


@pytest.mark.parametrize('weight', [1., 3., 0.])
def test_tokens_and_pixels_are_looked_up_by_themselves(weight: float) -> None:
    settings = dict(loss=dict(type='PatchInfoNCELoss', temperature=0.1), centre_positions=True)
    head = TokensAndPixelsHead(num_pixels=5, pixel_weight=weight, **settings)
    plain = ConMIMHead(**settings)
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 17, 8 + 5)
    mask = torch.rand(4, 16) < 0.5
    tokens, pixels = (plain.loss(student[..., part], teacher[..., part], mask)
                      for part in (slice(8), slice(8, None)))
    both = (tokens['loss'] + weight * pixels['loss']) / (1 + weight)
    torch.testing.assert_close(head.loss(student, teacher, mask), tokens | dict(loss=both))
