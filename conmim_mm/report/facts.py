"""Versions, code, machine, data and settings of a run."""

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

import mmcv
import mmengine
import mmpretrain
import numpy
import torch
import torchvision
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ..checkpoint.plain_data import plain_data
from ..checkpoint.settings import SETTINGS
from ..datasets.reading import reading_of
from ..distributed.sharded import unwrap_model
from ..utils.machine import usable_cores
from ..version import __version__

GIT_SECONDS = 5  # more than that no run waits for git

Facts = dict[str, str]


def gather_facts(runner: Runner) -> dict:
    """What a report says about a run besides its numbers, as plain data.

    Args:
        runner: With its training loop built.
    """
    return dict(
        versions=versions(), code=code_state(Path(__file__).parents[1]), machine=machine(),
        data=data_facts(runner.train_dataloader), model=model_facts(runner),
        command=shlex.join(sys.argv), folder=os.getcwd(),
        **{SETTINGS: plain_data(runner.cfg.to_dict())})


def versions() -> Facts:
    """Of whatever a result may depend on."""
    found = dict(conmim_mm=__version__) | {
        module.__name__: module.__version__
        for module in (torch, torchvision, mmengine, mmcv, mmpretrain, numpy)}
    found['CUDA'] = torch.version.cuda or 'none: torch is built without'
    if torch.backends.cudnn.is_available():
        found['cuDNN'] = str(torch.backends.cudnn.version())
    return found | dict(Python=platform.python_version())


def code_state(package: Path) -> Facts:
    """Commit of the checkout a package lies in, and whether it was changed since.

    Args:
        package: The package's folder.
    """
    if _git(package, 'ls-files', '--error-unmatch', '__init__.py') is None:
        return dict(commit='not a git checkout')  # or git is missing, or it is another's checkout
    commit = _git(package, 'log', '-1', '--format=%H, %s (%cs)')
    changes = _git(package, 'status', '--porcelain', '--untracked-files=no', ':/')
    branch = _git(package, 'rev-parse', '--abbrev-ref', 'HEAD')
    if changes is None:
        state = 'unknown'
    else:
        changed = [line[3:] for line in changes.splitlines()]
        state = f'{len(changed)} changed files: {", ".join(changed[:5])}' if changed else 'none'
        state += ', ...' if len(changed) > 5 else ''
    return {'commit': commit or 'none', 'branch': branch or 'unknown',
            'uncommitted changes': state}


def _git(folder: Path, *args: str) -> str | None:
    """What git prints; None where it fails, is missing or takes too long."""
    try:
        done = subprocess.run(
            ['git', '-C', str(folder), *args], capture_output=True, encoding='utf-8',
            errors='replace', timeout=GIT_SECONDS, env=os.environ | dict(GIT_OPTIONAL_LOCKS='0'))
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def machine() -> Facts:
    """Devices, processor, memory and system of this host."""
    devices = [torch.cuda.get_device_properties(number)
               for number in range(torch.cuda.device_count())]
    return {
        'host': platform.node(),
        'processes': str(get_world_size()),
        'GPUs of this host': ', '.join(
            f'{device.name} ({device.total_memory / 2**30:.1f} GiB)'
            for device in devices) or 'none',
        'processor': _processor(),
        'cores': f'{usable_cores()} usable of {os.cpu_count()}',
        'threads of PyTorch': str(torch.get_num_threads()),
        'memory': _memory(),
        'system': platform.platform(),
    }


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        lines = []
    names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    return next(names, None) or platform.processor() or platform.machine()


def _memory() -> str:
    try:
        memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
        return f'{memory / 2**30:.1f} GiB'
    except (AttributeError, ValueError, OSError):  # no such question on this system
        return 'unknown'


def data_facts(loader: DataLoader) -> Facts:
    """The training data, and how it is read."""
    dataset = loader.dataset
    folders = getattr(dataset, 'folders', None) or [getattr(dataset, 'data_root', None)]
    shards = getattr(dataset, 'shards', None)
    world_size = get_world_size()
    facts = {'data set': type(dataset).__name__}
    if folders[0]:
        facts['folder'] = ', '.join(map(os.path.abspath, folders))
    if file := getattr(dataset, 'ann_file', None):
        facts['list'] = os.path.abspath(file)
    if shards is not None:
        facts['shards'] = f'{len(shards)}, the first {os.path.abspath(shards[0])}'
    how, left_out = reading_of(dataset), getattr(dataset, 'left_out', '')
    if left_out:
        facts['left out'] = left_out
    if not how.is_rgb:
        facts['read with'] = ', '.join(f'{name} {value}' for name, value in how.keys().items())
    return facts | {
        'images': f'{len(dataset):,}',
        'batch': f'{loader.batch_size} images' + (
            f' on each of {world_size} processes' if world_size > 1 else ''),
        'workers': f'{loader.num_workers}' + (' for each process' if world_size > 1 else ''),
        'order': type(loader.sampler).__name__,
    }


def model_facts(runner: Runner) -> Facts:
    """Name and size of the model."""
    model = unwrap_model(runner.model)
    trained = sum(param.numel() for param in model.parameters() if param.requires_grad)
    return {'model': type(model).__name__, 'trained parameters': f'{trained / 1e6:.2f} million'}
