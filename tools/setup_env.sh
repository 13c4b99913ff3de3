#!/usr/bin/env bash
# Make or update the checkout's environment. Called by the Makefile, safe to repeat, to interrupt, to start twice.
#
#   tools/setup_env.sh lint   the environment with ruff alone
#   tools/setup_env.sh base   what pre-training, classification and the demo need
#   tools/setup_env.sh full   base, the tests' requirements and mmcv's compiled ops
#   tools/setup_env.sh key    print the cache key of the compiled ops (needs base)
#
# PYTHON=python3.11         the interpreter (default: the first of 3.11, 3.12, 3.10 that is found)
# VENV=.venv                where the environment lies
# CHROMIUM=/path/to/chrome  the browser of the tests (default: chromium, chromium-browser or google-chrome)
# CONMIM_WHEEL_CACHE=dir    where wheels of the compiled ops are kept (default: .cache/wheels)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly STAGE="${1:-base}"
readonly VENV="${VENV:-.venv}"
readonly CACHE="$PWD/.cache"
readonly WHEELS="${CONMIM_WHEEL_CACHE:-$CACHE/wheels}"
readonly LOGS="$CACHE/logs"
readonly STAMPS="$VENV/.conmim"
readonly NEED_BASE_MB=9000 # 5.2 GB environment, 2.8 GB of downloads that pip keeps, and a margin
readonly NEED_OPS_MB=1500  # the compiler's objects
py="$VENV/bin/python"

trap 'die "interrupted; the same command goes on from here"' INT TERM
say() { printf '==> %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# --- the interpreter ---------------------------------------------------------------------------------------------

# "3.11.2 Linux x86_64" of an interpreter, or nothing when it does not run.
describe_python() {
  "$1" -c 'import platform as p; print(p.python_version(), p.system(), p.machine())' 2>/dev/null || true
}

find_python() {
  local candidate
  if [[ -n ${PYTHON:-} ]]; then
    python=$PYTHON
    about=$(describe_python "$python")
    [[ -n $about ]] || die "PYTHON=$python does not run; name a Python 3.11 interpreter"
  else
    for candidate in python3.11 python3 python3.12 python3.10; do
      python=$candidate
      about=$(describe_python "$python")
      [[ $about == 3.1[012].* ]] && break
    done
  fi
  [[ $about == 3.1[012].* ]] ||
    die "Python 3.11 is needed (3.10 and 3.12 may do), found ${about:-none}; install it (Debian 12: apt-get install" \
      "python3 python3-venv) or name one: make PYTHON=/path/to/python3.11"
}

# The pins hold wheels for these only; elsewhere pip chooses within the ranges of requirements/.
use_pins() {
  case $about in
  3.1[12].*" Linux x86_64") export PIP_CONSTRAINT=requirements/constraints.txt ;;
  *) say "no pinned versions for Python $about: pip chooses within the ranges of requirements/*.txt" ;;
  esac
}

# --- what is done already ----------------------------------------------------------------------------------------

# fingerprint STAGE: everything an environment depends on. The path is in it, because an environment does not survive a
# move of the checkout.
fingerprint() {
  local files=(requirements/*.txt setup.py conmim_mm/version.py tools/setup_env.sh)
  [[ $1 == lint ]] && files=(requirements/tests.txt requirements/constraints.txt)
  { echo "$1 $about $PWD" && cat "${files[@]}"; } | cksum
}

# A finished full environment is also a base and a lint environment.
is_done() {
  [[ -x $py ]] && { has_stamp "$STAGE" || has_stamp full; }
}

has_stamp() { [[ $(cat "$STAMPS/$1" 2>/dev/null) == "$(fingerprint "$1")" ]]; }

# --- running a long command --------------------------------------------------------------------------------------

# Copy a command's output into a log and show where it is: pip's large downloads as they come, ninja's counter at most
# every ten seconds.
show_progress() {
  local line last=-10
  local counter='^ *(\[[0-9]+/[0-9]+\])' package='^ *(Downloading|Using cached|Building wheels for) [^()]*(\([0-9.]+ [MG]B\))?$'
  while IFS= read -r line; do
    printf '%s\n' "$line" >&3
    if [[ $line =~ $counter ]]; then
      if ((SECONDS - last >= 10)); then
        printf '    %s files compiled, %d s\n' "${BASH_REMATCH[1]}" "$SECONDS"
        last=$SECONDS
      fi
    elif [[ $line =~ $package && $line != *.metadata* ]]; then
      line="${line#"${line%%[! ]*}"}"
      printf '    %.110s\n' "$line"
    elif [[ $line == 'Installing collected packages:'* ]]; then
      line=${line//[^,]/}
      printf '    unpacking %d packages\n' "$((${#line} + 1))"
    fi
  done 3>"$1"
}

# logged NAME COMMAND...: run with progress; on failure show the end of the log and where it lies.
logged() {
  local log="$LOGS/$1.log"
  shift
  SECONDS=0
  if ! "$@" </dev/null 2>&1 | show_progress "$log"; then
    printf '\n--- the last lines of %s ---\n' "$log" >&2
    tail -n 30 "$log" | cut -c 1-300 >&2
    die "failed: ${*:1:6} ... (whole log: $log); the same command goes on from here once the cause is gone"
  fi
}

pip() { "$py" -m pip --disable-pip-version-check "$@"; }

# need_space MB WHAT
need_space() {
  local free
  free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024))
  ((free >= $1)) || die "$2 needs about $(($1 / 1000)) GB of free disk here, there are $((free / 1000)) GB"
}

# --- the steps ---------------------------------------------------------------------------------------------------

make_venv() {
  local site
  "$python" -c 'import venv, ensurepip' 2>/dev/null ||
    die "this Python has no venv/ensurepip; install it (Debian: apt-get install python3-venv)"
  # pip writes RECORD last. A package without one was cut off half-way, yet pip would take it for installed.
  for site in "$VENV"/lib/python3.*/site-packages; do
    [[ -d $site ]] || continue
    find "$site" -maxdepth 1 -name '*.dist-info' ! -exec test -e '{}/RECORD' \; -exec rm -r {} +
    find "$site" -maxdepth 1 -name '~*' -exec rm -r {} +
  done
  if [[ -e $VENV && ! -d $STAMPS && ! -f $VENV/pyvenv.cfg && -n $(ls -A "$VENV") ]]; then
    die "VENV=$VENV exists and is no virtual environment; name another folder"
  fi
  if [[ -e $VENV && $(describe_python "$py") != "$about" ]]; then
    [[ -d $STAMPS || -z $(ls -A "$VENV") ]] ||
      die "$VENV is not an environment of this project and has another Python; name another folder or remove it"
    say "$VENV was made with another Python ($(describe_python "$py")): making it anew"
    "$python" -m venv --clear "$VENV"
  else
    "$python" -m venv "$VENV" # also completes a half-made one
  fi
  mkdir -p "$STAMPS"
}

# The requirement line of a package, so that its range stands in one place.
requirement() { sed -n "s/^\($2[^#]*[^# ]\) *\(#.*\)\?\$/\1/p" "requirements/$1.txt"; }

# pip's own wheel cache cannot tell an mmcv with ops from one without, nor the torch it was compiled for: it is left out
# whenever mmcv is built. Build isolation hides torch from mmcv's setup.py, which then leaves the ops out (4 seconds
# instead of 10 minutes).
build_mmcv_without_ops() {
  rm -rf "$CACHE/lite"
  logged mmcv pip wheel --no-cache-dir --no-deps -w "$CACHE/lite" "$(requirement mminstall onedl-mmcv)"
}

install_base() {
  compgen -G "$VENV/lib/python3.*/site-packages/torch/__init__.py" >/dev/null || need_space $NEED_BASE_MB 'the environment'
  say 'installing torch, torchvision and OpenMMLab (the first time 2 to 5 minutes and 2.8 GB of downloads)'
  logged build-tools pip install -r requirements/build.txt
  build_mmcv_without_ops
  logged base pip install --find-links "$CACHE/lite" -r requirements/runtime.txt -r requirements/mminstall.txt
  install_checkout
  check_opencv
}

install_checkout() {
  logged checkout pip install --no-deps --no-build-isolation -e .
}

# opencv-python, which onedl-mmcv asks for, needs the system's libGL; its headless twin has the same files without that.
check_opencv() {
  "$py" -c 'import cv2' 2>/dev/null && return
  say 'opencv-python does not load here (no libGL?): putting opencv-python-headless over it'
  logged opencv pip install --force-reinstall --no-deps opencv-python-headless
  "$py" -c 'import cv2' || die 'OpenCV does not load; on Debian: apt-get install libgl1 libglib2.0-0'
}

# Compiled ops belong to one torch, one Python and one kind of device.
ops_key() {
  "$py" - <<'PY'
import platform, sys, torch
device = 'cpu'
if torch.cuda.is_available():
    device = 'cuda-sm%d%d' % torch.cuda.get_device_capability()
print(f'torch-{torch.__version__}-cp{sys.version_info[0]}{sys.version_info[1]}-{platform.machine()}-{device}')
PY
}

ops_work() { "$py" -c 'import torch, mmcv._ext; from mmcv.ops import nms' 2>"$LOGS/ops-import.log"; }

install_ops() {
  local version key wheel
  version=$("$py" -c 'from importlib.metadata import version; print(version("onedl-mmcv"))')
  key=$(ops_key)
  # Ops of an earlier torch may import and still be wrong, so the note of what they were made for must match too.
  [[ $(cat "$STAMPS/ops" 2>/dev/null) == "$version $key" ]] && ops_work && return
  rm -f "$STAMPS/ops"
  wheel=$(find_ops_wheel "$version" "$key")
  if [[ -n $wheel ]]; then
    say "installing the compiled mmcv ops from $wheel"
    put_ops_wheel "$wheel"
    ops_work || {
      say "they do not load ($(tail -n 1 "$LOGS/ops-import.log")): compiling them again"
      wheel=
    }
  fi
  if [[ -z $wheel ]]; then
    compile_ops "$version" "$key"
    put_ops_wheel "$(find_ops_wheel "$version" "$key")"
    ops_work || die "the compiled mmcv ops do not load: $(tail -n 1 "$LOGS/ops-import.log")"
  fi
  echo "$version $key" >"$STAMPS/ops"
}

# find_ops_wheel VERSION KEY. A py3-none-any wheel has no ops in it.
find_ops_wheel() {
  compgen -G "$WHEELS/$2/onedl_mmcv-$1-cp*.whl" || true
}

# The wheel without ops has the same version, so pip must be forced.
put_ops_wheel() { logged mmcv-ops-install pip install --force-reinstall --no-deps "$1"; }

# compile_ops VERSION KEY
compile_ops() {
  local source="$CACHE/build/$2" tmp
  need_space $NEED_OPS_MB 'compiling the mmcv ops'
  command -v "${CXX:-c++}" >/dev/null || die 'no C++ compiler; install one (Debian: apt-get install g++)'
  "$py" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null ||
    die 'no Python.h; install the headers of this Python (Debian: apt-get install python3-dev)'
  say "compiling the mmcv ops, about 10 minutes on two cores, once (an interrupted one goes on where it was)"
  # Compiled from an unpacked source that stays until the end, for ninja to go on after an interruption.
  if [[ ! -e $source/onedl_mmcv-$1/setup.py ]]; then
    rm -rf "$source" && mkdir -p "$source"
    logged mmcv-source pip download --no-cache-dir --no-deps --no-build-isolation --no-binary onedl-mmcv -d "$source" \
      "onedl-mmcv==$1"
    tmp=$(mktemp -d "$source/unpack.XXXXXX")
    tar -xzf "$source/onedl_mmcv-$1.tar.gz" -C "$tmp"
    mv "$tmp/onedl_mmcv-$1" "$source/"
  fi
  CFLAGS="${CFLAGS:--g0 -O2}" MAX_JOBS="${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}" \
    logged mmcv-ops pip wheel -v --no-cache-dir --no-deps --no-build-isolation -w "$source/wheel" \
    "$source/onedl_mmcv-$1"
  compgen -G "$source/wheel/onedl_mmcv-$1-cp*.whl" >/dev/null ||
    die "mmcv was built without its ops, see $LOGS/mmcv-ops.log"
  # Into a shared cache in one step: another checkout may be reading there.
  mkdir -p "$WHEELS/$2"
  tmp=$(mktemp -d "$WHEELS/$2/new.XXXXXX")
  cp "$source"/wheel/onedl_mmcv-*.whl "$tmp/"
  mv -f "$tmp"/*.whl "$WHEELS/$2/"
  rm -rf "$tmp" "$source"
}

# The tests open a run's report in a real browser.
install_browser() {
  local name
  for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
    command -v "$name" >/dev/null && return
  done
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    say 'installing Chromium, in which the tests open the report (1 minute)'
    logged apt-update apt-get update
    logged chromium apt-get install -y --no-install-recommends chromium
  else
    say 'no Chromium here: the tests that open the report in a browser will fail (Debian: apt-get install chromium,' \
      'or name one: CHROMIUM=/path/to/chrome)'
  fi
}

install_full() {
  has_stamp base || {
    install_base
    fingerprint base >"$STAMPS/base"
  }
  say "installing the tests' requirements (1 minute)"
  logged full pip install -r requirements/tests.txt
  install_browser
  install_ops
  logged check pip check
}

install_lint() {
  say 'installing ruff'
  logged lint pip install "$(requirement tests ruff)"
}

main() {
  case $STAGE in
  lint | base | full) ;;
  key)
    ops_key
    return
    ;;
  *) die "unknown stage: $STAGE" ;;
  esac
  find_python
  is_done && return
  mkdir -p "$LOGS"
  # Two at once: the second waits, and then finds the work done. Where there is no flock, nothing guards.
  if command -v flock >/dev/null; then
    exec 9>"$CACHE/lock"
    flock -n 9 || {
      say 'another set-up is at work in this checkout; waiting for it'
      flock 9
    }
    is_done && return
  fi
  # Wheels of gigabytes are unpacked there; /tmp is often small.
  export TMPDIR="$CACHE/tmp" PYTHONUNBUFFERED=1
  rm -rf "$TMPDIR" && mkdir -p "$TMPDIR"
  say "setting up $VENV ($STAGE) with Python $about"
  use_pins
  make_venv
  install_"$STAGE"
  fingerprint "$STAGE" >"$STAMPS/$STAGE"
  rm -rf "$TMPDIR"
  say "$VENV is ready ($STAGE)"
}

main
