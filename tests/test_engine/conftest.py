from pathlib import Path

import pytest

from ..toy import write_noise_images


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> Path:
    return write_noise_images(tmp_path_factory.mktemp('images'), count=12, side=40)
