import torch
from mmpretrain.registry import MODELS


def test_numbers_of_one_channel_need_no_brackets() -> None:
    """As options of the command line give them."""
    preprocessor = MODELS.build(dict(
        type='ConMIMDataPreprocessor', mean=100., std=50., shown_bands=1))
    assert preprocessor.shown_bands == (1, )
    assert (preprocessor.normalise(torch.full((1, 1, 2, 2), 125.)) == 0.5).all()


def test_preprocessor_normalises_views_and_leaves_the_mask() -> None:
    preprocessor = MODELS.build(dict(type='ConMIMDataPreprocessor', mean=(0, 0, 0), std=(2, 2, 2),
                                     to_rgb=True))
    view = torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2)
    mask = torch.tensor([[True, False]])
    inputs = preprocessor(dict(inputs=dict(student_view=view, teacher_view=view, mask=mask)))[
        'inputs']
    torch.testing.assert_close(inputs['student_view'], view.flip(1) / 2)
    torch.testing.assert_close(inputs['teacher_view'], view.flip(1) / 2)
    assert torch.equal(inputs['mask'], mask)
