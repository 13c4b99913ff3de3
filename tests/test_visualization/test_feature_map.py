import numpy as np
import pytest
import torch
from feature_map import (
    COLOURS,
    MARKERS,
    class_style,
    draw_feature_map,
    map_features,
    spread_points,
)

from conmim_mm.errors import InputError


def test_clusters_stay_together_and_a_seed_repeats() -> None:
    torch.manual_seed(0)
    centres = torch.eye(8)[:3].repeat_interleave(20, dim=0)
    points = map_features((centres + 0.05 * torch.randn(60, 8)).numpy())
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 20 == np.arange(60) // 20).all()
    torch.manual_seed(0)
    assert (map_features((centres + 0.05 * torch.randn(60, 8)).numpy()) == points).all()


def test_too_few() -> None:
    with pytest.raises(InputError, match='at least 5 images, but there are 4'):
        map_features(np.ones((4, 8)))


def test_classes_look_different() -> None:
    number = len(COLOURS) * len(MARKERS)
    assert len({class_style(label) for label in range(number)}) == number


def test_thumbnails_do_not_overlap() -> None:
    points = np.random.default_rng(0).random((200, 2))
    chosen = points[spread_points(points, 10, 0.2)]
    gaps = np.abs(chosen[:, None] - chosen[None]).max(axis=-1)
    assert len(chosen) == 10 and (gaps[~np.eye(10, dtype=bool)] >= 0.2).all()


def test_every_class_has_its_colour_on_the_map() -> None:
    points = np.array([[0., 0.], [1., 0.], [0., 1.]])
    picture = draw_feature_map(points, 'title', [0, 1, 2], ['a', 'b', 'c'])
    # of the legend's markers at least the middle is opaque; alpha 0.8 on white
    for colour in ((0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73)):
        blended = np.round(0.8 * np.array(colour) + 0.2 * 255)
        assert (np.abs(picture - blended).max(axis=-1) <= 2).any()
