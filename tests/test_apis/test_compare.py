"""Several backbones before the same judges, against the same one by one."""

import json

import pytest
import timm
import torch
from PIL import Image

from conmim_mm.apis import compare, knn, linear
from conmim_mm.commands import main
from conmim_mm.errors import InputError
from conmim_mm.evaluation.paired import paired_difference
from conmim_mm.formats.pooled_timm import pooled_timm


@pytest.fixture(scope='module')
def resnet(tmp_path_factory) -> str:
    """A model of timm's that is no ViT, as a source."""
    path = tmp_path_factory.mktemp('timm') / 'resnet.pth'
    torch.manual_seed(0)
    torch.save(timm.create_model('resnet10t').state_dict(), path)
    return f'timm:resnet10t={path}'


def test_each_as_by_itself(toy, labelled, resnet, capsys, tmp_path) -> None:
    names = [str(toy.out), resnet, 'random:']
    options = dict(img_size=32, workers=0)
    found = compare(names, labelled, out=tmp_path / 'bars.png', **options)
    assert list(found.scores) == names
    for name in names[:2]:
        for judge, function in dict(knn=knn, linear=linear).items():
            alone = function(name, labelled, **options)
            score = found.scores[name][judge]
            assert (score.value, score.standard_error) == (alone.top1, alone.standard_error)
            if name != names[0]:
                assert score.difference.value == pytest.approx(
                    alone.top1 - function(names[0], labelled, **options).top1)
    assert (found.num_images, found.num_reference, found.num_classes) == (6, 24, 3)
    assert Image.open(tmp_path / 'bars.png').size[0] > 1000

    path = tmp_path / 'numbers.json'
    main(['compare', *names, '--data', str(labelled), '--img-size', '32', '--workers', '0',
          '--json', str(path)])
    written = json.loads(path.read_text())['scores']
    assert written['random:']['knn']['value'] == found.scores['random:']['knn'].value
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith('random:') and ', p = ' in line


def test_a_paired_test_by_hand() -> None:
    """Of ten images both get 3 right and 1 wrong; one alone is right on 5, the other on 1."""
    right = torch.tensor([1, 1, 1, 0, 1, 1, 1, 1, 1, 0]).bool()
    reference = torch.tensor([1, 1, 1, 0, 0, 0, 0, 0, 0, 1]).bool()
    found = paired_difference(right, reference)
    assert found.value == pytest.approx(0.4)
    # differences: five of 1, one of -1, four of 0
    assert found.standard_error == pytest.approx(((6 / 10 - 0.4**2) / 10)**0.5)
    assert found.p_value == pytest.approx(2 * (1 + 6) / 2**6)  # heads once or never in six throws
    assert paired_difference(right, right) == (0., 0., 1.)


def test_pooled_features_as_timm_has_them(resnet) -> None:
    model, mean, std = pooled_timm(resnet)
    plain = timm.create_model('resnet10t')
    plain.load_state_dict(torch.load(resnet.partition('=')[2]))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = plain.eval().forward_head(plain.forward_features(images), pre_logits=True)
        torch.testing.assert_close(model.eval().mean_tokens(images), expected)
    assert (model.embed_dims, model.img_size) == (512, (176, 176))
    assert mean == pytest.approx((123.675, 116.28, 103.53)) and std[0] == pytest.approx(58.395)
    assert pooled_timm('timm:vit_tiny_patch16_224') is None  # is read as any plain ViT


@pytest.mark.parametrize('names, words', [
    (['{run}'], 'give two backbones or more'), (['{run}', '{run}'], 'each of them once'),
    (['random:', '{run}'], 'cannot be that'),
    (['{run}', 'timm:resnet_of_nobody'], 'cannot take timm:resnet_of_nobody from timm'),
    (['{run}', 'timm:resnet18={run}/epoch_2.pth'], 'does not fit this model of timm'),
    (['{run}', '{run}/none.pth'], 'no such checkpoint')])
def test_bad_arguments(toy, labelled, names, words) -> None:
    with pytest.raises(InputError, match=words):
        compare([name.format(run=toy.out) for name in names], labelled, workers=0, img_size=32)
    with pytest.raises(InputError, match=r'cannot take timm:swin.*\(32\)'):
        pooled_timm('timm:swin_tiny_patch4_window7_224', img_size=32)
    with pytest.raises(InputError, match='must end in .png'):
        compare([toy.out, 'random:'], labelled, out='figure.xyz')
