"""The documents' own tests see what is wrong, and say where."""

from pathlib import Path

import pytest

from .markdown import Block, blocks_of, documents
from .shell import Command, commands_of
from .test_commands import check
from .test_python_blocks import check as check_python


def block(text: str, needs: str | None = None, language: str = 'bash') -> Block:
    return Block('a.md', 10, language, text, needs)


def commands(text: str, needs: str | None = None) -> list[Command]:
    return commands_of(block(text, needs))


def test_no_block_hides_from_these_tests() -> None:
    # commands stand in `bash`; `text` is for what is printed, `bibtex` for citations
    languages = {block.language for path in documents() for block in blocks_of(path)}
    assert languages <= {'bash', 'python', 'text', 'bibtex'}


@pytest.mark.parametrize('text, expected', [
    ('make demo   # a comment\n\n# another\nmake test',
     [(10, ('make', 'demo'), {}), (13, ('make', 'test'), {})]),
    ('cd x && A=1 B="2 3" make \\\n    demo | tail',
     [(10, ('cd', 'x'), {}), (10, ('make', 'demo'), {'A': '1', 'B': '2 3'}), (10, ('tail', ), {})]),
    ('C=configs/x.py\nrun ${C} "$C y"', [(11, ('run', 'configs/x.py', 'configs/x.py y'), {})]),
    ('for n in 1 2; do\n  run $n --to $HOME\ndone',
     [(11, ('run', '1', '--to', '$HOME'), {}), (11, ('run', '2', '--to', '$HOME'), {})]),
    ('for n in 1 2; do run $n; done', [(10, ('run', '1'), {}), (10, ('run', '2'), {})]),
    ('python -c "a\nb"\nmake', [(10, ('python', '-c', 'a\nb'), {}), (12, ('make', ), {})]),
])
def test_commands_of_a_block(text: str, expected: list) -> None:
    found = [(int(one.place.partition(':')[2]), one.words, one.environment)
             for one in commands(text)]
    assert found == expected


@pytest.mark.parametrize('text, needs, words', [
    ('unheard-of tool', None, 'neither one of our tools'),
    ('tools/dist_train.sh configs/conmim/vit-b_8xb256.py 8', None, 'put <!-- needs: 8 GPUs -->'),
    ('tools/dist_train.sh configs/conmim/vit-b.py 8', '8 GPUs', 'no configs/conmim/vit-b.py'),
    ('tools/dist_train.sh configs/conmim/vit-b_8xb256.py', '8 GPUs', 'at least 2 words'),
    ('tools/dist_train.sh configs/conmim/vit-b_8xb256.py 8 --dataroot x', '8 GPUs',
     'unrecognized arguments: --dataroot'),
    ('tools/slurm_train.sh P J configs/conmim/vit-b_8xb256.py W --cfg-options train_cfg.epochs=1',
     'Slurm', 'train_cfg.epochs'),
    ('python tools/train.py configs/conmim/vit-b_8xb256.py --cfg-options model.neck.width=1', None,
     'ConMIMProjector takes no width'),
    ('python tools/train.py configs/conmim/vit-b_8xb256.py --cfg-options train_pipeline.9.a=1',
     None, 'nothing at 9'),
    ('NODES=4 make demo', None, 'nothing reads the variable NODES'),
    ('export NODES=4', None, 'nothing reads the variable NODES'),
    ('make demos', None, 'no target demos'),
    ('make demo FOLDER=x', None, 'does not use FOLDER'),
    ('pip install -r requirements/none.txt', None, 'there is no requirements/none.txt'),
    ('pip install -e .[none]', None, 'no extra none'),
    ('python -m pytest tests/test_none.py', None, 'there is no tests/test_none.py'),
    ('python tools/none.py', None, 'there is no tools/none.py'),
    ('python tools/benchmarks/bench_startup.py photos', None, 'no test runs it'),
    ('python tools/model_converters/publish_model.py nothing.pth out', None,
     'no such checkpoint'),
])
def test_what_is_wrong_is_said_with_its_place(text: str, needs: str | None, words: str,
                                              workspace: Path, monkeypatch) -> None:
    monkeypatch.chdir(workspace)
    (command, ) = commands(text, needs)
    with pytest.raises((AssertionError, ValueError), match=words) as raised:
        check(command, workspace, monkeypatch)
    if 'no such' not in words:
        assert 'a.md:10' in str(raised.value)


@pytest.mark.parametrize('text, needs, words', [
    ('a = <b>', '8 GPUs', 'invalid syntax'),
    ('import conmim_nn', '8 GPUs', 'no module conmim_nn'),
    ('from conmim_mm.models import ConMIN', '8 GPUs', 'no ConMIN in conmim_mm.models'),
    ('print(model)', None, "name 'model' is not defined"),
    ("_base_ = 'vit-none.py'", None, 'vit-none.py'),
])
def test_what_is_wrong_in_python(text: str, needs: str | None, words: str,
                                 workspace: Path) -> None:
    with pytest.raises(AssertionError, match=f'a.md:10: .*{words}'):
        check_python(block(text, needs, 'python'), workspace)
