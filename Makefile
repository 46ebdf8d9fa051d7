# Needs make, Python 3.11 or later, and a package index. `make help` says what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
FAST := $(wildcard tests/unit tests/contract)
SOAK_SECONDS ?= 900
STORM_SECONDS ?= 10
KILLS ?= 20
FITS := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3 python3.14 python3.13 python3.12; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -P -m pytest
COMPILE := build/lock/uv/bin/uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--no-header --no-annotate
# The hook runs pre-commit from $(VENV): it goes before that does.
FORGET_HOOK = [ ! -e .git ] || [ ! -x $(BIN)/pre-commit ] || \
	$(BIN)/pre-commit uninstall --hook-type commit-msg >/dev/null 2>&1 || true
SYSTEMS := x86_64-manylinux_2_34 aarch64-manylinux_2_34 aarch64-apple-darwin

# $(call try_resolution,NAME,RESOLUTION): a virtual environment of its own, what the product needs as RESOLUTION picks it,
# what the tests need at its newest beside that.
define try_resolution
	rm -rf build/$(1) && $(PYTHON) -m venv build/$(1) && build/$(1)/bin/pip --quiet install uv
	build/$(1)/bin/uv --quiet pip compile --python build/$(1)/bin/python --resolution $(2) --output-file build/$(1)/run.txt pyproject.toml
	build/$(1)/bin/uv --quiet pip install --python build/$(1)/bin/python \
		--requirement build/$(1)/run.txt --requirement requirements/run.in --requirement requirements/dev.in --editable .
	build/$(1)/bin/holdbook demo
	build/$(1)/bin/python -P -m pytest -n $(WORKERS) $(FAST)
endef

.PHONY: help demo test lint format fast soak bench lock pins oldest newest clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.project ## show what the ledger does, in a temporary database
	@$(BIN)/holdbook demo

test: export PYTHONDONTWRITEBYTECODE = # whatever it is outside: some hundred processes start, each would compile anew
test: lint ## lint, then every test, with every line and branch covered
	$(PYTEST) -n $(WORKERS) --dist worksteal --cov --cov-report=term

lint: $(VENV)/.dev ## style, types, and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## put the code in shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

fast: $(VENV)/.dev ## unit and contract tests only
	$(PYTEST) -n $(WORKERS) $(FAST)

soak: $(VENV)/.dev ## hunt, SOAK_SECONDS a machine (900); kill KILLS times (20); measure storms, and a REBUILD_WORKLOAD
	HOLDBOOK_MACHINES=nightly HOLDBOOK_SOAK_SECONDS=$(SOAK_SECONDS) $(PYTEST) -n $(WORKERS) -rP -o timeout=0 \
		-k "not canary" tests/property/test_state_machine.py tests/property/test_manager_machine.py
	HOLDBOOK_KILLS=$(KILLS) $(PYTEST) -n $(WORKERS) -o timeout=0 tests/integration/test_kill.py
	HOLDBOOK_STORM_SECONDS=$(STORM_SECONDS) $(PYTEST) -rP -o timeout=0 tests/integration/test_storms.py
	$(if $(REBUILD_WORKLOAD),HOLDBOOK_REBUILD_WORKLOAD=$(REBUILD_WORKLOAD) $(PYTEST) -rP -o timeout=0 \
		tests/integration/test_rebuilding_under_load.py)

bench: $(VENV)/.dev ## measure beside other ways, about 40 minutes; BENCH="--quick" for a taste
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH)

lock: ## pin what the demo and the development set install, for every Python and system; then prove the pins
	rm -rf build/lock && $(PYTHON) -m venv build/lock/uv && build/lock/uv/bin/pip --quiet install uv
	$(COMPILE) --upgrade --output-file requirements/dev.txt pyproject.toml requirements/run.in requirements/dev.in
	$(COMPILE) --upgrade --constraint requirements/dev.txt --output-file requirements/run.txt \
		pyproject.toml requirements/run.in
	$(MAKE) pins

pins: ## prove the pins: with pip 23.2.1 and the newest, while newer releases of everything are on offer
	rm -rf build/pins && $(PYTHON) -m venv build/pins/uv && build/pins/uv/bin/pip --quiet install uv
	$(PYTHON) tests/support/newer_releases.py build/pins/newer requirements/dev.txt
	set -e; for pip in pip==23.2.1 pip; do for set in run dev; do \
		echo "requirements/$$set.txt with $$pip"; \
		$(PYTHON) -m venv build/pins/$$pip; \
		build/pins/$$pip/bin/python -m pip --quiet install --upgrade $$pip; \
		build/pins/$$pip/bin/python -m pip --quiet install --dry-run --require-hashes \
			--find-links build/pins/newer --requirement requirements/$$set.txt; \
	done; done
	set -e; for python in 3.11 3.12 3.13 3.14; do for system in $(SYSTEMS); do \
		echo "requirements/dev.txt for Python $$python on $$system"; \
		build/pins/uv/bin/uv pip install --quiet --dry-run --require-hashes --only-binary :all: --target build/pins/none \
			--python-version $$python --python-platform $$system --requirement requirements/dev.txt; \
	done; done

oldest: ## the demo and the fast tests with every dependency at its lower bound; before each release
	$(call try_resolution,oldest,lowest-direct)

newest: ## the demo and the fast tests with every dependency at its newest; before each release
	$(call try_resolution,newest,highest)

clean: ## remove what the targets made
	@$(FORGET_HOOK)
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .grimp_cache .import_linter_cache .mypy_cache \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What runs comes first, what tests comes on top of it: run.txt is a part of dev.txt, with the same pins.
$(VENV)/.run: requirements/run.txt
	@[ -n "$(PYTHON)" ] || { echo "Holdbook needs Python 3.11 or later with venv; name it: make PYTHON=…" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(FORGET_HOOK)
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes --requirement $<
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.run
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# The hook that checks the subjects of commits helps who commits. Where it cannot be installed, the rest goes on without
# it: in a tree that was exported, where core.hooksPath is set, where .git is read-only.
$(VENV)/.dev: requirements/dev.txt $(VENV)/.project $(wildcard .pre-commit-config.yaml)
	@$(PIP) install --require-hashes --requirement $<
	@[ ! -e .git ] || $(BIN)/pre-commit install --allow-missing-config --hook-type commit-msg >/dev/null 2>&1 || true
	@touch $@
