"""Settings of data that no data set could make sense of end in one line."""

from pathlib import Path

import pytest
from mmengine.config import Config

from conmim_mm.apis.data_settings import sound_data_settings
from conmim_mm.errors import InputError

EMPTY = ValueError('need at least one array to concatenate')


def config(folder: Path, **dataset: object) -> Config:
    return Config(dict(train_dataloader=dict(dataset=dict(
        type='BaseSegDataset', data_root=str(folder), data_prefix=dict(img_path='images')) |
        dataset)))


def refusal(cfg: Config, error: Exception) -> str:
    with pytest.raises(InputError) as caught, sound_data_settings(cfg):
        raise error
    return str(caught.value)


@pytest.mark.parametrize('wrap', [lambda dataset: dataset,
                                  lambda dataset: dict(type='RepeatDataset', dataset=dataset)])
def test_a_single_class_without_its_comma(tmp_path, wrap) -> None:
    cfg = config(tmp_path, metainfo=dict(classes='cat'))
    cfg.train_dataloader.dataset = wrap(cfg.train_dataloader.dataset)
    assert "metainfo.classes is the text 'cat', not a list of names" in refusal(cfg, EMPTY)
    for classes in (('cat', ), ['cat', 'dog'], __file__):  # a file may list the names
        with sound_data_settings(config(tmp_path, metainfo=dict(classes=classes))):
            pass


@pytest.mark.parametrize('name, suffix, ending', [
    ('a.png', {}, '.png'), ('a.JPG', {}, '.JPG'), ('a.jpg', dict(img_suffix='_rgb.jpg'), '.jpg')])
def test_images_of_another_ending_are_named(tmp_path, name, suffix, ending) -> None:
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / name).touch()
    assert refusal(config(tmp_path, **suffix), EMPTY).endswith(
        f'1 end in {ending}: set train_dataloader.dataset.img_suffix={ending}')


def test_other_errors_stay_as_they_are(tmp_path) -> None:
    (tmp_path / 'images').mkdir()
    for error in (EMPTY, ValueError('another'), KeyError('x')):
        with pytest.raises(type(error)) as caught, sound_data_settings(config(tmp_path)):
            raise error
        assert caught.value is error
