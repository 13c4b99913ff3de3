"""Takes the backbone out of a ConMIM checkpoint: a small file to start tasks from.

The transfer configs take that file or the whole checkpoint. Its ``meta`` says where it comes from.
"""

import argparse
from pathlib import Path

from conmim_mm.checkpoint.reading import WHOSE_WEIGHTS
from conmim_mm.formats.publish import extract
from conmim_mm.utils.cli import run_tool
from conmim_mm.utils.run_config import add_trust_argument


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='pre-training checkpoint')
    parser.add_argument('target', type=Path, help='file to write')
    parser.add_argument('--weights', choices=WHOSE_WEIGHTS, default='teacher',
                        help="whose weights (default: the teacher's, as published)")
    add_trust_argument(parser)
    args = parser.parse_args()
    extract(args.source, args.target, args.weights)
    size = args.target.stat().st_size / 2**20
    print(f"wrote {args.target}: the {args.weights}'s backbone, {size:.1f} MB")


if __name__ == '__main__':
    run_tool(main)
