"""The config in a checkpoint, made fit to be given away: read without running it, without paths."""

import ast
import re

from yapf.yapflib.yapf_api import FormatCode  # as MMEngine lays its configs out

from .checkpoint.saved_config import plain_assignment
from .errors import InputError

REMOVED = 'REMOVED'
_PATH_KEYS = frozenset({'data_root', 'ann_file', 'checkpoint', 'out_dir', 'save_dir'})
# addresses and accounts of storage and of trackers
_ACCOUNT_KEYS = frozenset({'backend_args', 'init_kwargs'})
# of one machine and one run; the rest says what was trained
_DROPPED = frozenset({'work_dir', 'load_from', 'resume', 'launcher'})
_STYLE = dict(based_on_style='pep8', column_limit=100)
_MACHINE_PATH = re.compile(r'^(/|~|\\\\|\.\./|[A-Za-z]:[\\/])|^[a-z0-9+]+://')


def public_config(text: str) -> str:
    """A config's text without what only its own machine knows.

    The values of keys that name files and folders (``data_root``, ``ann_file``, ``checkpoint`` and
    the like), what starts with one of these folders, and everything that looks like an absolute
    path or an address become ``'REMOVED'``. Work dir, launcher, what the run started from and the
    accounts of storage and trackers go.

    Args:
        text: What MMEngine saves: assignments of literals and of ``dict(...)``.

    Returns:
        The same, as Python that MMEngine reads as a config.

    Raises:
        InputError: The text is something else, such as code.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise InputError(f'the config in the checkpoint is no Python: {error}') from error
    for statement in tree.body:
        try:
            plain_assignment(statement)
        except ValueError as error:
            raise InputError('the config in the checkpoint holds more than plain settings: '
                             f'{error}') from error
    tree.body = [one for one in tree.body if one.targets[0].id not in _DROPPED]
    remover = _PathRemover(_data_roots(tree))
    plain = ''.join(f'{ast.unparse(remover.visit(one))}\n' for one in tree.body)
    return FormatCode(plain, style_config=_STYLE)[0]


def _data_roots(tree: ast.Module) -> tuple[str, ...]:
    values = [(node.arg, node.value) for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    values += [(one.targets[0].id, one.value) for one in tree.body]
    return tuple({value.value.rstrip('/') for key, value in values if key == 'data_root'
                  and isinstance(value, ast.Constant) and isinstance(value.value, str)} - {''})


class _PathRemover(ast.NodeTransformer):

    def __init__(self, data_roots: tuple[str, ...]) -> None:
        self.data_roots = data_roots

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        node.value = self._public(node.targets[0].id, node.value)
        return node

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        node.value = self._public(node.arg, node.value)
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        node.values = [self._public(getattr(key, 'value', None), value)
                       for key, value in zip(node.keys, node.values, strict=True)]
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, str) and (_MACHINE_PATH.search(node.value) or any(
                f'{node.value}/'.startswith(f'{root}/') for root in self.data_roots)):
            return ast.Constant(REMOVED)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        # MMEngine writes infinity by a name that it does not know when it reads
        return ast.Constant(float('inf')) if node.id == 'inf' else node

    def _public(self, key: object, value: ast.expr) -> ast.expr:
        if key in _ACCOUNT_KEYS:
            return ast.Constant(None)
        # default_hooks.checkpoint is no path, and '' means a default, which stays one
        if key in _PATH_KEYS and isinstance(value, ast.Constant) and value.value:
            return ast.Constant(REMOVED)
        return self.visit(value)
