"""The evaluation during training, put into configs."""

import pytest
from mmengine.config import Config

from conmim_mm.apis.options import add_online_evaluation
from conmim_mm.errors import InputError

from ..conftest import CONFIGS


@pytest.mark.parametrize('name', ['vit-tiny_1xb32_scenes-64px.py', 'vit-l_32xb64_fsdp.py'])
def test_our_configs_keep_what_they_had(name: str, tmp_path) -> None:
    before = Config.fromfile(CONFIGS / 'conmim' / name)
    cfg = Config.fromfile(CONFIGS / 'conmim' / name)
    add_online_evaluation(cfg, str(tmp_path))
    assert 'custom_hooks' not in before
    assert cfg.custom_hooks == [
        dict(type='mmpretrain.OnlineEvaluationHook', data_root=str(tmp_path))]
    assert cfg.default_hooks.checkpoint == before.default_hooks.checkpoint | dict(
        save_best='val/knn_top1', rule='greater')
    assert {key: hook for key, hook in cfg.default_hooks.items() if key != 'checkpoint'} == {
        key: hook for key, hook in before.default_hooks.items() if key != 'checkpoint'}


def test_settings_of_ones_own_are_kept(tmp_path) -> None:
    cfg = Config(dict(
        custom_hooks=[dict(type='OnlineEvaluationHook', data_root='elsewhere', k=5)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='val/linear_top1'))))
    add_online_evaluation(cfg, str(tmp_path))
    assert cfg.custom_hooks == [
        dict(type='OnlineEvaluationHook', data_root=str(tmp_path), k=5)]
    assert cfg.default_hooks.checkpoint == dict(
        type='CheckpointHook', save_best='val/linear_top1')


def test_configs_without_hooks_get_them(tmp_path) -> None:
    cfg = Config(dict(model=dict()))
    add_online_evaluation(cfg, str(tmp_path))
    assert cfg.default_hooks.checkpoint.save_best == 'val/knn_top1'
    assert len(cfg.custom_hooks) == 1
    without = Config(dict(default_hooks=dict(checkpoint=None)))
    add_online_evaluation(without, str(tmp_path))
    assert without.default_hooks.checkpoint is None


def test_no_such_folder() -> None:
    with pytest.raises(InputError, match='no such folder of labelled images: /no/such'):
        add_online_evaluation(Config(dict()), '/no/such')
