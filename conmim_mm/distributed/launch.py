"""Starting the process group of a run, with and without GPUs."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.utils.dl_utils import set_multi_processing

from ..errors import InputError, StoppedBySignal


@contextmanager
def processes(cfg: Config) -> Iterator[None]:
    """Around a run: its processes find each other, so that they can agree before they build it.

    On GPUs the group is the one that MMEngine's runner would start; without a GPU it is gloo's.
    Does nothing for one process.

    Args:
        cfg: As in :func:`init_cpu_processes`.
    """
    if cfg.launcher == 'none':
        yield
    elif torch.cuda.is_available():
        env = cfg.get('env_cfg') or {}
        set_multi_processing(distributed=True, **env.get('mp_cfg', {}))
        init_dist(cfg.launcher, **env.get('dist_cfg', {}))
        yield
    else:
        init_cpu_processes(cfg)
        try:
            yield
        except StoppedBySignal:  # in all processes
            close_cpu_processes()
            raise
        close_cpu_processes()


def init_cpu_processes(cfg: Config) -> None:
    """Starts the gloo group of this process and fits the config to it.

    MMEngine's own initialisation selects a CUDA device first and hands device ids to DDP, and fails
    on a machine without a GPU. A group that exists already it leaves alone.

    Args:
        cfg: The run's config, changed in place; ``cfg.launcher`` is ``'pytorch'`` or ``'slurm'``.

    Raises:
        InputError: Another launcher, or its environment is missing.
    """
    if cfg.launcher == 'slurm':
        _read_slurm_environment()
    elif cfg.launcher != 'pytorch':
        raise InputError(f'launcher {cfg.launcher!r} needs GPUs; without one use pytorch or slurm')
    if cfg.get('sync_bn'):
        raise InputError('sync_bn needs GPUs; drop it and set model.neck.norm_cfg.type='
                         'CrossProcessBN, which does the same on CPUs and GPUs')
    if 'RANK' not in os.environ:
        raise InputError('--launcher pytorch needs torchrun; start it with tools/dist_train.sh')
    dist.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)


def close_cpu_processes() -> None:
    """Ends the group together: the first to leave would hang up on a process still talking."""
    dist.barrier()
    # One process may be out of the barrier before the others, so they say that they are, elsewhere.
    # There the first one answers, perhaps: it waits until none of the others asks any more.
    store, ranks = dist.distributed_c10d._get_default_store(), range(dist.get_world_size())
    for word, who_waits in (('left', ranks), ('gone', (0, ))):
        store.set(f'{word}/{dist.get_rank()}', 'yes')
        if dist.get_rank() in who_waits:
            store.wait([f'{word}/{rank}' for rank in ranks])
    dist.destroy_process_group()


def _read_slurm_environment() -> None:
    try:
        nodes = os.environ['SLURM_NODELIST']
        os.environ['RANK'] = os.environ['SLURM_PROCID']
        os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
        os.environ['LOCAL_RANK'] = os.environ['SLURM_LOCALID']
    except KeyError as missing:
        raise InputError(f'--launcher slurm needs {missing.args[0]}; start it with '
                         'tools/slurm_train.sh') from None
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        hosts = subprocess.run(['scontrol', 'show', 'hostnames', nodes],
                               check=True, capture_output=True, text=True).stdout
        os.environ['MASTER_ADDR'] = hosts.split()[0]
