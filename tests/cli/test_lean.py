"""What `copo score` imports for the model in the package, in a process of its own as on a command line."""

import json
import subprocess
import sys

import pytest

import causal_attrib
from tests.conftest import PARK, TRUE

SCRIPT = """
import json, sys
from causal_attrib_cli.main import main

sys.argv = ["copo", "score", sys.argv[1], sys.argv[2], "--json", "--quiet"]
try:
    main()
except SystemExit as end:
    assert not end.code
heavy = ("accelerate", "scipy.optimize", "sympy", "torch._dynamo", "torch.distributed.tensor")
there = [name for name in heavy if name in sys.modules]

# What was put off is the real thing as soon as it is wanted.
import torch
from transformers.distributed.sharding_utils import DTensor, Shard

assert not isinstance(torch.zeros(1), DTensor)
assert Shard(1).dim == 1
import torch.distributed.tensor as real

assert isinstance(Shard(1), real.Shard) and not isinstance(torch.zeros(1), DTensor)
print(json.dumps(there), file=sys.stderr)

# `copo score ... | head -c 0`: once more, for a reader that has gone away.
import os

reader, writer = os.pipe()
os.close(reader)
sys.stdout.flush()
os.dup2(writer, 1)
main()
"""


@pytest.fixture(scope="module")
def done():
    command = [sys.executable, "-c", SCRIPT, str(PARK), TRUE]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_a_reader_that_goes_away_is_no_error(done):
    """Nothing is said of it."""
    assert done.stderr == "[]\n"


def test_nothing_is_imported_that_is_not_used_and_scores_are_the_same(done, bundled):
    assert json.loads(done.stderr) == []
    scored = causal_attrib.score(PARK, TRUE, model=bundled)
    assert json.loads(done.stdout)["tokens"] == scored.to_dict()["tokens"]
