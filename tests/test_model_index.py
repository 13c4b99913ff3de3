"""model-index.yml and the metafiles, as mim and mmpretrain's model zoo read them."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from modelindex.load_model_index import load
from modelindex.models.Model import Model

from .conftest import CONFIGS, ROOT, load_tool

INDEX = load(str(ROOT / 'model-index.yml'))
FOLDERS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != '_base_')
# DESIGN: ImageNet-1K, fine-tuned, as published; the only figures that a metafile may state
PUBLISHED_TOP1 = {
    'conmim_vit-s_8xb128-100e_in1k-224px': 82.0,
    'conmim_vit-b_8xb128-100e_in1k-224px': 83.7,
    'conmim_vit-l_8xb64-50e_in1k-224px': 85.5,
    'conmim_vit-s_8xb64-10e_in1k-384px': 83.9,
    'conmim_vit-b_8xb64-10e_in1k-384px': 85.3,
    'conmim_vit-l_8xb32-5e_in1k-384px': 86.5,
}
MARK = 'Source of Results'
PUBLISHED = 'published in the ConMIM paper (arXiv 2205.09616), not measured with this code'


def recipes() -> Iterator[Path]:
    """All configs but those of generated images."""
    for folder in FOLDERS:
        yield from (path for path in (CONFIGS / folder).glob('*.py')
                    if not re.search('scenes|tiles|x-rays', path.stem))


@functools.cache
def config_of(model: Model) -> Config:
    return Config.fromfile(ROOT / model.config)


def model_id(model: Model) -> str:
    return model.name


every_model = pytest.mark.parametrize('model', list(INDEX.models), ids=model_id)


def test_the_validator_finds_nothing() -> None:
    assert INDEX.check(silent=True) == []
    assert {Path(model.filepath).parent.name for model in INDEX.models} == set(FOLDERS)
    for folder in FOLDERS:  # each also by itself, as conmim_mm.utils.model_zoo reads them
        alone = load(str(CONFIGS / folder / 'metafile.yml'))
        alone.build_models_with_collections()
        assert alone.check(silent=True) == []


def test_every_recipe_is_listed_once() -> None:
    listed = [model.config for model in INDEX.models]
    assert sorted(listed) == sorted(path.relative_to(ROOT).as_posix() for path in recipes())
    names = [model.name for model in INDEX.models]
    assert names == [f'conmim_{Path(config).stem}' for config in listed]
    assert len({name.lower() for name in names}) == len(names)


@every_model
def test_schedule_and_batch_are_the_configs(model: Model) -> None:
    cfg = config_of(model)
    processes = int(re.search(r'_(\d+)xb\d+', model.config)[1])
    batches = cfg.optim_wrapper.get('accumulative_counts', 1)
    expected = {'Batch Size': processes * cfg.train_dataloader.batch_size * batches}
    if 'max_epochs' in cfg.train_cfg:
        expected['Epochs'] = cfg.train_cfg.max_epochs
    else:
        expected['Iterations'] = cfg.train_cfg.max_iters
    stated = {key: model.metadata.data[key] for key in ('Epochs', 'Iterations', 'Batch Size')
              if key in model.metadata.data}
    assert stated == expected


@every_model
def test_parameters_are_the_models(model: Model) -> None:
    cfg = config_of(model)
    pytest.importorskip({'mmseg': 'mmseg', 'mmdet': 'mmcv._ext'}.get(cfg.default_scope, 'torch'))
    count = load_tool('benchmarks/model_size.py').count_parameters(cfg)
    assert model.metadata.parameters == count


@every_model
def test_operations_are_a_plain_vits(model: Model) -> None:
    cfg = config_of(model)
    stated = model.metadata.data.get('FLOPs')
    if cfg.default_scope != 'mmpretrain':
        assert stated is None
        return
    vit, width = cfg.model.backbone, cfg.model.backbone.arch.embed_dims
    patches = (vit.img_size // vit.patch_size)**2
    tokens = patches + 1
    embedding = patches * 3 * vit.patch_size**2 * width
    # q, k, v and projection; two layers; similarities and the sum they weigh
    block = tokens * width * (4 * width + 2 * vit.arch.feedforward_channels + 2 * tokens)
    assert stated == embedding + vit.arch.num_layers * block


def test_the_tool_counts_the_same_operations() -> None:
    listed = next(model for model in INDEX.models if 'images-224px' in model.name)
    count = load_tool('benchmarks/model_size.py').count_operations(config_of(listed))
    assert count == listed.metadata.data['FLOPs']


@every_model
def test_figures_are_the_papers_and_say_so(model: Model) -> None:
    assert model.weights is None  # none are published
    if model.results is None:
        assert MARK not in model.metadata.data
        assert model.name not in PUBLISHED_TOP1
        return
    assert model.metadata.data[MARK] == PUBLISHED
    assert [result.data for result in model.results] == [dict(
        Task='Image Classification', Dataset='ImageNet-1k',
        Metrics={'Top 1 Accuracy': PUBLISHED_TOP1[model.name]})]


def test_collections_claim_nothing() -> None:
    assert all(collection.results is None for collection in INDEX.collections)
