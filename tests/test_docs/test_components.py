"""docs/components.md lists every component of ours, with the file that it stands in."""

import re

from ..conftest import ROOT
from .test_config_keys import registered_classes

PAGE = 'docs/components.md'


def listed(page: str) -> dict[str, str]:
    """The components in the tables of the page, and the file of each."""
    files = {}
    for line in page.splitlines():
        row = re.fullmatch(r'\|.*\| `([\w/]+\.py)` \|', line)
        for name in re.findall(r'`([A-Z]\w+)`', line) if row else ():
            files[name] = row[1]
    return files


def test_every_component_is_listed_with_its_file() -> None:
    own = {name: cls.__module__.partition('.')[2].replace('.', '/') + '.py'
           for name, cls in registered_classes().items()}
    assert listed((ROOT / PAGE).read_text()) == own
