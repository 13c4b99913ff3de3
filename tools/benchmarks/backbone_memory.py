"""Peak memory of a training step of a config's backbone, by how attention and blocks are computed.

Every line is a process of its own: on a GPU the peak of PyTorch's allocator, on a CPU the peak of
the process less what it needed before the step.
"""

import argparse
import json
import resource
import subprocess
import sys

import torch
from mmengine.device import get_device
from mmengine.registry import MODELS, init_default_scope

import conmim_mm.registration  # noqa: F401
from conmim_mm.errors import InputError
from conmim_mm.models.layers import attention_patterns
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import read_config

# Name: largest grid that attends in one call, recompute activations.
VARIANTS = {
    'in chunks of queries (default)': (attention_patterns.MAX_FULL_TOKENS, False),
    'in chunks, with_cp=True': (attention_patterns.MAX_FULL_TOKENS, True),
    'all pairs at once': (10**9, False),
}


def measure(config: str, size: int, batch: int, variant: str) -> float:
    """Peak in MiB of one step in this process."""
    attention_patterns.MAX_FULL_TOKENS, with_cp = VARIANTS[variant]
    init_default_scope('mmpretrain')
    settings = dict(read_config(config).model.backbone, init_cfg=None, with_cp=with_cp)
    device = get_device()
    backbone = MODELS.build(settings).to(device).train()
    images = torch.randn(batch, 3, size, size, device=device)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with torch.autocast(torch.device(device).type, torch.bfloat16):
        outputs = backbone(images)
    sum(output.float().mean() for output in outputs).backward()
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a detector or segmentor')
    parser.add_argument('--size', type=int, default=1024, help='side of the images, in pixels')
    parser.add_argument('--batch', type=int, default=1, help='images')
    parser.add_argument('--variant', choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    args = parser.parse_args()
    if args.size < 1 or args.batch < 1:
        raise InputError('--size and --batch must be at least 1')
    read_config(args.config)
    if args.variant:
        print(measure(args.config, args.size, args.batch, args.variant))
        return
    peaks = {}
    for variant in VARIANTS:
        result = subprocess.run([
            sys.executable, __file__, args.config, '--size', str(args.size), '--batch',
            str(args.batch), '--variant', variant], capture_output=True, text=True)
        # A process that the system ends for its memory says nothing.
        peaks[variant] = float(result.stdout.split()[-1]) if result.returncode == 0 else None
    if args.json:
        print(json.dumps(peaks))
        return
    print(f'{args.config}, {args.batch} x {args.size} x {args.size}, bfloat16, {get_device()}')
    for variant, peak in peaks.items():
        print(f'{variant:<32}' + ('failed' if peak is None else f'{peak:>10,.0f} MiB'))


if __name__ == '__main__':
    run_tool(main)
