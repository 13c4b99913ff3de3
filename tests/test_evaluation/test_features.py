"""Features are those of a frozen backbone, which is then as it was."""

import pytest
import torch
from mmpretrain.structures import DataSample
from torch import nn

from conmim_mm.engine.hooks.compile_hook import regions_of
from conmim_mm.errors import InputError, UnreadableImageError
from conmim_mm.evaluation import extract_features, image_features
from conmim_mm.models import ConMIMDataPreprocessor
from conmim_mm.utils.inspection import inspection

from ..toy import IMG_SIZE, build_model


class Samples(torch.utils.data.Dataset):
    """Random images, their number the label."""

    def __init__(self, count: int) -> None:
        self.images = torch.randint(0, 256, (count, 3, IMG_SIZE, IMG_SIZE), dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=self.images[index],
                    data_samples=DataSample().set_gt_label(index))


@pytest.mark.parametrize('num_workers', [0, 2])
def test_mean_of_the_patch_tokens_and_no_trace_of_it(num_workers: int) -> None:
    backbone = build_model(drop_path_rate=0.5).backbone
    samples, preprocessor = Samples(5), ConMIMDataPreprocessor()
    state = torch.get_rng_state()
    weights = {name: value.clone() for name, value in backbone.state_dict().items()}
    features, labels = extract_features(
        backbone, samples, preprocessor, batch_size=2, num_workers=num_workers)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, weights[name]) for name, value in backbone.state_dict().items())
    assert labels.tolist() == [0, 1, 2, 3, 4] and labels.dtype == torch.int64
    assert features.dtype == torch.float32 and not features.requires_grad
    with inspection(backbone):
        tokens = backbone.forward_tokens(preprocessor(dict(inputs=samples.images))['inputs'])
        expected = backbone.fc_norm(tokens[:, 1:].mean(dim=1))
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)
    assert backbone.training


class Damaged(Samples):
    """Of which all but the second and the fifth image cannot be read."""

    def __getitem__(self, index: int) -> dict:
        if index in (1, 4):
            return super().__getitem__(index)
        raise UnreadableImageError(f'cannot read {index}.png', 'not an image')


@pytest.mark.parametrize('num_workers', [0, 1])
def test_unreadable_images_are_left_out(num_workers: int) -> None:
    backbone, samples, preprocessor = build_model().backbone, Damaged(6), ConMIMDataPreprocessor()
    batches = [*image_features(backbone, samples, preprocessor, 2, num_workers)]
    assert [batch.indices for batch in batches] == [[1], [], [4]]
    assert [batch.labels for batch in batches] == [[1], [], [4]]
    unreadable = [pair for batch in batches for pair in batch.unreadable]
    assert [(index, str(error), error.reason) for index, error in unreadable] == [
        (index, f'cannot read {index}.png', 'not an image') for index in (0, 2, 3, 5)]

    readable = torch.utils.data.Subset(samples, [1, 4])
    expected, _ = extract_features(backbone, readable, preprocessor, num_workers=0)
    features, labels = extract_features(backbone, samples, preprocessor, num_workers=num_workers)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(torch.cat([batch.features for batch in batches]), expected)
    assert labels.tolist() == [1, 4]

    with pytest.raises(InputError, match='none of the 1 images can be read: cannot read 0.png'):
        extract_features(backbone, Damaged(1), preprocessor, num_workers=0)


def test_each_part_goes_back_to_its_own_mode() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Dropout()))
    model[1].eval()
    model[1][1].train()
    before = [module.training for module in model.modules()]
    with inspection(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    assert before == [True, True, False, False, True]


@pytest.mark.skipif(not hasattr(torch.compiler, 'set_stance'), reason='PyTorch before 2.6')
def test_nothing_is_compiled_for_it() -> None:
    compiled = []

    def backend(graph: torch.fx.GraphModule, example_inputs: list):
        compiled.append(graph)
        return graph.forward

    backbone = build_model().backbone
    for block in regions_of(backbone):
        block.compile(backend=backend)
    extract_features(backbone, Samples(2), ConMIMDataPreprocessor(), num_workers=0)
    assert compiled == []
    with torch.no_grad():
        backbone.forward_tokens(torch.zeros(1, 3, IMG_SIZE, IMG_SIZE))
    assert compiled
