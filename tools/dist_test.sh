#!/usr/bin/env bash
# tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
# Without a GPU, GPUS is the number of CPU processes; several nodes as in dist_train.sh.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
. "$tools/launch.sh"

if [ $# -lt 3 ] || ! is_count "$3"; then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [options of tools/test.py]" >&2
    exit 2
fi
launch "$3" "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
