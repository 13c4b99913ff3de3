"""Is the machine fit for a training: GPUs, disk, shared memory, open files, cores?"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from ...utils.machine import usable_cores
from .checks import NOTE, OK, PROBLEM, Check, try_import

GB = 2**30
LITTLE_DISK, FULL_DISK = 20 * GB, 2 * GB
MIN_SHM = GB  # docker gives 64 MB
MIN_OPEN_FILES = 4096
SHM = Path('/dev/shm')


def check_gpus() -> Iterator[Check]:
    """Whether PyTorch sees GPUs, and what they can do."""
    torch, _ = try_import('torch')
    if torch is None:
        return
    driver = driver_version()
    if not torch.cuda.is_available():
        if driver is None:
            yield Check(NOTE, 'GPU', 'none: fine for the demo and --arch tiny')
        elif not torch.version.cuda:
            yield Check(PROBLEM, 'GPU', f'there is one (driver {driver}), but PyTorch is built for '
                        'CPUs', 'pip install --force-reinstall torch torchvision, the builds for '
                        'CUDA')
        else:
            yield Check(PROBLEM, 'GPU', f'driver {driver} does not do for CUDA '
                        f'{torch.version.cuda}, or CUDA_VISIBLE_DEVICES hides the GPUs',
                        'update the driver, or install a PyTorch that is built for an older CUDA')
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        bf16 = device.major >= 8
        crowded = free < 0.5 * total
        advice = [
            *['bfloat16 is slow here: --cfg-options optim_wrapper.dtype=float16'] * (not bf16),
            *['another program holds half of its memory: see nvidia-smi'] * crowded]
        yield Check(NOTE if advice else OK, f'GPU {index}', f'{device.name}, {free / GB:.0f} of '
                    f'{total / GB:.0f} GB free, {"with" if bf16 else "without"} bfloat16, driver '
                    f'{driver or "unknown"}', '; '.join(advice))


def driver_version(path: Path = Path('/proc/driver/nvidia/version')) -> str | None:
    """That of NVIDIA's driver; None where there is none."""
    try:
        words = path.read_text(encoding='utf-8', errors='replace').split()
    except OSError:
        return None
    return next((word for word in words if word.count('.') and word[0].isdigit()), 'unknown')


def check_disk() -> Iterator[Check]:
    """Room for checkpoints where the runs will lie."""
    free = shutil.disk_usage('.').free
    status = OK if free > LITTLE_DISK else NOTE if free > FULL_DISK else PROBLEM
    yield Check(status, 'disk', f'{free / GB:.0f} GB free in {Path.cwd()}',
                '' if status == OK else 'a ViT-B run keeps 8 GB of checkpoints: make room, or give '
                '--out on another disk')


def check_shared_memory() -> Iterator[Check]:
    """Data workers hand over their batches in shared memory."""
    if not SHM.is_dir():
        return
    size = shutil.disk_usage(SHM).total
    small = size < MIN_SHM
    yield Check(PROBLEM if small else OK, 'shared memory', f'{size / GB:.1f} GB in {SHM}',
                'too little for data workers: start docker with --shm-size=8g (or --ipc=host)'
                if small else '')


def check_open_files() -> Iterator[Check]:
    """Data workers hand over tensors as open files."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = limit == resource.RLIM_INFINITY
    few = not unlimited and limit < MIN_OPEN_FILES
    yield Check(NOTE if few else OK, 'open files', 'unlimited' if unlimited else f'up to {limit}',
                f'many workers may need more: ulimit -n {min(most, 65536) if most > 0 else 65536}'
                if few else '')


def check_cores() -> Iterator[Check]:
    """Cores for the data workers."""
    yield Check(OK, 'cores', f'{usable_cores()}')
