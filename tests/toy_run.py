"""One run of a toy, started by ``conmim pretrain``, and labelled images."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from scenes import SceneSettings, make_scenes

from conmim_mm.commands import main

from .labelled import write_labelled_images
from .toy import write_config, write_noise_images

EPOCHS, IMAGES, BATCH = 2, 9, 4


@pytest.fixture(scope='session')
def toy(tmp_path_factory) -> SimpleNamespace:
    """Folder of images, toy config, and the run; not to be changed."""
    folder = tmp_path_factory.mktemp('commands')
    images = folder / 'photos' / 'sub'
    images.mkdir(parents=True)
    write_noise_images(images, IMAGES, side=40)
    toy = SimpleNamespace(
        photos=folder / 'photos', config=write_config(folder, images), out=folder / 'run')
    toy.options = ['--data', str(toy.photos), '--config', str(toy.config), '--epochs', str(EPOCHS),
                   '--batch-size', str(BATCH)]
    main(['pretrain', *toy.options, '--out', str(toy.out)])
    return toy


@pytest.fixture
def run_copy(toy, tmp_path) -> Path:
    """The run, to be changed."""
    return Path(shutil.copytree(toy.out, tmp_path / 'copy'))


@pytest.fixture(scope='session')
def labelled(tmp_path_factory) -> Path:
    """Ten images of each of three classes, in folders by class; not to be changed."""
    return write_labelled_images(tmp_path_factory.mktemp('labelled') / 'val')


@pytest.fixture(scope='session')
def scenes(tmp_path_factory) -> Path:
    """Generated scenes, ten to train on and two held out, in the layout of each toolbox.

    Of pictures of one object there are four and one of each class.
    """
    folder = tmp_path_factory.mktemp('scenes') / 'made'
    make_scenes(folder, SceneSettings(images=40, size=64, val=10))
    return folder


@pytest.fixture
def fails(capsys):
    """Runs ``conmim`` with arguments that it must refuse; gives the one line that it says."""

    def call(*argv: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in argv])
        assert stop.value.code == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith('error: ')
        return lines[-1]

    return call
