"""The launchers on two nodes, both of them this machine: they meet and leave one work dir."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from conmim_mm.checkpoint.reading import load_checkpoint_file
from conmim_mm.utils.work_dir import last_checkpoint

from ..conftest import ROOT, TOOLS
from ..toy import run_cfg, write_noise_images

pytestmark = pytest.mark.slow

OPTIONS = ['--cfg-options', 'log_level=INFO']  # without it a log says nothing of the processes
# What Slurm does: one task on each node, with these variables; the first to fail ends the step.
FAKE_SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$SRUN_LOG"
while [ $# -gt 0 ] && [ "$1" != "$PYTHON" ]; do shift; done
export SLURM_NTASKS=2 SLURM_LOCALID=0 'SLURM_NODELIST=node[0-1]'
SLURM_PROCID=0 "$@" & first=$!
SLURM_PROCID=1 "$@" & second=$!
wait $first && wait $second
"""
FAKE_SCONTROL = """#!/usr/bin/env bash
[ "$*" = "show hostnames node[0-1]" ] && printf '127.0.0.1\\nnode1\\n'
"""


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / 'images').mkdir()
    write_noise_images(tmp_path / 'images', count=8, side=40)
    path = tmp_path / 'toy.py'
    Config(run_cfg(tmp_path / 'images', tmp_path / 'run', batch_size=2, experiment_name='nodes',
                   custom_imports=dict(imports=['conmim_mm.registration']))).dump(path)
    return path


@pytest.fixture
def environment() -> dict[str, str]:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    return os.environ | dict(PYTHONPATH=str(ROOT), PYTHON=sys.executable, OMP_NUM_THREADS='1',
                             GLOO_SOCKET_IFNAME='lo', PORT=port, MASTER_PORT=port)


def assert_one_run(work_dir: Path) -> None:
    """Two epochs of 8 images, 2 on each of two processes; one folder of logs."""
    checkpoint = load_checkpoint_file(last_checkpoint(work_dir))
    assert checkpoint['meta']['iter'] == 4
    logs, = work_dir.glob('*/*.log')
    assert 'GPU number: 2' in logs.read_text()
    assert sorted(path.name for path in work_dir.glob('*.pth')) == ['epoch_1.pth', 'epoch_2.pth']


def test_torchrun(config, environment, tmp_path) -> None:
    nodes = [
        subprocess.Popen(
            [TOOLS / 'dist_train.sh', config, '1', *OPTIONS], cwd=tmp_path,
            env=environment | dict(NNODES='2', NODE_RANK=rank, MASTER_ADDR='127.0.0.1'))
        for rank in '01'
    ]
    try:
        assert [node.wait(timeout=150) for node in nodes] == [0, 0]
    finally:
        for node in nodes:
            node.kill()
    assert_one_run(tmp_path / 'run')


def test_slurm(config, environment, tmp_path) -> None:
    (tmp_path / 'bin').mkdir()
    for name, text in dict(srun=FAKE_SRUN, scontrol=FAKE_SCONTROL).items():
        (tmp_path / 'bin' / name).write_text(text)
        (tmp_path / 'bin' / name).chmod(0o755)
    subprocess.run(
        [TOOLS / 'slurm_train.sh', 'cpu', 'job', config, tmp_path / 'run', *OPTIONS], check=True,
        timeout=150, cwd=tmp_path, env=environment | dict(
            PATH=f'{tmp_path / "bin"}:{os.environ["PATH"]}', GPUS='2', GPUS_PER_NODE='0',
            PROCESSES_PER_NODE='1', SRUN_LOG=str(tmp_path / 'asked')))
    asked = (tmp_path / 'asked').read_text().splitlines()
    assert {'-p', 'cpu', '--job-name=job', '--ntasks=2', '--ntasks-per-node=1',
            '--kill-on-bad-exit=1'} <= set(asked)
    assert_one_run(tmp_path / 'run')
