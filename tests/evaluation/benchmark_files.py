"""Real benchmark files, which are not part of this project: a test that needs one skips where it is absent."""

import gzip
import json
import os
from pathlib import Path

import pytest

# CONTRIBUTING.md says what belongs there.
FOLDER = Path(os.environ.get("COPO_BENCHMARK_FILES", Path(__file__).parents[3] / "shared" / "data"))


def benchmark_file(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the benchmark file {name} is not there; COPO_BENCHMARK_FILES names their folder")
    return path


def load(name):
    data = benchmark_file(name).read_bytes()
    return json.loads(gzip.decompress(data) if name.endswith(".gz") else data)
