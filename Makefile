# Everything runs from the environment in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: run test lint types chaos bench clean

run: $(STAMP)
	@$(BIN)/primectl tui

test: $(STAMP) lint types
	@$(BIN)/python -m pytest -n 4 --dist worksteal

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(STAMP)
	@$(BIN)/mypy

chaos: $(STAMP)
	@$(BIN)/python -m tests.support.chaos --seconds 60
	@$(BIN)/python -m tests.support.chaos --seconds 20 --supervisor-killed
	@$(BIN)/python -m tests.support.chaos --seconds 30 --supervisors-killed

bench: $(STAMP)
	@$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "primectl needs Python 3.11 or later; set PYTHON=/path/to/python3")'
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(BIN)/python -m compileall -q primectl supervisor tui
	@touch $(STAMP)
