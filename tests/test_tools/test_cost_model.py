"""tools/benchmarks/cost_model.py: counts and what follows from them."""

import json

import cost_model
import pytest
import step_variants


def test_counts_every_matrix_product() -> None:
    cfg = step_variants.recipe(step_variants.Settings('tiny', 64, 'float32', 'cpu'))
    vit, neck, patches, tokens = cfg.model.backbone.arch, cfg.model.neck, 16, 17
    width, hidden = vit.embed_dims, neck.hid_channels
    blocks = tokens * vit.num_layers * width * (4 * width + 2 * vit.feedforward_channels)
    projector = tokens * hidden * (width + hidden + neck.out_channels)
    attention = vit.num_layers * 2 * tokens**2 * width
    # a product and a sum; student forth and back (but to the images), teacher forth
    assert step_variants.step_flops(cfg) == dict(
        patches=2 * 3 * patches * 3 * 16**2 * width,
        linear=2 * 4 * (blocks + projector),
        # the teacher's side of the logits has no gradient; once more for the log
        attention=2 * (4 * attention + 3 * patches**2 * neck.out_channels))


def test_run_cost_by_hand() -> None:
    # 10^12 operations an image at half of 4 * 10^12 a second: two images a second on each of 3
    cost = cost_model.run_cost(1e12, images=3600, epochs=12, gpus=3, tflops=4., utilisation=0.5,
                               gpu_hour_price=10.)
    assert cost == pytest.approx(dict(
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
