"""Packages that do not fit, as real distributions on the import path."""

import sys

import pytest

from causal_attrib.doctor import environment
from causal_attrib.vlm.torchvision import remedy, torchvision_state


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Install a distribution where it is found before all others."""

    def install(name, version, requires=(), code=None):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in requires)]
        (folder / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
        if code is not None:
            (tmp_path / f"{name}.py").write_text(code)
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    return install


def test_this_environment():
    check = environment()
    assert check.passed and "torch" in check.detail and "transformers" in check.detail


@pytest.mark.parametrize("need", ["torch>=99", "transformers<5", "no-such-package>=1"])
def test_versions_that_copo_does_not_ask_for(distribution, need):
    distribution("copo", "0.0", [need, "numpy>=1", "torchvision>=99; extra == 'train'"])
    check = environment()
    assert check.passed is False and check.measured == 1 and f"pip install '{need}'" in check.detail


@pytest.fixture
def look_again():
    """What is found out about torchvision is kept; before and after such a test it is not."""
    torchvision_state.cache_clear()
    yield
    sys.modules.pop("torchvision", None)
    torchvision_state.cache_clear()


def test_a_torchvision_for_another_torch_is_told_of(distribution, look_again):
    distribution("torchvision", "0.1", code="raise RuntimeError('operator torchvision::nms does not exist')")
    check = environment()
    assert check.passed and "is set aside" in check.detail and remedy() in check.detail


def test_a_torchvision_that_works(distribution, look_again):
    distribution("torchvision", "0.1", code="")
    check = environment()
    assert check.passed and "torchvision" not in check.detail
