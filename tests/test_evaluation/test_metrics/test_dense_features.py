"""Mean IoU of gathered patch tokens, in per cent."""

import pytest
import torch

from conmim_mm.evaluation import DenseFeatureMetric
from conmim_mm.evaluation.dense import judge_maps, knn_scores, linear_scores, patch_bank
from conmim_mm.evaluation.features import PatchBatch
from conmim_mm.evaluation.metrics import dense_features


@pytest.fixture
def predictions() -> list[dict]:
    """Of 10 images to learn from and 5 held out, whose patches are hard to tell apart."""
    torch.manual_seed(1)
    maps = torch.randint(0, 3, (15, 8, 8), dtype=torch.uint8)
    tokens = torch.nn.functional.one_hot(maps[:, ::2, ::2].long(), 6) + 0.4 * torch.randn(
        15, 4, 4, 6)
    return [dict(patch_tokens=own, gt_map=labels, sample_idx=i, held_out=i >= 10)
            for i, (own, labels) in enumerate(zip(tokens, maps, strict=True))]


def judged(predictions: list[dict], k: int = 5) -> dict[str, float]:
    metric = DenseFeatureMetric(k)
    for start in range(0, len(predictions), 4):
        metric.process({}, predictions[start:start + 4])
    return metric.evaluate(len(predictions))


def test_percentages_of_the_part_held_out(predictions) -> None:
    tokens, maps = (torch.stack([sample[name] for sample in predictions])
                    for name in ('patch_tokens', 'gt_map'))
    bank = patch_bank([PatchBatch(tokens[:10], maps[:10])], 10)
    values = judged(predictions)
    assert values.pop('val/held_out') == 5
    for name, scores in dict(knn=knn_scores(bank, 5), linear=linear_scores(bank)).items():
        expected = judge_maps(dict(it=scores), [PatchBatch(tokens[10:], maps[10:])])['it']
        assert 20 < 100 * expected.value < 90
        assert values.pop(f'val/dense_{name}_miou') == pytest.approx(100 * expected.value, abs=1)
        assert values.pop(f'val/dense_{name}_miou_error') == pytest.approx(
            100 * expected.standard_error, abs=1)
    assert not values


def test_twice_and_in_another_order_is_the_same(predictions) -> None:
    """As processes have them, whose samplers fill up the last batch with the first images."""
    expected = judged(predictions)
    assert judged(predictions[1::2] + predictions[:1] + predictions[::2]) == expected


def test_unreadable_images_are_as_if_they_were_not_there(predictions) -> None:
    predictions[2]['gt_map'] = predictions[11]['gt_map'] = torch.full((8, 8), 255).byte()
    rest = [sample for i, sample in enumerate(predictions) if i not in (2, 11)]
    values = judged(predictions)
    assert values == judged(rest) and values['val/held_out'] == 4


def test_few_patches_of_many_are_learnt_from(predictions, monkeypatch) -> None:
    expected = judged(predictions)
    monkeypatch.setattr(dense_features, 'MAX_PATCHES', 30)
    assert judged(predictions) != expected
