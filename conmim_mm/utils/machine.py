"""What this machine offers."""

import os


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_per_process() -> int:
    """Cores that each training process of this machine has for itself."""
    return max(usable_cores() // int(os.environ.get('LOCAL_WORLD_SIZE', 1)), 1)
