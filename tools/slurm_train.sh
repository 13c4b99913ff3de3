#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS change what is asked of Slurm. GPUS_PER_NODE=0
# asks for CPU processes: GPUS is then their number and PROCESSES_PER_NODE how many share a node.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/find_python.sh"

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus_per_node" -gt 0 ]; then
    resources=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
else
    resources=(--ntasks-per-node="${PROCESSES_PER_NODE:-1}")
fi

# SRUN_ARGS holds several words on purpose.
# shellcheck disable=SC2086
exec srun -p "$1" --job-name="$2" --ntasks="$gpus" "${resources[@]}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tools/train.py" "$3" --work-dir "$4" --launcher slurm "${@:5}"
