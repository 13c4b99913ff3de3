#!/usr/bin/env bash
# tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Without a GPU, GPUS is the number of CPU processes. For several nodes set NNODES, NODE_RANK,
# MASTER_ADDR and PORT on each. PYTHON chooses the interpreter.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $2 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 CONFIG GPUS [options of tools/train.py]" >&2
    exit 2
fi
config=$1
processes=$2
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/find_python.sh"

# torchrun would give each of several processes one thread, which starves processes without a GPU.
threads=$(( $(nproc) / processes ))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( threads > 0 ? threads : 1 ))}

if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
    rendezvous=(--standalone)  # finds a free port, so that two runs share a machine
else
    rendezvous=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
fi

exec "$PYTHON" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$processes" \
    "$tools/train.py" "$config" --launcher pytorch "${@:3}"
