"""`copo env`, also where the installation is what is wrong."""

import json
import os
import subprocess
import sys

import pytest
import torch

import causal_attrib
from causal_attrib.vlm.torchvision import remedy


def test_env(copo):
    facts = json.loads(copo("env", "--json").stdout)
    assert facts["copo"] == causal_attrib.__version__
    assert list(facts)[:4] == ["copo", "python", "platform", "torch"]
    assert {"transformers", "captum", "trl", "peft", "bitsandbytes", "torchvision"} <= facts.keys()
    assert facts["devices"][0].startswith("cpu") and "problems" not in facts
    lines = copo("env").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(facts)


@pytest.mark.skipif("+cpu" not in torch.__version__ or sys.platform != "linux", reason="torch itself is asked then")
def test_a_build_for_cpus_is_asked_without_importing_torch():
    """The library's own count, which follows the environment."""
    source = "import sys; from causal_attrib_cli import env; print(env._devices(), 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.stdout.strip() == "{'cuda': 'not in this torch', 'devices': ['cpu (1 threads)']} False", done.stderr


@pytest.fixture
def env_with(tmp_path):
    """`copo env` beside a package that breaks when it is imported, as one that does not fit the others does."""

    def run(package, source, *flags):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(source)
        (tmp_path / f"{package}-9.9.9.dist-info").mkdir()
        (tmp_path / f"{package}-9.9.9.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 9.9.9\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "causal_attrib_cli.main", "env", *flags],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_broken_torchvision_is_told_with_its_remedy(env_with):
    source = 'raise RuntimeError("operator torchvision::nms does not exist")'
    facts = json.loads(env_with("torchvision", source, "--json"))
    assert facts["torchvision"] == "9.9.9" and facts["devices"]
    (problem,) = facts["problems"]
    assert problem.startswith("torchvision does not work beside this torch") and remedy() in problem


def test_a_broken_torch_is_told_too(env_with):
    lines = env_with("torch", 'raise OSError("libtorch.so: cannot open shared object file")').splitlines()
    assert lines[3].split() == ["torch", "9.9.9"]
    assert lines[-1].split()[0] == "problems" and "libtorch.so" in lines[-1]
