"""Several backbones before the same judges, against the same one by one."""

import json
from statistics import NormalDist

import pytest
import timm
import torch
from PIL import Image

from conmim_mm.apis import compare, compare_backbones, dense_knn, dense_linear, knn, linear
from conmim_mm.commands import main
from conmim_mm.errors import InputError
from conmim_mm.evaluation.mean_iou import MeanIoU
from conmim_mm.evaluation.paired import difference_of_maps, paired_difference
from conmim_mm.formats.pooled_timm import pooled_timm

from ..labelled import write_labelled_maps


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


def test_maps(toy, tmp_path, capsys) -> None:
    folder = write_labelled_maps(tmp_path / 'maps')
    main(['compare', str(toy.out), 'random:', '--data', str(folder), '--task', 'segmentation',
          '--workers', '0'])
    assert capsys.readouterr().out.startswith('mIoU on 2 held-out images, from 8 of 3 classes')
    scores = compare([toy.out, 'random:'], folder, task='segmentation', workers=0).scores
    for judge, function in dict(knn=dense_knn, linear=dense_linear).items():
        alone = function(toy.out, folder, workers=0)
        found = scores[str(toy.out)][judge]
        assert (found.value, found.standard_error) == pytest.approx(
            (alone.miou, alone.standard_error))
        other = scores['random:'][judge]
        assert other.difference.value == pytest.approx(other.value - found.value)


def test_a_paired_difference_of_maps_by_hand() -> None:
    """Three images of two classes; one finds all, the other loses pixels of one of them."""
    actual = torch.tensor([[4, 4], [2, 6], [6, 2]])
    lost = torch.tensor([[0, 0], [0, 2], [0, 0]])
    best = MeanIoU(actual, actual, actual)
    other = MeanIoU(actual - lost, actual - lost + lost.flip(1), actual)
    found = difference_of_maps(other, best)

    def mean_iou(images: list[int]) -> float:
        hit, said, real = ((actual - lost)[images].sum(0), (actual - lost + lost.flip(1))
                           [images].sum(0), actual[images].sum(0))
        return (hit / (said + real - hit)).mean().item()

    without = torch.tensor([mean_iou([j for j in range(3) if j != i]) for i in range(3)])
    error = (2 / 3 * (without - without.mean()).square().sum()).sqrt().item()
    assert found.value == pytest.approx(mean_iou([0, 1, 2]) - 1)
    assert found.standard_error == pytest.approx(error, rel=1e-4)
    assert found.p_value == pytest.approx(2 * NormalDist().cdf(found.value / error), rel=1e-3)


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
def test_bad_arguments(toy, labelled, resnet, tmp_path, monkeypatch, names, words) -> None:
    monkeypatch.setattr(compare_backbones, 'extract_features', pytest.fail)  # takes long
    with pytest.raises(InputError, match=words):
        compare([name.format(run=toy.out) for name in names], labelled, workers=0, img_size=32)
    with pytest.raises(InputError, match=r'cannot take timm:swin.*\(32\)'):
        pooled_timm('timm:swin_tiny_patch4_window7_224', img_size=32)
    with pytest.raises(InputError, match='needs plain ViTs'):
        compare([toy.out, resnet], write_labelled_maps(tmp_path / 'maps'), task='segmentation',
                workers=0, img_size=32)
    with pytest.raises(InputError, match='--ignore goes with --task segmentation'):
        compare([toy.out, resnet], labelled, ignore=[0])
    with pytest.raises(InputError, match='must end in .png'):
        compare([toy.out, 'random:'], labelled, out='figure.xyz')
