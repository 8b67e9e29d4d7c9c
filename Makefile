# Every target makes its environment first if it is missing or out of date: `make help`.
STACK ?= openmmlab
# As make's variables or from the environment; see scripts/setup_env.py.
export TORCH TORCH_INDEX MMSNIPER_CACHE MAX_JOBS
# Dozens of short processes would each compile all sources.
unexport PYTHONDONTWRITEBYTECODE

ENV := $(if $(filter onedl,$(STACK)),.venv-onedl,.venv)
BIN := $(ENV)/bin
# The first that starts and is new enough; Python 3.11 is what the pins are tried with.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)

.PHONY: help env demo test test-all smoke lint bench weights wheel-check docs serve-docs pictures clean

help:  ## show this list
	@echo 'make TARGET [STACK=openmmlab|onedl]'
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 16

env:  ## make the virtual environment (.venv, or .venv-onedl for the fork)
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.10 to 3.13 found; install one or say make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) scripts/setup_env.py --stack $(STACK)

demo: env  ## the whole recipe on generated data: some twelve minutes on two cores
	$(BIN)/python tools/demo.py

test: env  ## run the tests
	$(BIN)/python -m pytest -n auto $(ARGS)

test-all: env  ## run the slow tests as well, with coverage: a third longer
	$(BIN)/python -m pytest -n auto --cov=mmsniper -m '' $(ARGS)

smoke: env  ## run the short set of tests
	$(BIN)/python -m pytest -n auto -m smoke $(ARGS)

lint: env  ## check style, types and docstrings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/interrogate mmsniper

bench: env  ## measure what an epoch costs, into benchmarks/RESULTS.md: half an hour
	$(BIN)/python benchmarks/loader.py
	$(BIN)/python benchmarks/regions.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/step.py --network demo
	$(BIN)/python benchmarks/step.py --network r50
	$(BIN)/python benchmarks/report.py

weights: env  ## train the model zoo's small detectors into weights/; HITUAV=FOLDER BCCD=FOLDER: some twenty minutes each on one core
	$(BIN)/python benchmarks/weights.py $(if $(HITUAV),--hituav $(HITUAV)) $(if $(BCCD),--bccd $(BCCD))

wheel-check: env  ## build the wheel, install it beside the environment, use it through mim
	tests/wheel_check.sh $(ENV)

docs: .venv-docs/ready  ## build the documentation into site/; broken links are errors
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

serve-docs: .venv-docs/ready  ## show the documentation at http://127.0.0.1:8000, as it is edited
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs serve

pictures: env  ## draw the documentation's pictures again
	$(BIN)/python docs/pictures.py

# An environment of its own, without torch: settings are read from the source.
.venv-docs/ready: requirements/docs.txt
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.10 to 3.13 found; install one or say make PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv-docs
	.venv-docs/bin/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	@touch $@

clean:  ## remove environments and what builds and tests leave; compiled wheels and results stay
	rm -rf .venv .venv-onedl .venv-docs site build dist *.egg-info mmsniper/.mim .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find mmsniper tools tests configs scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
