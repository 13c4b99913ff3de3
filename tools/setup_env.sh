#!/usr/bin/env bash
# Make or update the checkout's environment with uv. Called by the Makefile, safe to repeat, to interrupt, to start twice.
#
#   tools/setup_env.sh lint|base|full   ruff alone; what the package needs; also its extras and mmcv's compiled ops
#
# PYTHON=python3.11 picks the interpreter, VENV=.venv the environment, CONMIM_WHEEL_CACHE=dir the place of the compiled
# ops (default: .cache/wheels), CHROMIUM=/path/to/chrome the browser of the tests. uv's own variables hold too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly STAGE="${1:-base}" VENV="${VENV:-.venv}" CACHE="$PWD/.cache" PINS=requirements/constraints.txt
readonly WHEELS="${CONMIM_WHEEL_CACHE:-$CACHE/wheels}" STAMPS="$VENV/.conmim" py="$VENV/bin/python" uv="$VENV/bin/uv"

say() { printf '==> %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
trap 'die "interrupted; the same command goes on from here"' INT TERM

# "3.11.2 Linux x86_64", or nothing when the interpreter does not run.
describe() { "$1" -c 'import platform as p; print(p.python_version(), p.system(), p.machine())' 2>/dev/null || true; }

find_python() {
  for python in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12; do
    about=$(describe "$python")
    [[ $about == 3.1[12].* || -n ${PYTHON:-} ]] && break
  done
  [[ $about == 3.1[12].* ]] || die "Python 3.11 is needed (3.12 may do), $python is ${about:-none that runs}:" \
    'apt-get install python3 python3-venv, or name one: make PYTHON=/path/to/python3.11'
}

# Everything that an environment depends on; the path too, since none survives a move of the checkout.
fingerprint() {
  { echo "$about $PWD" && cat requirements/*.txt setup.py conmim_mm/version.py tools/setup_env.sh; } | cksum
}

# A full environment is also a base and a lint environment.
is_done() {
  [[ -x $py ]] && grep -qsxF "$(fingerprint)" "$STAMPS/$STAGE" "$STAMPS/full"
}

make_venv() {
  if [[ -n $(ls -A "$VENV" 2>/dev/null) && $(describe "$py") != "$about" ]]; then
    [[ -d $STAMPS ]] || die "VENV=$VENV is no environment of this project and Python; name another folder"
    rm -rf "$VENV"
  fi
  mkdir -p "$STAMPS" # first, for a half-made environment to be known as ours
  # What an interruption left half unpacked would count as installed.
  [[ ! -x $py ]] || "$py" -c 'if True:
    import importlib.metadata, shutil
    for package in list(importlib.metadata.distributions()):
        files = [file for file in package.files or () if file.suffix != ".pyc"]
        if not files or not all(file.locate().exists() for file in files):
            shutil.rmtree(package._path)' || die "$VENV cannot be repaired; remove it"
  "$python" -m venv "$VENV" || die "$python cannot make $VENV: apt-get install python3-venv" # completes a half-made one
  "$py" -m pip install --disable-pip-version-check -q uv || die 'pip could not install uv'
}

uv_install() { "$uv" pip install --python "$py" "$@" || die "uv could not install it; the same command goes on from here"; }

install_lint() { uv_install ruff; }

# install_base [EXTRAS]. mmcv comes without its ops here: uv builds it where there is no torch. uv sees no change of this
# checkout beyond setup.py and pyproject.toml, so the package itself is always installed anew.
install_base() {
  local free
  if ! compgen -G "$VENV/lib/python3.*/site-packages/torch/__init__.py" >/dev/null; then
    free=$(df -Pm "$VENV" | awk 'NR == 2 { print $4 }')
    ((free >= 7000)) || die "7 GB of free disk are needed for $VENV, there are $free MB"
    say 'torch, torchvision and OpenMMLab: 2.8 GB of downloads, unless uv still has them'
  fi
  uv_install --reinstall-package conmim_mm -e ".${1:-}"
  "$py" -c 'import cv2' 2>/dev/null && return
  # The headless twin has the same files and asks for none of the system's.
  say 'opencv-python does not load here (no libGL?): putting opencv-python-headless over it'
  uv_install --reinstall-package opencv-python-headless opencv-python-headless
}

install_full() {
  install_base '[all]'
  install_browser
  install_transformers5
  install_ops
}

# The tests load exported backbones in it, too, but mmpretrain cannot be imported beside it.
install_transformers5() {
  rm -rf "$VENV/transformers5"
  UV_CONSTRAINT='' uv_install --no-deps --target "$VENV/transformers5" -r requirements/transformers5.txt
}

# The tests open a run's report in a real browser.
install_browser() {
  local name
  for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
    command -v "$name" >/dev/null && return
  done
  say 'Chromium, in which the tests open the report (1 minute)'
  { apt-get update && apt-get install -y --no-install-recommends chromium; } >"$CACHE/chromium.log" 2>&1 ||
    say "none ($CACHE/chromium.log), some tests will fail: as root apt-get install chromium, or CHROMIUM=/path/to/chrome"
}

# uv would keep one mmcv of a version, whatever torch it was compiled for and even without ops, and starts a compilation
# that was interrupted all over. So these wheels are kept here: each belongs to one torch, Python and kind of device.
install_ops() {
  local made_for version key
  made_for=$("$py" -c 'if True:
    import importlib.metadata, platform, sys, torch
    python = "cp%d%d" % sys.version_info[:2]
    device = "cuda-sm%d%d" % torch.cuda.get_device_capability() if torch.cuda.is_available() else "cpu"
    print(importlib.metadata.version("onedl-mmcv"), end=" ")
    print(f"torch-{torch.__version__}-{python}-{platform.machine()}-{device}")') || die 'torch or mmcv does not load'
  # Ops of an earlier torch may load and still be wrong.
  [[ $(cat "$STAMPS/ops" 2>/dev/null) == "$made_for" ]] && ops_load && return
  version=${made_for% *} key=${made_for#* }
  if ! use_ops; then
    compile_ops
    use_ops || die "the compiled mmcv ops do not load: $(tail -n 1 "$CACHE/ops.log")"
  fi
  echo "$made_for" >"$STAMPS/ops"
}

ops_load() { "$py" -c 'from mmcv.ops import nms' 2>"$CACHE/ops.log"; }

# A py3-none-any wheel would have no ops in it.
use_ops() {
  local wheel
  wheel=$(compgen -G "$WHEELS/$key/onedl_mmcv-$version-cp*.whl") || return
  rm -f "$STAMPS/ops"
  uv_install --no-deps --reinstall-package onedl-mmcv "$wheel"
  ops_load
}

compile_ops() {
  local source="$CACHE/build/$key" name="onedl_mmcv-$version" tmp
  "${CXX:-c++}" -E -x c++ -I "$("$py" -c 'import sysconfig; print(sysconfig.get_path("include"))')" - >/dev/null \
    <<<'#include <Python.h>' || die 'mmcv needs a C++ compiler and Python.h: apt-get install g++ python3-dev'
  say 'compiling the mmcv ops, about 10 minutes on two cores, once (an interrupted one goes on where it was)'
  uv_install -r requirements/build.txt
  # The source stays until the end, for ninja to go on after an interruption.
  if [[ ! -e $source/$name ]]; then
    mkdir -p "$source"
    tmp=$(mktemp -d "$source/unpack.XXXXXX")
    "$py" -m pip download -q --no-cache-dir --no-deps --no-build-isolation --no-binary onedl-mmcv -d "$tmp" \
      "onedl-mmcv==$version" || die "pip could not download the source of onedl-mmcv $version"
    tar -xzf "$tmp/$name.tar.gz" -C "$tmp"
    mv "$tmp/$name" "$source/"
  fi
  CFLAGS="${CFLAGS:--g0 -O2}" MAX_JOBS="${MAX_JOBS:-$(getconf _NPROCESSORS_ONLN)}" "$uv" build --wheel --python "$py" \
    --no-build-isolation -o "$source/wheel" "$source/$name" 2>&1 | tee "$CACHE/ops.log" |
    sed -un 's/^ *\(\[[0-9]*\/[0-9]*\]\).*/    \1 files compiled/p' ||
    die "the mmcv ops do not compile ($CACHE/ops.log); the same command goes on from here"
  # In one step, since others may be reading in that cache.
  mkdir -p "$WHEELS/$key"
  tmp=$(mktemp -d "$WHEELS/$key/new.XXXXXX")
  cp "$source/wheel/$name"-cp*.whl "$tmp/" || die "mmcv was built without its ops ($CACHE/ops.log)"
  mv -f "$tmp"/*.whl "$WHEELS/$key/"
  rm -rf "$tmp" "$source"
}

[[ $STAGE == lint || $STAGE == base || $STAGE == full ]] || die "unknown stage: $STAGE"
find_python
is_done && exit
mkdir -p "$CACHE"
if command -v flock >/dev/null; then
  exec 9>"$CACHE/lock"
  flock -n 9 || { say 'another set-up is at work in this checkout; waiting for it' && flock 9; }
  is_done && exit
fi
say "setting up $VENV ($STAGE) with Python $about"
# The pins hold wheels for these only; elsewhere the ranges of requirements/ decide.
if [[ $about == 3.1[12].*' Linux x86_64' ]]; then
  export PIP_CONSTRAINT=$PINS UV_CONSTRAINT=$PINS UV_BUILD_CONSTRAINT=$PINS
fi
make_venv
"install_$STAGE"
fingerprint >"$STAMPS/$STAGE"
say "$VENV is ready ($STAGE)"
