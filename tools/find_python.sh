# Sourced by the launchers: sets PYTHON to the caller's choice, an active environment's interpreter,
# the one that `make` set up in this checkout, or whatever `python` is, in this order.
# shellcheck shell=bash
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python
    checkout_python=$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/python
    if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x "$checkout_python" ]; then
        PYTHON=$checkout_python
    fi
fi
