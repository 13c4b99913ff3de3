"""conmim doctor: what it finds wrong, told by machines and installations that are made up."""

import importlib
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from conmim_mm.commands import main
from conmim_mm.commands.doctor import checks_data, checks_machine, checks_software, doctor
from conmim_mm.commands.doctor.checks import NOTE, OK, PROBLEM, Check, collect

from ..conftest import ROOT

Usage = namedtuple('Usage', 'total free')


@pytest.fixture
def distributions(monkeypatch):
    """Makes an environment up: versions by name, and what conmim_mm requires."""

    def make(versions: dict, requires: list[str] | None = None) -> None:
        def version(name: str) -> str:
            if name not in versions:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(checks_software.metadata, 'version', version)
        monkeypatch.setattr(checks_software.metadata, 'requires', lambda _: requires)

    return make


@pytest.fixture
def broken_imports(monkeypatch):
    """Lets the import of modules fail in given ways."""

    def make(**errors: Exception) -> None:
        original = importlib.import_module

        def import_module(name: str, package: str | None = None):
            if name in errors:
                raise errors[name]
            return original(name, package)

        monkeypatch.setattr(importlib, 'import_module', import_module)

    return make


def test_versions_are_compared_with_what_is_required(distributions) -> None:
    distributions({'torch': '2.15.0', 'numpy': '2.1', 'mmengine': '0.10.9'},
                  ['torch<2.14,>=2.4', 'numpy>=2.0', 'onedl-mmengine>=0.10.8', 'scipy>=1.11',
                   'simplejpeg>=1.7', 'timm>=1; extra == "tests"'])
    checks = {check.name: check for check in checks_software.check_versions()}
    assert checks['torch'].status == PROBLEM and "'torch<2.14,>=2.4'" in checks['torch'].advice
    assert checks['scipy'] == Check(PROBLEM, 'scipy', 'not installed', "pip install 'scipy>=1.11'")
    assert checks['simplejpeg'].status == NOTE  # it works without
    assert 'timm' not in checks
    # the original in the place of its continuation will do
    assert checks['versions'].finding.startswith('2 packages within their ranges')


def test_distributions_that_clash(distributions) -> None:
    distributions({'mmcv': '2.1.0', 'onedl-mmcv': '2.3.6', 'transformers': '5.1.0',
                   'opencv-python': '4.12.0.88', 'opencv-python-headless': '4.10.0.84'})
    checks = list(checks_software.check_conflicting_distributions())
    assert [check.name for check in checks] == ['mmcv', 'OpenCV', 'transformers']
    assert all(check.status == PROBLEM for check in checks)
    assert checks[0].advice == 'pip uninstall -y mmcv onedl-mmcv && pip install onedl-mmcv'
    distributions({'onedl-mmcv': '2.3.6', 'transformers': '4.57.6', 'opencv-python': '4.12.0.88',
                   'opencv-python-headless': '4.12.0.88'})
    assert list(checks_software.check_conflicting_distributions()) == []


@pytest.mark.parametrize('errors, words', [
    (dict(torch=OSError('libcudart.so.13: cannot open shared object file')),
     ['PyTorch         cannot be imported: OSError: libcudart.so.13', 'install PyTorch and']),
    (dict(torchvision=RuntimeError('operator torchvision::nms does not exist')),
     ['torchvision     cannot be imported beside PyTorch: RuntimeError', 'from the same place']),
    (dict(mmcv=ImportError('no mmcv')), ['mmcv            cannot be imported: ImportError: no mmcv',
                                         '--no-deps onedl-mmcv']),
    (dict(cv2=ImportError('libGL.so.1: cannot open shared object file')),
     ['OpenCV          cannot be imported', 'opencv-python-headless']),
], ids=['torch', 'torchvision', 'mmcv', 'cv2'])
def test_it_works_where_little_else_does(broken_imports, capsys, monkeypatch, errors,
                                         words) -> None:
    monkeypatch.setattr(doctor.shutil, 'get_terminal_size', lambda: SimpleNamespace(columns=300))
    broken_imports(**errors)
    with pytest.raises(SystemExit) as stop:
        doctor.run(None)
    assert stop.value.code == 1
    out = capsys.readouterr().out
    for text in words:
        assert text in out
    assert 'cores' in out  # to the end


def test_compiled_ops_are_not_needed(broken_imports) -> None:
    broken_imports(**{'mmcv._ext': ImportError('')})
    ops = next(checks_software.check_toolboxes())
    assert ops.status == NOTE and 'make env-full' in ops.advice


def test_a_check_that_fails_is_a_line() -> None:
    def check_the_moon():
        yield Check(OK, 'moon', 'round')
        raise ValueError('clouds\nand rain')

    first, failed = collect(check_the_moon)
    assert first.finding == 'round'
    assert failed[:3] == (PROBLEM, 'the moon', 'the check failed: ValueError: clouds')


GPU = namedtuple('GPU', 'name major')


def fake_torch(gpus: list[GPU], cuda: str | None = '13.0', free: float = 1.) -> SimpleNamespace:
    memory = 80 * 2**30
    return SimpleNamespace(
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: bool(gpus), device_count=lambda: len(gpus),
            get_device_properties=lambda i: gpus[i],
            mem_get_info=lambda i: (int(free * memory), memory)))


@pytest.mark.parametrize('torch, driver, status, words', [
    (fake_torch([]), None, NOTE, 'none: fine for the demo'),
    (fake_torch([], cuda=None), '580.1', PROBLEM, 'PyTorch is built for CPUs'),
    (fake_torch([]), '450.2', PROBLEM, 'driver 450.2 does not do for CUDA 13.0'),
    (fake_torch([GPU('H100', 9)]), '580.1', OK, 'H100, 80 of 80 GB free, with bfloat16'),
    (fake_torch([GPU('V100', 7)]), '580.1', NOTE, 'without bfloat16'),
    (fake_torch([GPU('A100', 8)], free=0.1), '580.1', NOTE, '8 of 80 GB free'),
])
def test_gpus(monkeypatch, torch, driver, status, words) -> None:
    monkeypatch.setattr(checks_machine, 'try_import', lambda _: (torch, ''))
    monkeypatch.setattr(checks_machine, 'driver_version', lambda: driver)
    check, = checks_machine.check_gpus()
    assert check.status == status and words in check.finding
    assert bool(check.advice) == (status != OK and driver is not None)


def test_driver_version(tmp_path) -> None:
    path = tmp_path / 'version'
    assert checks_machine.driver_version(path) is None
    path.write_text('NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n')
    assert checks_machine.driver_version(path) == '580.65.06'


@pytest.mark.parametrize('shm, disk, statuses', [
    (64 * 2**20, 2**30, [PROBLEM, PROBLEM]), (2**33, 10 * 2**30, [OK, NOTE]),
    (2**33, 2**40, [OK, OK])])
def test_space(monkeypatch, tmp_path, shm, disk, statuses) -> None:
    monkeypatch.setattr(checks_machine, 'SHM', tmp_path)
    monkeypatch.setattr(checks_machine.shutil, 'disk_usage',
                        lambda path: Usage(shm if path == tmp_path else disk, disk))
    checks = [*checks_machine.check_shared_memory(), *checks_machine.check_disk()]
    assert [check.status for check in checks] == statuses
    assert all(bool(check.advice) == (check.status != OK) for check in checks)
    if statuses[0] == PROBLEM:
        assert '--shm-size=8g' in checks[0].advice


def test_images(toy, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(checks_data, 'MAX_VIEWS', 12)
    monkeypatch.setattr(checks_data, 'GPU_RATE', 10**9)
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 1)
    checks = {check.name: check for check in checks_data.check_data(toy.photos)}
    assert checks['images'].finding.startswith('9 in ')
    assert checks['readable'].finding == 'all of 9 looked at'
    assert checks['size'].finding == 'median 40 x 40 pixels'
    assert checks['data speed'].status == NOTE and 'performance.md' in checks['data speed'].advice

    (tmp_path / 'a.png').write_text('no image')
    bad = list(checks_data.check_data(tmp_path))
    assert [check.status for check in bad] == [NOTE, PROBLEM]
    assert f'1 of 1 are not: cannot read the image {tmp_path}/a.png' in bad[1].finding
    missing, = checks_data.check_data(tmp_path / 'none')
    assert missing.status == PROBLEM and 'no such folder' in missing.finding


@pytest.fixture
def others(tmp_path, monkeypatch):
    """Writes a folder of three images of 12 bits in 16, ``(40, 50)`` or with bands behind."""
    monkeypatch.setattr(checks_data, 'MAX_VIEWS', 3)

    def write(ending: str, *bands: int) -> Path:
        for number in range(3):
            pixels = np.random.default_rng(number).integers(0, 4095, (40, 50, *bands), 'uint16')
            path = tmp_path / f'{number}.{ending}'
            if ending == 'npy':
                np.save(path, pixels)
            else:
                tifffile.imwrite(path, pixels, photometric='minisblack',
                                 planarconfig='contig' if bands else None)
        return tmp_path

    return write


@pytest.mark.parametrize('ending', ['tif', 'npy'])
def test_images_of_other_channels(others, ending: str) -> None:
    checks = {check.name: check for check in checks_data.check_data(others(ending, 7))}
    assert checks['channels'].finding == '7 in most images'
    assert checks['channels'].advice.endswith('--channels 7')
    # as pretrain would read them
    assert 'which are uint16' in checks['value range'].finding and 'grey levels' not in checks
    assert checks['readable'].status == OK and 'data speed' in checks
    assert checks['size'].finding == 'median 50 x 40 pixels'


def test_gaps_are_no_problem(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(checks_data, 'MAX_VIEWS', 1)
    pixels = np.random.default_rng(0).normal(size=(40, 50)).astype('float32')
    pixels[:9] = np.nan
    np.save(tmp_path / 'a.npy', pixels)
    checks = {check.name: check for check in checks_data.check_data(tmp_path, 1)}
    assert checks['grey levels'].finding == '1 of 1 images looked at hold NaN or infinity'
    assert checks['grey levels'].status == NOTE


def test_images_are_read_as_pretrain_is_told(others, capsys, monkeypatch) -> None:
    monkeypatch.setattr(doctor, 'all_checks', lambda folder, **how: checks_data.check_data(
        folder, **how))
    monkeypatch.setattr(doctor.shutil, 'get_terminal_size', lambda: SimpleNamespace(columns=999))
    folder = str(others('tif'))
    words = ['doctor', '--data', folder, '--channels']
    main([*words, '1', '--value-range', '0', '4095'])
    out = capsys.readouterr().out
    assert '0 to 4095' in out and 'all of 3 looked at' in out and 'no problems' in out
    with pytest.raises(SystemExit):
        main([*words, '1', '--value-range', 'dtype'])
    assert 'hardly any grey levels' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*words, '4'])
    assert 'it has 1 channel, not 4; give --channels 1' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(['doctor', '--channels', '4'])
    assert '--bands-from go with --data' in capsys.readouterr().err


def test_it_starts_without_pytorch(tmp_path) -> None:
    """As typed, where importing PyTorch, OpenCV and mmengine fails."""
    for name in ('torch', 'cv2', 'mmengine', 'mmcv'):
        (tmp_path / f'{name}.py').write_text('raise OSError("broken")')
    done = subprocess.run(
        [sys.executable, '-m', 'conmim_mm', 'doctor'], cwd=ROOT, capture_output=True, text=True,
        timeout=60, env=dict(PYTHONPATH=f'{tmp_path}:{ROOT}', PATH='/usr/bin:/bin'))
    assert done.returncode == 1 and not done.stderr
    assert done.stdout.count('cannot be imported') == 3
    assert 'problems: see the lines with ->' in done.stdout
