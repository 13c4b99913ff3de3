"""Mean IoU of a checkpoint on a folder of maps, against the same by its parts."""

import json

import pytest
import torch

from conmim_mm.apis import dense_knn, dense_linear
from conmim_mm.commands import main
from conmim_mm.datasets.segmentation_folder import segmentation_datasets, segmentation_split
from conmim_mm.errors import InputError
from conmim_mm.evaluation.dense import judge_maps, knn_scores, linear_scores, patch_bank
from conmim_mm.evaluation.features import PatchBatch
from conmim_mm.evaluation.mean_iou import MeanIoU, jackknife_error
from conmim_mm.models import ConMIMDataPreprocessor

from ..labelled import write_labelled_maps
from ..toy import saved_model


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> str:
    """Eight images to learn from, four held out."""
    folder = tmp_path_factory.mktemp('maps')
    write_labelled_maps(folder, 'train', 8)
    return str(write_labelled_maps(folder, 'val', 4))


def by_hand(backbone, folder: str, scores, ignore: tuple = ()) -> MeanIoU:
    """All images of a part in one batch."""
    batches = []
    for part in segmentation_datasets(segmentation_split(folder), 32, ignore):
        samples = [part[i] for i in range(len(part))]
        images = ConMIMDataPreprocessor()(
            dict(inputs=[sample['inputs'] for sample in samples]))['inputs']
        with torch.no_grad():
            tokens = backbone.norm(backbone.forward_blocks(
                backbone.embed_patches(images), backbone.attention_patterns((4, 4)))[-1])[:, 1:]
        batches.append(PatchBatch(tokens.unflatten(1, (4, 4)), torch.stack(
            [sample['data_samples'].gt_map for sample in samples])))
    return judge_maps(dict(it=scores(patch_bank(batches[:1], 8))), batches[1:])['it']


@pytest.mark.parametrize('command, options, scores', [
    ('knn', ['--k', '3', '--temperature', '0.1'], lambda bank: knn_scores(bank, 3, 0.1)),
    ('knn', [], knn_scores), ('linear', [], linear_scores)])
@pytest.mark.parametrize('weights', ['teacher', 'student'])
def test_mean_iou(toy, folder, tmp_path, capsys, command, options, scores, weights) -> None:
    main([command, str(toy.out), '--data', folder, '--task', 'segmentation', '--weights', weights,
          '--workers', '0', '--batch-size', '3', '--json', str(tmp_path / 'out.json'), *options])
    saved = saved_model(toy.out)
    expected = by_hand(saved.backbone if weights == 'student' else saved.teacher.backbone, folder,
                       scores)
    result = json.loads((tmp_path / 'out.json').read_text())
    assert result['miou'] == pytest.approx(expected.value, abs=1e-3)
    assert result['standard_error'] == pytest.approx(expected.standard_error, abs=1e-3)
    assert result['class_iou'] == {
        str(label): pytest.approx(value, abs=1e-3) for label, value in expected.by_class.items()}
    # 16 patches, of which none is without a label
    assert (result['num_images'], result['num_reference'], result['num_patches']) == (4, 8, 128)
    assert (result['num_classes'], result['img_size'], result['data']) == (3, 32, folder)
    assert 'counts' not in result and set(result['class_iou']) == {'0', '1', '2'}
    line = capsys.readouterr().out.splitlines()[-1]
    assert f' mIoU: {result["miou"]:.2%}' in line and 'from 8 with maps of 3 classes' in line


def test_labels_to_ignore(toy, folder) -> None:
    result = dense_linear(toy.out, folder, workers=0, ignore=[0])
    expected = by_hand(saved_model(toy.out).teacher.backbone, folder, linear_scores, (0, ))
    assert result.miou == pytest.approx(expected.value, abs=1e-3)
    assert set(result.class_iou) == {1, 2} and result.num_classes == 2


def test_two_backbones_can_be_paired(toy, folder) -> None:
    teacher, student = (dense_knn(toy.out, folder, workers=0, weights=weights).counts
                        for weights in ('teacher', 'student'))
    error = jackknife_error(teacher.leave_one_out - student.leave_one_out)
    assert 0 <= error <= teacher.standard_error + student.standard_error


def test_another_size(toy, folder) -> None:
    result = dense_knn(toy.out, folder, workers=0, img_size=64)
    assert (result.img_size, result.num_patches) == (64, 8 * 64)
    assert result.counts.actual.sum() == 4 * 64 * 62  # two columns have no label


@pytest.mark.parametrize('settings, words', [
    (dict(k=0), '--k must be at least 1'), (dict(temperature=0), '--temperature must be above 0'),
    (dict(img_size=30), 'not divisible by'), (dict(ignore=[0, 1]), r'of one class \(2\)')])
def test_bad_arguments(toy, folder, settings: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        dense_knn(toy.out, folder, workers=0, **settings)


def test_bad_folders_get_one_line(toy, labelled, fails) -> None:
    words = ['knn', toy.out, '--workers', 0, '--task', 'segmentation', '--data']
    assert 'no label maps in' in fails(*words, labelled)
    assert 'no such folder: /no/such' in fails(*words, '/no/such')
