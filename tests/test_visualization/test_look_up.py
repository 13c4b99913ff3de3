import numpy as np
import pytest
import torch

from conmim_mm.models.heads.conmim_head import centre_positions
from conmim_mm.models.losses.patch_infonce_loss import cosine_similarities
from conmim_mm.visualization.look_up import LookUp, describe_score, look_up, spread_holes
from conmim_mm.visualization.sheets import draw_filled_holes, draw_similarities

from ..toy import build_model, random_inputs, tokens_and_pixels_cfg


def test_it_is_what_the_loss_sees(model) -> None:
    inputs = random_inputs(8)
    mask = inputs['mask']
    found = look_up(model, inputs)
    model.eval()
    student = model.neck(model.backbone.forward_tokens(inputs['student_view'], mask))[:, 1:]
    teacher = model.teacher(inputs['teacher_view'])[:, 1:]
    own, others = (torch.nn.functional.normalize(tokens, dim=-1) for tokens in (student, teacher))
    torch.testing.assert_close(found.similarity, own @ others.transpose(1, 2))
    logged = model.loss(inputs)
    log_probs = (found.similarity / 0.1).log_softmax(dim=-1).diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(logged['loss'], -log_probs[mask].mean())
    assert torch.equal(found.hits.sum() / mask.sum(), logged['hit_rate'])


@pytest.mark.parametrize('count', [1, 8])
def test_it_is_by_tokens_where_pixels_are_looked_up_too(count: int) -> None:
    model, inputs = build_model(tokens_and_pixels_cfg()), random_inputs(count)
    torch.manual_seed(0)
    with torch.no_grad():  # so that tokens of holes differ by more than rounding
        for param in model.parameters():
            param.add_(0.1 * torch.randn_like(param))
    found, mask = look_up(model, inputs), inputs['mask']
    model.eval()
    student = model.student_tokens(inputs['student_view'], mask)[0][..., :24]
    teacher = model.teacher(inputs['teacher_view'])[:, 1:, :24]
    if count > 1:
        student = centre_positions(student, mask)
        teacher = centre_positions(teacher, torch.ones_like(mask))
    else:
        student, teacher = student - student[mask].mean(dim=0), teacher - teacher.mean(dim=1)
    torch.testing.assert_close(found.similarity, cosine_similarities(student, teacher))


def by_hand() -> LookUp:
    similarity = torch.tensor([[[.9, .1, .2, .3], [.5, .4, .6, .3], [.1, .2, .3, .0],
                                [.8, .7, .6, .5]]])
    return LookUp(similarity, torch.tensor([[False, True, True, True]]))


def test_matches_hits_and_ranks_by_hand() -> None:
    found = by_hand()
    assert found.matches.tolist() == [[0, 2, 2, 0]]
    assert found.hits.tolist() == [[False, False, True, False]]
    assert found.ranks.tolist() == [[1, 3, 1, 4]]
    assert describe_score(found) == 'Right for 1 of 3 holes (33.3%; by chance 25.0%).'


def test_holes_are_spread() -> None:
    mask = torch.zeros(20, dtype=torch.bool)
    mask[4:16] = True
    assert spread_holes(mask, 3) == [6, 10, 14]
    assert spread_holes(mask, 100) == list(range(4, 16))


def test_frames_mark_what_is_right() -> None:
    """The pictures change where the look-up does, and the right patch is framed blue."""
    image = np.full((16, 16, 3), 200, dtype=np.uint8)
    blue = (0x00, 0x72, 0xB2)
    right = draw_filled_holes([image], by_hand(), (2, 2))
    wrong = draw_filled_holes([image], LookUp(by_hand().similarity.roll(1, 2), by_hand().mask),
                              (2, 2))
    assert (right == blue).all(axis=-1).any() and not (wrong == blue).all(axis=-1).any()
    vermilion = (0xD5, 0x5E, 0x00)
    picture = draw_similarities([image], [image], by_hand(), (2, 2), count=3)
    assert (picture == vermilion).all(axis=-1).any()
