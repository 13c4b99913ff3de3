# `make` lists the targets. All of them may be repeated and interrupted; a finished step is not done again.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:

# PYTHON=python3.11 picks the interpreter, CONMIM_WHEEL_CACHE=dir keeps the compiled ops outside the checkout.
export PYTHON CONMIM_WHEEL_CACHE
export VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: help
help: ## this list
	@echo 'ConMIM for OpenMMLab. Targets:'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo 'Options: PYTHON=python3.11  VENV=.venv  CONMIM_WHEEL_CACHE=dir'
	@echo 'By hand, on any platform: pip install -e . ; extras: .[tests] .[optional] .[formats] .[all]'

# The values reach the recipe through the environment, so that spaces in a path do no harm.
.PHONY: demo
demo: export DEMO_DATA = $(DATA)
demo: export DEMO_SEED = $(SEED)
demo: export DEMO_OUT = $(OUT)
demo: env ## pre-train, evaluate and draw, on two CPU cores; DATA=folder of images, SEED=n, OUT=folder
	@$(PY) tools/demo/demo.py $${DEMO_DATA:+--data "$$DEMO_DATA"} $${DEMO_SEED:+--seed "$$DEMO_SEED"} \
	  $${DEMO_OUT:+--out "$$DEMO_OUT"}

.PHONY: demo-transfer
demo-transfer: export DEMO_SEED = $(SEED)
demo-transfer: export DEMO_OUT = $(OUT)
demo-transfer: env-full ## the demo, then three tasks from its weights and from random ones; SEED=n, OUT=folder
	@out="$${DEMO_OUT:-work_dirs/demo}"; seed="$${DEMO_SEED:-0}"; \
	  $(PY) tools/demo/demo.py --seed "$$seed" --out "$$out" && \
	  $(PY) tools/demo/demo_transfer.py --seed "$$seed" --demo "$$out" --out "$$out-transfer"

.PHONY: test
test: env-full lint ## lint and the whole test suite; the first time compiles mmcv's ops (10 minutes); PYTEST_ARGS=...
	@$(PY) -m pytest -n 2 --dist worksteal --durations=15 $(PYTEST_ARGS)

.PHONY: lint
lint: ## ruff alone, with an environment of seconds
	@tools/setup_env.sh lint
	@$(PY) -m ruff check .

.PHONY: env
env: ## .venv for pre-training, classification and the demo (1 to 3 minutes, 6 GB)
	@tools/setup_env.sh base

.PHONY: env-full
env-full: ## env, and what the tests, mmsegmentation and mmdetection need
	@tools/setup_env.sh full

.PHONY: clean
clean: ## remove .venv, caches and build leftovers (keeps work_dirs, data and compiled ops)
	if [ -d "$(VENV)/.conmim" ]; then rm -rf "$(VENV)"; fi
	rm -rf .cache/*.log .cache/build build dist *.egg-info .pytest_cache .ruff_cache \
	  conmim_mm/.mim
	find conmim_mm tools tests configs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
