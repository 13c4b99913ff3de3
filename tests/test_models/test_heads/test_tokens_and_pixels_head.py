import torch

from conmim_mm.models.heads.conmim_head import ConMIMHead
from conmim_mm.models.heads.tokens_and_pixels_head import TokensAndPixelsHead


def test_tokens_and_pixels_are_looked_up_by_themselves() -> None:
    settings = dict(loss=dict(type='PatchInfoNCELoss', temperature=0.1), centre_positions=True)
    head, plain = TokensAndPixelsHead(num_pixels=5, **settings), ConMIMHead(**settings)
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 17, 8 + 5)
    mask = torch.rand(4, 16) < 0.5
    tokens, pixels = (plain.loss(student[..., part], teacher[..., part], mask)
                      for part in (slice(8), slice(8, None)))
    torch.testing.assert_close(head.loss(student, teacher, mask),
                               tokens | dict(loss=tokens['loss'] + pixels['loss']))
