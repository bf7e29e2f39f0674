# `make run` and `make test` are the two commands; each does its own set-up first.
# Paths stay relative, so that a space in the folder's name does no harm.
PYTHON ?= $(firstword $(shell command -v python3 python3.14 python3.13 python3.12 python3.11))
PY := .venv/bin/python
UV := $(PY) -m uv

# Without bytecode every import compiles again: seconds of CPU per process.
unexport PYTHONDONTWRITEBYTECODE
# uv reads its own variables; hand it the index and the folder of wheels that the machine's pip is configured with.
# Not pip's extra indexes: uv would prefer a package of theirs to the one of the same name that was meant. Set UV_INDEX
# to add one.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)

PIP := $(PY) -m pip --quiet --disable-pip-version-check
# What builds a package must be in requirements.lock, and with its hash: a few packages are sources only.
BUILD := $(UV) pip install --quiet --preview-features build-dependency-hashes --require-build-hashes \
  --build-constraints requirements.lock
# Refuses a package that is not in the given lock files, and a file whose hash is not in them.
INSTALL := $(BUILD) --require-hashes
LOCK := env -u UV_FIND_LINKS $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate

.PHONY: run tune corpus chat champion study law submit ablation without test coverage test-slow up pull housekeeping secrets setup bench-setup playground-setup audit docs lock checks types clean clean-all help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 13

run: setup ## the whole pipeline: raw text to a benchmarked pair of models; on your own text with TEXT=folder
	@$(PY) -m flows.run $(ARGS) $(if $(TEXT),--text="$$TEXT")

chat: setup ## talk to the model that the last run made; ARGS="control --beside large", ARGS=--help
	@$(PY) -m flows.chat $(ARGS)

champion: setup ## which model is the champion and why; ARGS='promote 3 --reason "..."', ARGS='rollback --reason "..."'
	@$(PY) -m flows.champion $(ARGS)

study: setup ## the growth study: what growing a small model buys, against every fair alternative
	@$(PY) -m flows.run growth-study $(ARGS)

corpus: setup ## the curated corpus alone: the stages up to its gate
	@$(PY) -m flows.run corpus $(ARGS)

law: setup ## the growth law: hundreds of small trainings that predict when growing pays (hours)
	@$(PY) -m flows.run growth-law $(ARGS)

ablation: setup ## the data ablation: what curation, textbooks and exercises are each worth at equal tokens
	@$(PY) -m flows.run data-ablation $(ARGS)

tune: setup ## fine-tune a model; ARGS='FILE.jsonl --method full'
	@$(PY) -m flows.tune $(ARGS)

without: setup ## models without some documents; ARGS='--profile without' for each family (overnight)
	@$(PY) -m flows.without $(ARGS)

submit: setup ## an entry of the growth board; ARGS='NAME --study workspaces/KEY --arm exact --by "You"', ARGS=--help
	@$(PY) -m components.study.growth.entries submit $(ARGS)

test: setup ## all tests but the slow proofs, in two processes
	@$(PY) -m pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

coverage: setup ## all tests but the slow proofs, with the lines that they run; fails under the floor of pyproject.toml
	@$(PY) -m pytest -m "not slow" -n 2 --dist loadfile --cov --cov-report=term $(ARGS)

test-slow: setup ## the slow proofs
	@$(PY) -m pytest -m slow $(ARGS)

up: setup ## Prefect server and worker, MLflow and the panel, on 127.0.0.1
	@$(PY) -m flows.up $(ARGS)

pull: setup ## get the results that dvc.lock names from DVC's remote; ARGS=models/large for some of them
	@$(PY) -m flows.pull $(ARGS)

housekeeping: setup ## remove what old runs left behind and nothing still needs; ARGS=--dry-run only shows what
	@$(PY) -m flows.housekeeping $(ARGS)

secrets: setup ## fresh secrets for docker compose, readable only by you; ARGS="--domain ml.example.org" for TLS
	@$(PY) -m flows.secret_files $(ARGS)

checks: setup ## format, lint, types, declared dependencies, links and prose
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m ruff check --quiet .
	@$(PY) -m mypy
	@$(PY) -m deptry .
	@$(PY) -m checks.links
	@$(PY) -m checks.prose

types: setup ## types alone, as `make checks` has them
	@$(PY) -m mypy

setup: .venv/installed .venv/bin/phiforge ## make .venv with the locked dependencies and the command phiforge

# Two things are not in the lock: a torch wheel of the machine's own in PIP_FIND_LINKS, for other CUDA libraries or none,
# and the libraries that such a wheel names; its owner vouches for them. Its version has a suffix, as in 2.13.0+cpu; uv
# leaves it in place.
.venv/installed: requirements.lock requirements-cuda.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Phiforge needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=/path/to/python3.12")'
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@$(PIP) install --require-hashes --only-binary :all: -r .venv/uv.lock
	@torch=$$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.lock); \
	$(PIP) install --no-deps --no-index "$$torch" 2>/dev/null; \
	if $(PY) -c 'from importlib.metadata import version; exit("+" not in version("torch"))' 2>/dev/null; then \
	  $(INSTALL) --python $(PY) --compile-bytecode --no-deps -r requirements.lock && \
	  $(UV) pip install --quiet --python $(PY) --compile-bytecode "$$torch"; \
	else \
	  $(INSTALL) --python $(PY) --compile-bytecode -r requirements.lock -r requirements-cuda.lock; \
	fi
	@touch $@

.venv/bin/phiforge: pyproject.toml .venv/installed
	@$(BUILD) --python $(PY) --no-deps --editable .
	@touch $@

bench-setup: .phiforge/peers/installed ## peers for comparison in bench/, separate from the locked dependencies

# Without their dependencies: litgpt pins an older huggingface-hub, and what its model imports is here already.
.phiforge/peers/installed: bench/peers.lock .venv/installed
	@mkdir -p -m 700 .phiforge && mkdir -p $(@D)
	@$(PIP) install --require-hashes --only-binary :all: --no-deps --upgrade --target $(@D) -r bench/peers.lock
	@touch $@

playground-setup: .venv/playground ## transformer-lens, for the notebook; the pages of the playground need only `make setup`

.venv/playground: requirements-playground.lock .venv/installed
	@$(INSTALL) --python $(PY) --no-deps -r requirements-playground.lock
	@touch $@

audit: .phiforge/audit/installed ## known advisories for the locked packages, and a bill of materials (SBOM)
	@$(PY) -m flows.audit $(ARGS)

.phiforge/audit/installed: requirements-audit.lock .venv/installed
	@mkdir -p -m 700 .phiforge
	@$(UV) venv --quiet --allow-existing --python $(PY) $(@D)
	@$(INSTALL) --python $(@D) -r requirements-audit.lock
	@touch $@

docs: .phiforge/docs/installed ## docs/ as a static site in .phiforge/docs/site, which needs no network
	@$(PY) -m flows.docs

.phiforge/docs/installed: requirements-docs.lock .venv/installed
	@mkdir -p -m 700 .phiforge
	@$(UV) venv --quiet --allow-existing --python $(PY) $(@D)
	@$(INSTALL) --python $(@D) -r requirements-docs.lock
	@touch $@

lock: ## resolve pyproject.toml again into the lock files, with the hash of every file
	@# The CUDA libraries of the index's torch wheel stand apart: another torch wheel brings others, or none.
	@cat requirements.lock requirements-cuda.lock > .venv/all.lock
	@$(LOCK) --group dev pyproject.toml -o .venv/all.lock
	@awk '/^[^ ]/ {file = "requirements" (/^(nvidia-|cuda-|triton==)/ ? "-cuda" : "") ".lock"} {print > file}' .venv/all.lock
	@$(LOCK) --group playground --constraint .venv/all.lock pyproject.toml -o .venv/playground.lock
	@awk '/^[^ ]/ {keep = NR > FNR && !($$1 in seen); seen[$$1]} NR > FNR && keep' .venv/all.lock .venv/playground.lock > requirements-playground.lock
	@$(LOCK) --group audit -o requirements-audit.lock
	@$(LOCK) --group docs -o requirements-docs.lock
	@$(LOCK) --group server -o docker/requirements.lock
	@$(LOCK) --no-deps bench/peers.in -o bench/peers.lock

clean: ## remove what can be made again: .venv, outputs, workspaces; `make run` restores the results from DVC's cache
	rm -rf .venv .cache workspaces data models reports dvc_plots .dvc/tmp
	@git worktree prune

# Nothing else has these: the results, the registry, the records of every run, the remote, answers that were paid for.
RECORDS = .phiforge .dvc/cache mlartifacts mlflow.db* dvc.lock studies/*/dvc.lock studies/*/.dvcignore

clean-all: ## permanently remove all that runs have left: results, models, databases, DVC's cache and local remote; asks first
	@echo "This permanently removes:"; du -sh $(wildcard $(RECORDS))
	@printf 'Type yes to remove all of it: '; read answer && [ "$$answer" = yes ] || { echo "Nothing was removed."; exit 1; }
	rm -rf $(RECORDS)
	@$(MAKE) --no-print-directory clean
