import pytest
import torch

from conmim_mm.datasets.labelled_folder import UNREADABLE
from conmim_mm.errors import InputError
from conmim_mm.evaluation import FrozenFeatureMetric, evaluate_features
from conmim_mm.evaluation.metrics import frozen_features

CENTRES = torch.tensor([[3., 0., 0.], [0., 3., 0.], [0., 0., 3.]])


@pytest.fixture
def predictions() -> list[dict]:
    """Of 24 images to learn from and 12 held out, of which some are hard to tell apart."""
    torch.manual_seed(1)
    return [dict(features=CENTRES[i % 3] + 2 * torch.randn(3), gt_label=torch.tensor([i % 3]),
                 sample_idx=i, held_out=i >= 24) for i in range(36)]


def judged(predictions: list[dict], k: int = 5) -> dict[str, float]:
    metric = FrozenFeatureMetric(k)
    for start in range(0, len(predictions), 7):
        metric.process({}, predictions[start:start + 7])
    values = metric.evaluate(len(predictions))
    assert metric.results == []
    return values


def test_percentages_of_the_part_held_out(predictions) -> None:
    features = torch.stack([sample['features'] for sample in predictions])
    labels = torch.arange(36) % 3
    expected = evaluate_features((features[:24], labels[:24]), (features[24:], labels[24:]), k=5)
    values = judged(predictions)
    assert values == {'val/knn_top1': 100 * expected['knn'].value,
                      'val/linear_top1': 100 * expected['linear'].value, 'val/held_out': 12}
    assert 60 < values['val/knn_top1'] < 100
    assert judged(predictions, k=1) != values


def test_twice_and_in_another_order_is_the_same(predictions) -> None:
    """As processes have them, whose samplers fill up the last batch with the first images."""
    expected = judged(predictions)
    assert judged(predictions[1::2] + predictions[:1] + predictions[::2]) == expected


def test_unreadable_images_are_as_if_they_were_not_there(predictions) -> None:
    rest = [sample for i, sample in enumerate(predictions) if i not in (3, 30)]
    for i in (3, 30):
        predictions[i]['gt_label'] = torch.tensor([UNREADABLE])
    values = judged(predictions)
    assert values == judged(rest) and values['val/held_out'] == 11

    for sample in predictions[24:]:
        sample['gt_label'] = torch.tensor([UNREADABLE])
    with pytest.raises(RuntimeError, match='none of the images held out can be read'):
        judged(predictions)


def test_features_that_do_not_fit_the_device_count_alike(predictions, monkeypatch) -> None:
    expected = judged(predictions)
    monkeypatch.setattr(frozen_features, 'MAX_ON_DEVICE', 1)
    assert judged(predictions) == expected


def test_no_neighbours_are_refused() -> None:
    with pytest.raises(InputError, match='k of FrozenFeatureMetric must be at least 1, not 0'):
        FrozenFeatureMetric(k=0)
