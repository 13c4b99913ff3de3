"""docs/where_is_what.md: each file defines the name it is listed for; no folder is left out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ..conftest import ROOT

PAGE = (ROOT / 'docs' / 'where_is_what.md').read_text()
ROW = re.compile(r'^\| .+ \| \[([\w./-]+)\]\(\.\./\1\) \| (`.+`) \|$', re.MULTILINE)
NOT_LISTED = {'__pycache__', '.mim'}


def defined(path: Path) -> set[str]:
    """The names that a file itself defines, outside of classes and functions."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def folders(tree: str) -> Iterator[str]:
    """The folders of a tree that is drawn with two spaces for each level."""
    above = []
    for line in tree.splitlines():
        indent, name = re.match(r'( *)([\w-]+)/', line).groups()
        above = [*above[:len(indent) // 2], name]
        yield '/'.join(above)


def test_each_question_leads_to_a_name() -> None:
    rows = ROW.findall(PAGE)
    questions = [line for line in PAGE.splitlines() if line.startswith('| ')]
    assert len(rows) == len(questions) - 1 >= 20
    missing = [(file, name) for file, names in rows for name in re.findall(r'`(\w+)`', names)
               if name not in defined(ROOT / file)]
    assert missing == []


def test_the_tree_has_all_folders() -> None:
    listed = list(folders(re.search(r'^```text\n(.*?)^```', PAGE, re.M | re.S)[1]))
    assert [folder for folder in listed if not (ROOT / folder).is_dir()] == []
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'conmim_mm').rglob('*')
               if path.is_dir() and not NOT_LISTED & set(path.relative_to(ROOT).parts)}
    assert package - set(listed) == set()
