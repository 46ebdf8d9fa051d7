# Needs make, Python 3.11 or later, and a package index. `make help` says what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
SOAK_SECONDS ?= 900
STORM_SECONDS ?= 10
KILLS ?= 20
FITS := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3 python3.14 python3.13 python3.12; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -P -m pytest

.PHONY: help demo test lint format fast soak bench lock clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.project ## show what the ledger does, in a temporary database
	@$(BIN)/bursar demo

test: export PYTHONDONTWRITEBYTECODE = # whatever it is outside: some hundred processes start, each would compile anew
test: lint ## lint, then every test, with every line and branch covered
	$(PYTEST) -n $(WORKERS) --dist worksteal --cov --cov-report=term

lint: $(VENV)/.project ## style, types, and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.project ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fast: $(VENV)/.project ## unit and contract tests only
	$(PYTEST) -n $(WORKERS) $(wildcard tests/unit tests/contract)

soak: $(VENV)/.project ## hunt, SOAK_SECONDS a machine (900); kill KILLS times (20); measure storms, and a REBUILD_WORKLOAD
	BURSAR_MACHINES=nightly BURSAR_SOAK_SECONDS=$(SOAK_SECONDS) $(PYTEST) -n $(WORKERS) -rP -o timeout=0 \
		-k "not canary" tests/property/test_state_machine.py
	BURSAR_KILLS=$(KILLS) $(PYTEST) -n $(WORKERS) -o timeout=0 tests/integration/test_kill.py
	BURSAR_STORM_SECONDS=$(STORM_SECONDS) $(PYTEST) -rP -o timeout=0 tests/integration/test_storms.py
	$(if $(REBUILD_WORKLOAD),BURSAR_REBUILD_WORKLOAD=$(REBUILD_WORKLOAD) $(PYTEST) -rP -o timeout=0 \
		tests/integration/test_rebuilding_under_load.py)

bench: $(VENV)/.project ## measure beside other ways, about 40 minutes; BENCH="--quick" for a taste
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

lock: ## pin the development set anew
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip --quiet install pip-tools
	build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--output-file requirements/dev.txt pyproject.toml requirements/dev.in

clean: ## remove what the targets made
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.dependencies: requirements/dev.txt
	@[ -n "$(PYTHON)" ] || { echo "Bursar needs Python 3.11 or later with venv; name it: make PYTHON=…" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --requirement $<
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.dependencies
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
