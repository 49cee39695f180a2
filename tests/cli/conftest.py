import pytest
from typer.testing import CliRunner

from causal_attrib.scenes import PARK, render
from causal_attrib_cli.main import app


@pytest.fixture
def copo():
    """Run `copo` in this process: importing torch anew for every command would take most of the time."""

    def run(*arguments):
        # Workers of pytest-xdist claim a terminal 80 wide.
        return CliRunner(env={"COLUMNS": None}).invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def refused(copo):
    """Run `copo`, which must refuse: exit code 2, nothing on stdout, and one sentence, which is returned."""

    def run(*arguments):
        result = copo(*arguments)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1, result.stderr
        return result.stderr

    return run


@pytest.fixture(scope="session")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    render(PARK)[0].save(path)
    return path
