"""mmpretrain finds this project's models by name, without losing its own."""

import shutil
from pathlib import Path

import mmpretrain
import pytest
import torch
import yaml
from mmpretrain.apis.model import ModelHub

from conmim_mm.errors import InputError
from conmim_mm.utils import model_zoo, shipped_files
from conmim_mm.utils.shipped_files import shipped_file

from ..conftest import ROOT


@pytest.fixture
def new_hub(monkeypatch) -> None:
    """The hub after the import of conmim_mm, of mmpretrain's models (which take long) just one."""
    monkeypatch.setattr(ModelHub, '_models_dict', {'resnet50_8xb32_in1k': None})
    monkeypatch.setattr(ModelHub, '_ModelHub__mmpretrain_registered', True)
    model_zoo._read_metafiles.cache_clear()
    yield
    model_zoo._read_metafiles.cache_clear()


def test_models_are_found_by_name(monkeypatch) -> None:
    # for mmpretrain's hundreds of models, in a tenth of the time
    monkeypatch.setattr(yaml, 'SafeLoader', yaml.CSafeLoader)
    names = mmpretrain.list_models('conmim')
    assert {'conmim_vit-s_8xb256', 'conmim_vit-l_8xb32-5e_in1k-384px'} <= set(names)
    assert not [name for name in names if 'upernet' in name or 'mask-rcnn' in name]
    assert 'resnet50_8xb32_in1k' in mmpretrain.list_models('resnet50')
    # those with a figure say their task
    assert len(mmpretrain.list_models('conmim', task='Image Classification')) == 6

    with torch.device('meta'):  # the sizes are those of the paper
        model = mmpretrain.get_model('conmim_vit-s_8xb256')
        classifier = mmpretrain.get_model('conmim_vit-b_8xb64-10e_in1k-384px')
    assert type(model).__name__ == 'ConMIM' and model.backbone.embed_dims == 384
    assert classifier.backbone.img_size == (384, 384) and classifier.head.num_classes == 1000


def test_nothing_is_read_before_it_is_asked_for(new_hub) -> None:
    assert len(ModelHub._models_dict) == 1
    model_zoo.register_models()  # imported again: nothing is added twice
    assert len(ModelHub._models_dict) == 1
    metainfo = ModelHub.get('conmim_vit-s_8xb256')
    # an installation links to the checkout's
    assert Path(metainfo.config.filename).resolve() == ROOT / 'configs/conmim/vit-s_8xb256.py'
    assert metainfo.full_model.metadata.data['Architecture'] == ['ViT']


@pytest.mark.parametrize('package', ['site-packages/conmim_mm/.mim', 'checkout'])
def test_configs_are_found_in_a_wheel_and_in_a_checkout(package, tmp_path, monkeypatch) -> None:
    root = tmp_path / package
    for name in model_zoo.METAFILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    own = root.parent if root.name == '.mim' else root / 'conmim_mm'
    monkeypatch.setattr(shipped_files, 'PACKAGE', own)
    assert [shipped_file(name) for name in model_zoo.METAFILES] == [
        root / name for name in model_zoo.METAFILES]
    monkeypatch.setattr(shipped_files, 'PACKAGE', tmp_path / 'nowhere' / 'conmim_mm')
    with pytest.raises(InputError, match='is missing'):
        shipped_file(model_zoo.METAFILES[0])


def test_a_damaged_metafile_takes_nothing_else_away(new_hub, tmp_path: Path, monkeypatch,
                                                    caplog) -> None:
    for name in model_zoo.METAFILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('Models: [')
    monkeypatch.setattr(shipped_files, 'PACKAGE', tmp_path / 'conmim_mm')
    monkeypatch.setattr(model_zoo, 'print_log', lambda line, **_: lines.append(line))
    lines = []
    assert mmpretrain.list_models() == ['resnet50_8xb32_in1k']
    assert len(lines) == 1 and 'conmim/metafile.yml' in lines[0]
