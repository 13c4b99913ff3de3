"""The functions that ``conmim_mm.apis`` offers."""

import importlib.util
import inspect

import pytest

from conmim_mm import apis
from conmim_mm.commands.arguments import COMMANDS, parse_arguments

ARGV = dict(pretrain='--data x', knn='c.pth --data x', linear='c.pth --data x',
            compare='a.pth b.pth --data x',
            embed='c.pth --data x --out f.npz', export='c.pth out.pth --format timm', report='run')
OF_THE_COMMAND_LINE = {'command', 'json', 'trust_checkpoint'}
# of the file that --json names, and of the functions for --task segmentation
NOT_OF_IT = {name: {'overwrite', 'task', 'ignore'} for name in ('knn', 'linear')}
OF_A_TASK = {'dense_knn', 'dense_linear'}
NOT_TYPED = dict(pretrain={'say', 'in_place'}, embed={'progress'})


def test_there_is_one_for_every_command_but_the_doctor() -> None:
    assert set(apis.__all__) - OF_A_TASK == COMMANDS.keys() - {'doctor'}
    with pytest.raises(ImportError, match='cannot import name'):
        from conmim_mm.apis import doctor  # noqa: F401


@pytest.mark.parametrize('name', ARGV)
def test_its_arguments_are_the_options(name: str) -> None:
    function = getattr(apis, name)
    parameters = inspect.signature(function).parameters
    options = vars(parse_arguments([name, *ARGV[name].split()])).keys()
    options -= OF_THE_COMMAND_LINE | NOT_OF_IT.get(name, set())
    assert parameters.keys() - NOT_TYPED.get(name, set()) == options
    for parameter in parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter
        assert f'{parameter.name}: ' in function.__doc__, parameter


@pytest.mark.parametrize('name', ARGV)
def test_no_module_takes_its_place(name: str) -> None:
    """``import conmim_mm.apis.NAME`` would put the module there."""
    assert importlib.util.find_spec(f'conmim_mm.apis.{name}') is None
