import subprocess
import sys

import pytest

from conmim_mm.apis import export_backbone
from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS
from conmim_mm.commands.arguments import (
    ARCHS,
    COMMANDS,
    EXPORT_FORMATS,
    ONNX_OUTPUTS,
    STUDENTS,
    TRACKERS,
    WEIGHTS,
    parse_arguments,
)
from conmim_mm.utils.shipped_files import RECIPES
from conmim_mm.visualization import trackers

from ..conftest import ROOT


def test_choices_are_those_of_what_they_choose() -> None:
    assert export_backbone.EXPORT_FORMATS == EXPORT_FORMATS
    assert export_backbone.ONNX_OUTPUTS == ONNX_OUTPUTS
    assert WHOSE_WEIGHTS == WEIGHTS
    assert {tuple(recipes) for recipes in RECIPES.values()} == {ARCHS}
    assert tuple(RECIPES) == STUDENTS
    assert tuple(trackers.TRACKERS) == TRACKERS


@pytest.mark.parametrize('argv, words', [
    ('', 'the following arguments are required: COMMAND'),
    ('pretrian', "unknown COMMAND 'pretrian'; did you mean pretrain?"),
    ('nothing', "unknown COMMAND 'nothing'; choose from pretrain, knn"),
    ('pretrain', 'pretrain needs --data DIR'),
    ('pretrain --resume', 'pretrain needs --data DIR'),
    ('pretrain --data x --epohcs 3', 'unrecognized arguments: --epohcs 3; did you mean --epochs?'),
    ('pretrain --data x --epochs 0', '--epochs: must be at least 1, but is 0'),
    ('pretrain --data x --epochs ten', "--epochs: must be a whole number, but is 'ten'"),
    ('pretrain --data x --lr -1', "--lr"),
    ('pretrain --data x --lr nan', "--lr: must be a number above 0, but is 'nan'"),
    ('pretrain --data x --arch xl', "unknown --arch 'xl'; did you mean l?"),
    ('pretrain --data x --arch huge', "unknown --arch 'huge'; choose from tiny, s, b, l"),
    ('pretrain --data x --arch s --config y', 'not allowed with argument'),
    ('pretrain --data x --resume --overwrite', 'not allowed with argument'),
    ('pretrain --data x --allow-mismatch', '--allow-mismatch goes with --resume'),
    ('knn c.pth', 'knn needs --data DIR, a folder of labelled images, or --config'),
    ('linear c.pth --data x --cfg-options a=1', '--cfg-options goes with --config'),
    ('knn c.pth --task segmentation', 'needs --data DIR, a folder of images and maps'),
    ('knn c.pth --data x --task segmentation --config y', 'and takes no --config'),
    ('linear c.pth --data x --ignore 0', '--ignore goes with --task segmentation'),
    ('embed c.pth --data x', 'the following arguments are required: --out'),
    ('export c.pth out.pth --format tim', "unknown --format 'tim'; did you mean timm?"),
    ('report', 'the following arguments are required: WORK_DIR'),
    ('doctor --data ~no_such_user/x', "no home folder for '~no_such_user/x'"),
])
def test_wrong_arguments_get_one_line(capsys, argv: str, words: str) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_arguments(argv.split())
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: ') and words in lines[0]
    assert lines[0].endswith('--help)')


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_explains_itself(capsys, command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        parse_arguments([command, '--help'])
    assert not stop.value.code
    assert f'usage: conmim {command}' in capsys.readouterr().out


def test_help_comes_without_pytorch() -> None:
    done = subprocess.run([sys.executable, '-X', 'importtime', '-m', 'conmim_mm', 'pretrain', '-h'],
                          cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and 'usage: conmim pretrain' in done.stdout
    imported = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}
    assert 'conmim_mm.commands.arguments' in imported
    assert not {'torch', 'mmengine', 'numpy', 'conmim_mm.models'} & imported
