# Sourced by launch.sh and slurm_train.sh: `run_stoppable COMMAND` runs it, passes a signal to stop on as SIGTERM, and
# returns 143 once all processes have saved. Another signal ends them at once.
# shellcheck shell=bash

stop_status=143

run_stoppable() {
    # a process group of its own: Ctrl-C reaches this shell alone, and is passed on once
    set -m
    "$@" &
    local child=$! status
    set +m
    stopped=
    trap 'pass_stop "$child"' TERM INT USR1
    # a trap ends the wait, not the child
    while status=0; wait "$child" || status=$?; kill -0 "$child" 2>/dev/null; do :; done
    trap - TERM INT USR1
    # torchrun itself ends with 1, however its processes ended
    if [ -n "$stopped" ] && [ "$status" != 0 ]; then status=$stop_status; fi
    return "$status"
}

pass_stop() {
    if [ -z "$stopped" ]; then
        stopped=1
        kill -TERM "$1"
    else
        # torchrun is waiting for its processes by now, and would not pass on another one
        local process
        for process in $(cat "/proc/$1/task/$1/children" 2>/dev/null || true) "$1"; do
            kill -TERM "$process" 2>/dev/null || true
        done
    fi
}
