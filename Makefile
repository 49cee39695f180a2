# Two commands from a fresh clone, with nothing but python3 (with venv), make and git:
#   make demo   installs into .venv and scores the example picture
#   make test   installs the test tools into the same .venv, then lints and tests
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint format clean

demo: .venv/installed
	$(BIN)/copo score examples/park.png "a dog and a red frisbee on the grass at sunset"

test: lint
	$(BIN)/pytest -n 2

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The stamps make repeated runs quick: pip runs again only when the requirements change.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	touch .venv/installed $@
