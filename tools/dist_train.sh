#!/usr/bin/env bash
# tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Without a GPU, GPUS is the number of CPU processes. For several nodes set NNODES, NODE_RANK,
# MASTER_ADDR and PORT on each. PYTHON chooses the interpreter.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/launch.sh"

if [ $# -lt 2 ] || ! is_count "$2"; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
launch "$2" "$tools/train.py" "$1" --launcher pytorch "${@:3}"
