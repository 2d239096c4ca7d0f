# `make` alone lists what there is. Nothing but make and a Python 3.11 (or newer) with venv is needed beforehand.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install
ARGS ?=

# Tests run in one process more than there are processors, five at most, since many of them wait (tests/conftest.py puts those
# first): `make test WORKERS=0` for one, as a debugger wants it.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
SPREAD = -n $(WORKERS) --maxprocesses=5 --dist worksteal

# They write in memory where it has 2 GB and programs may be run there: waiting for a disk to be sure takes a fifth of the time.
SCRATCH = $(shell d=/dev/shm; [ -w $$d ] && ! grep -q " $$d .*noexec" /proc/mounts && \
	[ "$$(df -Pm $$d | awk 'NR == 2 { print $$4 }')" -ge 2048 ] && echo TMPDIR=$$d)

.PHONY: help run check test coverage soak simulate fuzz bench docs clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tocsin needs Python 3.11 or newer; say which with: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python has no venv (on Debian: apt-get install python3-venv)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)

# Stamps: an installation happens once, and again when pyproject.toml changes.
$(VENV)/.for-run: pyproject.toml | $(BIN)/python
	@echo "Installing Tocsin into $(VENV) (once) …"
	@$(PIP) -e '.[agent]'
	@$(BIN)/python -m compileall -q src/tocsin
	@touch $@

$(VENV)/.for-development: pyproject.toml | $(BIN)/python
	@echo "Installing Tocsin and its tools into $(VENV) (once) …"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.for-run

run: $(VENV)/.for-run ## start Tocsin on SQLite at http://127.0.0.1:3001
	@exec $(BIN)/tocsin serve $(ARGS)

check: $(VENV)/.for-development ## format, lint, types, floors, dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/deptry src

test: $(VENV)/.for-development ## all tests but the long ones; what CI runs
	@$(SCRATCH) $(BIN)/python -m pytest -ra $(SPREAD) $(ARGS)

coverage: $(VENV)/.for-development ## the same tests, and how much of the code they ran
	@rm -f .coverage .coverage.*
	@$(SCRATCH) $(BIN)/coverage run -m pytest -ra -m "not soak and not untraced" $(SPREAD) $(ARGS)
	@$(BIN)/coverage combine -q && $(BIN)/coverage report

soak: $(VENV)/.for-development ## the long tests: faults, seeds, fuzz, the storm; run again, it goes on where it was stopped
	@$(SCRATCH) $(BIN)/python -m pytest -m soak --timeout=3600 -ra --resume .soak $(ARGS)

simulate: $(VENV)/.for-development ## clusters in worlds with faults, SEEDS=10000 of them (ARGS="--story 7" tells one)
	@PYTHONPATH=tests $(BIN)/python -m simulation --seeds $(or $(SEEDS),500) $(ARGS)

fuzz: $(VENV)/.for-development ## the parsers of tests/fuzz guided by coverage, a minute each (ARGS="NAME --seconds 600")
	@$(PIP) -e '.[fuzz]'
	@PYTHONPATH=tests $(BIN)/python -m fuzz.guided $(ARGS)

bench: $(VENV)/.for-development ## the figures of docs/figures.md, measured here (BENCH_MINUTES for longer runs)
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/.for-development ## write the generated parts of docs/
	@$(BIN)/python docs/generate.py

clean: ## remove .venv and caches (never data/)
	rm -rf $(VENV) .soak .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
