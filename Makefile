# Two commands from a fresh clone, with nothing but python3 (with venv), make and git:
#   make demo   installs into .venv and scores the example picture
#   make test   installs the test tools into the same .venv, then lints and tests
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint types coverage models fuzz site shots bench ray remote sharded format clean

demo: .venv/installed
	$(BIN)/copo score examples/park.png "a dog and a red frisbee on the grass at sunset"

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory types

# The folder cli/ is installed as causal_attrib_cli, which mypy finds under that name here.
types: .venv/installed-dev
	mkdir -p build/types && ln -sfn ../../cli build/types/causal_attrib_cli
	MYPYPATH=build/types $(BIN)/mypy

coverage: .venv/installed-dev
	rm -f .coverage*
	$(BIN)/coverage run -m pytest -q
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

# All tests of all architectures, of which `make test` leaves out what another of the same family shows too, and the page
# on them that they write.
models: .venv/installed-dev
	COPO_ALL_MODELS=1 $(BIN)/pytest -q tests/engine tests/saliency
	$(BIN)/python -m pytest -q -p tests.conformance.page tests/conformance --models-page docs/models.md

# The tests with generated inputs, with 5,000 in place of 60 of each.
fuzz: .venv/installed-dev
	FUZZ_EXAMPLES=5000 $(BIN)/pytest -q -m fuzz

# Reports on every screen and on paper, to be looked at before a release: build/shots.
shots: .venv/installed-dev
	$(BIN)/python benchmarks/shots.py

# The site, in build/site: a warning (a link that leads nowhere, a page that is in no menu) is an error.
site: .venv/installed-docs
	$(BIN)/python site/gallery.py build/gallery
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Scoring on a Ray cluster of this machine, with actors that are killed. Ray is an extra, and slow to begin.
ray: .venv/installed-dev
	$(INSTALL) --editable '.[ray]'
	COPO_RAY=1 $(BIN)/pytest -q tests/batch/test_on_ray.py

# Rows and pictures from S3, Google Cloud Storage and the hub, of which servers run here. Extras, and slow to begin.
remote: .venv/installed-dev
	$(INSTALL) --editable '.[remote]' 'moto[server]' gcp-storage-emulator
	COPO_REMOTE=1 $(BIN)/pytest -q tests/batch/test_stores.py

# Training by FSDP 2 and by DeepSpeed, which shares models out on CPUs too. Not in the extras: it is built when installed.
sharded: .venv/installed-dev
	$(INSTALL) wheel setuptools hjson msgpack einops ninja py-cpuinfo nvidia-ml-py pydantic
	DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(INSTALL) --no-deps --no-build-isolation deepspeed
	COPO_SHARDED=1 $(BIN)/pytest -q tests/training/test_sharded.py

# All ratios in some five minutes; writes benchmarks/results/history.jsonl and the table in docs/engine.md.
bench: .venv/installed-dev
	$(BIN)/python benchmarks/bench.py

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The stamps make repeated runs quick: pip runs again only when the requirements change.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	touch .venv/installed $@

.venv/installed-docs: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable '.[docs]'
	touch .venv/installed $@
