#!/usr/bin/env bash
# tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
# GPUS, GPUS_PER_NODE, CPUS_PER_TASK and SRUN_ARGS change what is asked of Slurm. GPUS_PER_NODE=0
# asks for CPU processes: GPUS is then their number and PROCESSES_PER_NODE how many share a node.
# REQUEUE=1 goes on with a run that was stopped by a signal (exit status 143): inside an sbatch job it is put back into
# the queue, outside it is asked for again. Let Slurm send the signal early: SRUN_ARGS or #SBATCH --signal=USR1@120.
set -euo pipefail

if [ $# -lt 4 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]" >&2
    exit 2
fi
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/find_python.sh"
. "$tools/run_stoppable.sh"

gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-8}
if [ "$gpus_per_node" -gt 0 ]; then
    resources=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
else
    resources=(--ntasks-per-node="${PROCESSES_PER_NODE:-1}")
fi

options=("${@:5}")
if [ "${REQUEUE:-0}" = 1 ]; then options+=(--resume); fi  # from the start where there is no checkpoint yet

status=0
# SRUN_ARGS holds several words on purpose.
# shellcheck disable=SC2086
run_stoppable srun -p "$1" --job-name="$2" --ntasks="$gpus" "${resources[@]}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tools/train.py" "$3" --work-dir "$4" --launcher slurm "${options[@]}" || status=$?

if [ "$status" = "$stop_status" ] && [ "${REQUEUE:-0}" = 1 ]; then
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        echo "stopped by a signal: putting job $SLURM_JOB_ID back into the queue" >&2
        scontrol requeue "$SLURM_JOB_ID"
    elif [ -z "$stopped" ]; then  # Slurm stopped it, not the user of this shell
        echo 'stopped by a signal: asking for it again' >&2
        exec "$0" "$@"
    fi
fi
exit "$status"
