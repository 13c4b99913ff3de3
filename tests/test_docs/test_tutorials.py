"""The tutorials' commands, as they are and in order, end with figures above those of a guess."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

from ..conftest import ROOT
from .checks import tool_and_words
from .table import TUTORIALS
from .test_commands import COMMANDS, run


@pytest.mark.parametrize('page', TUTORIALS)
def test_in_order(page: str, tmp_path: Path, monkeypatch) -> None:
    for name in ('configs', 'tools'):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for command in COMMANDS:
            if command.place.startswith(page):
                run(command, *tool_and_words(command), monkeypatch)
        features, = tmp_path.glob('runs/*.npz')
        with np.load(features) as file:
            assert len(file['features']) == 8 and np.isfinite(file['features']).all()
        assert MessageHub.get_current_instance().get_scalar('val/mIoU').current() > 45
