# Needs Python 3.11 or newer, make and a shell. The first command makes .venv from the pins in constraints.txt, the next ones
# reuse it. On Linux without a GPU, TORCH_INDEX=https://download.pytorch.org/whl/cpu saves gigabytes.

RUN := .venv/bin/python
# One more than the cores of a small machine: many tests wait for real processes.
TEST_PROCESSES ?= 3
export TORCH_INDEX

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/\1\t/p' Makefile

demo: .venv/local  ## two real training runs, start to finish, on this machine
	@$(RUN) -m local demo

up: .venv/local  ## the service on this machine, until Ctrl-C
	@$(RUN) -m local up

test: .venv/dev  ## the tests, on real servers that they start themselves
	@$(RUN) -m pytest -n $(TEST_PROCESSES) --dist loadgroup $(ARGS)

SEED ?= 0
SECONDS ?= 300
FAULTS := tests/faults tests/test_job_life.py tests/local/test_killed.py tests/models/test_discarded.py tests/models/test_jobs.py \
	tests/models/test_upgrades.py tests/api/test_datasets.py tests/api/test_idempotent.py \
	tests/api/test_schema.py tests/test_hostile.py tests/test_interoperability.py tests/test_compiled.py tests/worker/test_mlflow.py \
	tests/test_bundle.py tests/test_examples.py tests/test_exports.py tests/test_previews.py tests/test_warm_start.py \
	tests/worker/training/test_accuracy.py tests/worker/training/test_compilation.py tests/local/test_up.py \
	tests/worker/training/test_loop.py::test_how_often_anything_is_saved_or_told_changes_nothing

chaos: .venv/dev  ## every fault, and whatever else takes long; then SECONDS=300 of random ones, decided by SEED=0
	@$(RUN) -m pytest -m "chaos or not chaos" $(FAULTS)
	@$(RUN) -m tests.faults.punisher --seed $(SEED) --seconds $(SECONDS)

lint: format style types contracts  ## format, style, types, import contracts

format: .venv/dev
	@$(RUN) -m ruff format --check .

style: .venv/dev
	@$(RUN) -m ruff check .

types: .venv/dev
	@$(RUN) -m mypy

contracts: .venv/dev
	@$(RUN) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

audit: .venv/dev  ## published vulnerabilities of the pinned versions, asked of osv.dev
	@"$$($(RUN) -m tests.environments .venv-tools tests/tools.txt)" -m pip_audit --strict --no-deps --disable-pip \
	  --vulnerability-service osv --requirement constraints.txt

check: lint test  ## everything that CI runs

MINUTES ?= 20

bench: .venv/dev  ## docs/benchmarks.md anew: MINUTES=20 for each of three workloads, an hour and a half for the rest; FASHION_MNIST=file.npz
	@for words in "training fashion cifar vectors --all --minutes $(MINUTES) $(FASHION_MNIST:%=--fashion-mnist %)" \
	  images profiles slots overhead start checkpoints past_memory api growth; do \
	  echo "== $$words"; $(RUN) -m benchmarks.$$words || exit 1; done

clean:  ## forget the environments and every cache
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp for each dependency group of pyproject.toml: as new as the pins that it was installed from. An environment whose Python
# no longer runs (upgraded, removed, moved) has no stamp that counts.
BROKEN := $(shell test ! -d .venv || $(RUN) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || echo broken)

.venv/local .venv/dev: pyproject.toml constraints.txt local/install.sh $(BROKEN)
	@sh local/install.sh $(notdir $@)

.PHONY: help demo up test chaos lint format style types contracts audit check bench clean broken
