"""What `copo score` imports for the model in the package, in a process of its own as on a command line."""

import json
import subprocess
import sys

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
"""


def test_nothing_is_imported_that_is_not_used_and_scores_are_the_same(bundled):
    command = [sys.executable, "-c", SCRIPT, str(PARK), TRUE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
    scored = causal_attrib.score(PARK, TRUE, model=bundled)
    assert json.loads(done.stdout)["tokens"] == scored.to_dict()["tokens"]
