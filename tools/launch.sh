# Sourced by dist_train.sh and dist_test.sh: `launch PROCESSES TOOL ARGUMENTS` starts torchrun.
# shellcheck shell=bash
. "$(dirname "${BASH_SOURCE[0]}")/find_python.sh"
. "$(dirname "${BASH_SOURCE[0]}")/run_stoppable.sh"

is_count() { [[ $1 =~ ^[1-9][0-9]*$ ]]; }

launch() {
    local processes=$1
    # torchrun would give each of several processes one thread, which starves processes without a GPU.
    local threads=$(( $(nproc) / processes ))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( threads > 0 ? threads : 1 ))}

    local rendezvous
    if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
        rendezvous=(--standalone)  # finds a free port, so that two runs share a machine
    else
        rendezvous=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
            --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
    fi
    # A restarted run goes on from its newest checkpoint by itself. Its processes need a store of their own: in the
    # shared one they may find the addresses of those that have died.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    run_stoppable "$PYTHON" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$processes" \
        --max-restarts="${MAX_RESTARTS:-0}" "${@:2}"
}
