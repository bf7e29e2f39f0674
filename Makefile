# `make run` and `make test` are the two commands; each does its own set-up first.
# Paths stay relative, so that a blank in the folder's name does no harm.
PYTHON ?= $(firstword $(shell command -v python3 python3.14 python3.13 python3.12 python3.11))
PY := .venv/bin/python
UV := $(PY) -m uv

# Without bytecode every import compiles again: seconds of CPU a process.
unexport PYTHONDONTWRITEBYTECODE
# uv reads its own variables; hand it what the machine's pip is configured with.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)

.PHONY: run study ablation test test-slow up setup bench-setup lock lint clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 13

run: setup ## the whole pipeline: raw text to a benchmarked pair of models
	@$(PY) -m flows.run $(ARGS)

study: setup ## the growth study: what growing a small model buys, against every fair alternative
	@$(PY) -m flows.run growth-study $(ARGS)

ablation: setup ## the data ablation: what curation, textbooks and exercises are each worth at equal tokens
	@$(PY) -m flows.run data-ablation $(ARGS)

test: setup ## all tests but the slow proofs, in two processes
	@$(PY) -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

test-slow: setup ## the slow proofs
	@$(PY) -m pytest -m slow $(ARGS)

up: setup ## Prefect server and worker, MLflow and the panel, on 127.0.0.1
	@$(PY) -m flows.up $(ARGS)

lint: setup ## style and common mistakes
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

setup: .venv/installed ## make .venv with the locked dependencies

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Phiforge needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=/path/to/python3.12")'
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	@# pip finds the torch wheel that this machine is configured for; uv then leaves it in place.
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps "$$(grep '^torch==' requirements.lock)"
	@$(UV) pip install --quiet --python $(PY) --compile-bytecode -r requirements.lock
	@touch $@

bench-setup: .phiforge/peers/installed ## peers that bench/ measures beside ours, apart from the locked dependencies

# Without their dependencies: litgpt pins an older huggingface-hub, and what its model imports is here already.
.phiforge/peers/installed: bench/peers.txt .venv/installed
	@mkdir -p $(@D)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D) -r bench/peers.txt
	@touch $@

lock: ## resolve pyproject.toml anew into requirements.lock
	@# torch's own CUDA packages follow from the torch wheel that is installed, so they are not pinned here.
	@env -u UV_FIND_LINKS $(UV) pip compile --quiet --universal --group dev pyproject.toml --no-header --no-annotate \
	  -o requirements.lock
	@sed -i.bak -E '/^(nvidia-|cuda-|triton==)/d' requirements.lock && rm requirements.lock.bak

clean: ## remove what runs and set-up made; sources stay
	rm -rf .venv .phiforge workspaces data models reports mlflow.db mlartifacts dvc.lock studies/growth/dvc.lock studies/data/dvc.lock .dvc/cache .dvc/tmp
