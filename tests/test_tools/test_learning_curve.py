from learning_curve import draw_learning_curve
from PIL import Image


def test_draws_a_picture(tmp_path) -> None:
    scalars = [dict(step=step, loss=4. - step / 10, hit_rate=step / 20) for step in range(10)]
    draw_learning_curve(scalars, 64, tmp_path / 'curve.png', 'title')
    colours = Image.open(tmp_path / 'curve.png').convert('RGB').getcolors(2**20)
    assert {(0x1f, 0x5f, 0xa8), (0xb0, 0x4a, 0x2f)} <= {colour for _, colour in colours}
