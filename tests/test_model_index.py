"""model-index.yml and the metafiles, as mim and mmpretrain's model zoo read them."""

import pytest
import yaml

from .conftest import CONFIGS, ROOT

METAFILES = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']


def test_every_folder_of_configs_is_listed() -> None:
    folders = {path.name for path in CONFIGS.iterdir() if path.is_dir() and path.name != '_base_'}
    assert {path.split('/')[1] for path in METAFILES} == folders


@pytest.mark.parametrize('path', METAFILES)
def test_entries_name_files_that_exist(path: str) -> None:
    content = yaml.safe_load((ROOT / path).read_text())
    collections = {one['Name'] for one in content.get('Collections', [])}
    names = [model['Name'] for model in content['Models']]
    assert len(names) == len(set(names)) > 0
    for model in content['Models']:
        assert (ROOT / model['Config']).is_file(), model['Config']
        assert model['In Collection'] in collections | {'ConMIM'}
