"""The wheel as users get it: what is in it, and that it works away from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that no leftover of an earlier build gets in and none is left behind."""
    source = tmp_path_factory.mktemp("source") / "copo"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The bin folder of an empty venv with the wheel in it; a .pth file lends it the dependencies of this Python."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv, "--without-pip")
    bin = venv / ("Scripts" if os.name == "nt" else "bin")
    python = bin / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    # Plain path lines, unlike an `addsitedir`, do not let the .pth file of an editable install here take effect.
    lent = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in lent))
    return bin


def test_only_our_two_packages_are_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "causal_attrib",
        "causal_attrib_cli",
        f"{wheel.name.partition('-py3')[0]}.dist-info",
    }
    assert wheel.name.endswith("-py3-none-any.whl")


def test_everything_in_the_repository_is_in_it(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, package in (("causal_attrib", "causal_attrib"), ("cli", "causal_attrib_cli")):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and file.suffix != ".pyc":
                assert f"{package}/{file.relative_to(ROOT / folder).as_posix()}" in names
    assert {"causal_attrib/assets/model/model.safetensors", "causal_attrib_cli/main.py"} <= names
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


def test_it_is_small_enough_to_carry(wheel):
    assert wheel.stat().st_size < 20 * 2**20


def test_it_works_from_another_directory(installed, tmp_path):
    def copo(*arguments):
        return run(installed / "copo", *arguments, cwd=tmp_path)

    assert "Usage: copo" in copo("--help")
    where = run(installed / "python", "-c", "import causal_attrib_cli as c; print(c.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert "outcome" in copo("score", ROOT / "examples" / "park.png", "a dog")


def test_the_extras_are_those_the_errors_name():
    extras = {line.partition("extra == ")[2].strip("\"'") for line in requires("copo") if "extra ==" in line}
    assert extras == {"train", "quant", "serve", "ray", "remote", "docs", "dev"}


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_knows_both_commands(target):
    """That they run is seen by running them; here, that nothing but the install stands before the work."""
    if shutil.which("make") is None:
        pytest.skip("there is no make here")
    planned = run("make", "--dry-run", "--always-make", target, cwd=ROOT, env=os.environ | {"MAKEFLAGS": ""})
    assert "-m venv .venv" in planned and "--constraint constraints.txt" in planned


def test_a_users_code_passes_a_strict_type_checker(installed, tmp_path, request):
    """What `consumer.py` does with the public names is right to mypy, and what it should not do is wrong."""
    pytest.importorskip("mypy")
    # What the public names do not show is left out: torch alone takes a checker half a minute.
    hidden = ("torch", "transformers", "captum", "safetensors", "huggingface_hub", "pyarrow", "pandas", "rich")
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nstrict = True\n" + "".join(f"[mypy-{name},{name}.*]\nfollow_imports = skip\n" for name in hidden)
    )
    check = [
        *(sys.executable, "-m", "mypy", "--no-error-summary", "--python-executable", installed / "python"),
        *("--cache-dir", request.config.cache.mkdir("mypy")),
    ]
    shutil.copy(Path(__file__).parent / "consumer.py", tmp_path)
    wrong = [
        'causal_attrib.score("park.png", "a dog", mask="black")',
        'causal_attrib.score("park.png", level="letter")',
        'causal_attrib.saliency("park.png", method="magic")',
        'causal_attrib.saliency("park.png", baseline="black")',
        'causal_attrib.score("park.png", 3.5)',
        'causal_attrib.score("park.png", batch_size="many")',
        "causal_attrib.no_such_name",
    ]
    (tmp_path / "wrong.py").write_text("import causal_attrib\n\n" + "\n".join(wrong) + "\n")
    # Away from the repository, so that the wheel is what is found.
    command = list(map(str, [*check, "consumer.py", "wrong.py"]))
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    places = {tuple(line.split(":")[:2]) for line in done.stdout.splitlines() if ": error:" in line}
    assert places == {("wrong.py", str(3 + n)) for n in range(len(wrong))}, done.stdout + done.stderr
