"""tools/benchmarks/step_cost.py and cost_model.py: counts and what follows from them."""

import json

import cost_model
import pytest
import step_cost as cost
import step_variants
from mmengine.registry import MODELS, init_default_scope
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..toy import model_cfg, random_inputs


def toy_sizes(batch: int) -> cost.StepSizes:
    """Those of tests/toy.py."""
    return cost.StepSizes(
        embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48, patch_size=8,
        img_size=32, hid_channels=32, out_channels=16, batch=batch)


@pytest.fixture
def model():
    init_default_scope('mmpretrain')
    model = MODELS.build(model_cfg(layer_scale_init_value=0.1))
    model.init_weights()
    return model


def test_counts_every_matrix_product(model) -> None:
    inputs = random_inputs(3)
    sizes = toy_sizes(3)
    # fused attention on a CPU is not counted by PyTorch
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss = model.loss(inputs)['loss']
        forward = counter.get_total_flops()
        loss.backward()
    parts = cost.forward_flops(sizes)
    assert forward == 2 * sum(parts.values())  # student and teacher; loss and what is logged
    assert counter.get_total_flops() == sum(cost.step_flops(sizes).values())


def test_bytes_by_hand() -> None:
    sizes = toy_sizes(3)
    parts = cost.step_bytes(sizes, activation_bytes=2)
    parameters = cost.num_parameters(sizes)
    assert parts['parameters'] == 16 * parameters
    assert parts['optimizer'] == 36 * parameters
    assert parts['teacher'] == 12 * parameters
    assert parts['images'] == 2 * (3 * 3 * 32 * 32) * (1 + 4)
    rows = 3 * 17
    block, projector = 2 * rows * (8 * 24 + 48), 4 * rows * (2 * 32 + 16)
    bias, logits = 2 * 2 * 17 * 17, 3 * 16 * 16
    assert parts['activations'] == 4 * 2 * (2 * block + projector + bias) + 3 * 2 * 4 * logits
    twice = cost.step_bytes(cost.StepSizes(**{**vars(sizes), 'batch': 6}), activation_bytes=2)
    assert twice['parameters'] == parts['parameters'] and twice['images'] == 2 * parts['images']


def test_sizes_of_a_recipe_are_its_models() -> None:
    cfg = step_variants.recipe(step_variants.Settings('tiny', 64, 'float32', 'cpu'))
    init_default_scope('mmpretrain')
    model = MODELS.build(cfg.model)
    trained = sum(param.numel() for param in model.parameters() if param.requires_grad)
    assert cost.num_parameters(cost.sizes_of(cfg, 1)) == trained
    assert cost.state_bytes(cost.sizes_of(cfg, 1)) == 5 * 4 * trained
    assert cost.sizes_of(cfg, 1).tokens == 1 + model.backbone.grid[0] * model.backbone.grid[1]


def test_run_cost_by_hand() -> None:
    # 10^12 operations an image at half of 4 * 10^12 a second: two images a second on each of 3
    found = cost_model.run_cost(1e12, images=3600, epochs=12, gpus=3, tflops=4., utilisation=0.5,
                                gpu_hour_price=10.)
    assert found == pytest.approx(dict(
        images_per_second=6., hours=2., gpu_hours=6., exaflop=0.0432, price=60.))
    assert 'price' not in cost_model.run_cost(1e12, 1, 1, 1, 1., 1., None)


def test_default_is_the_paper_run(run_script, capsys) -> None:
    run_script(cost_model, '--json')
    model = json.loads(capsys.readouterr().out)
    run = model['run']
    assert (run['epochs'], run['images'], run['gpus']) == (800, 1_281_167, 8)
    assert (run['tflops'], run['utilisation']) == (989., 0.55)
    per_image = sum(model['tflop'].values()) / 256 * 1e12
    assert run['hours'] == pytest.approx(
        per_image * 800 * 1_281_167 / (8 * 989e12 * 0.55) / 3600)
    run_script(cost_model, '--gpu-hour-price', 2)
    text = capsys.readouterr().out
    assert text.startswith('A model, not a measurement.\n')
    assert f'{run["hours"]:.1f} hours' in text
    assert text.rstrip().endswith(f'{2 * run["gpu_hours"]:,.0f} in all')


@pytest.mark.parametrize('args, words', [
    (('--utilisation', 1.5), '--utilisation must be above 0 and at most 1'),
    (('--gpus', 0), '--gpus must be above 0'),
    (('--img-size', 100), '--img-size must be divisible by 16, but is 100'),
    (('--gpu-hour-price', -1), '--gpu-hour-price must not be negative'),
])
def test_bad_arguments_get_one_line(refused, args: tuple, words: str) -> None:
    assert refused(cost_model, *args) == f'error: {words}'
