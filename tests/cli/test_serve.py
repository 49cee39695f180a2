"""`copo serve` and `copo score --server`."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx2
import pytest

from causal_attrib import Attribution
from tests.conftest import FALSE
from tests.serve.conftest import serving

TOKEN = "0123456789abcdefgh"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--token", "short"], "fewer than 16 characters"),
        (["--token", "ä" * 20], "no header can carry"),
        (["--host", ""], "The host is empty"),
        (["--host", "x" * 300, "--token", TOKEN], "cannot listen on xxx"),
        (["--seconds", "inf"], "The limit seconds is inf"),
        (["--host", "no.such.host.invalid", "--token", TOKEN], "cannot listen on no.such.host.invalid"),
        (["--queue", "0"], "must be a number above 0"),
        (["--seconds", "nan"], "must be a number above 0"),
        (["--calibration", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_is_wrong_is_told_before_the_model_is_loaded(refused, arguments, told):
    assert told in refused("serve", *arguments, "--model", "there/is/none")


def test_a_port_that_is_taken_is_told(refused):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "cannot listen" in refused("serve", "--port", taken.getsockname()[1], "--model", "there/is/none")


@pytest.fixture(scope="module")
def address(bundled):
    with serving(bundled, TOKEN) as (address, _):
        yield address


@pytest.mark.parametrize("flags", [("--verdict", "--signals", "kl"), ("--tokens", 2, "--precision", 0.1)])
def test_a_server_gives_what_the_command_gives(copo, address, park, tmp_path, monkeypatch, flags):
    monkeypatch.setenv("COPO_TOKEN", TOKEN)
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    options = ["score", park, FALSE, *flags, "--lambda-s", 0.5]
    assert copo(*options, "--out", here).exit_code == 0
    assert copo(*options, "--out", there, "--server", address).exit_code == 0
    records = [json.loads(one.read_text()) for one in (here, there)]
    for record in records:
        del record["cost"]["seconds"]
    assert records[0] == records[1]
    result = copo("score", park, "a cat", "--verdict", "--server", address, "--fail-above", 0.5)
    assert result.exit_code == 3 and "cat" in result.stdout


def test_no_torch_is_imported_for_it(address, park):
    code = "import sys; sys.argv = ['copo', *sys.argv[1:]]; import atexit; " + (
        "atexit.register(lambda: print('torch' in sys.modules)); from causal_attrib_cli.main import main; main()"
    )
    arguments = ["score", str(park), "a dog", "--server", address, "--token", TOKEN, "--json"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    record, told = done.stdout.rsplit("\n", 2)[:2]
    assert told == "False" and Attribution.from_dict(json.loads(record)).caption == "a dog"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--model", "x"], "--model is for a model here"),
        (["--dtype", "float16"], "--dtype is for a model here"),
        (["--engine", "plain"], "--engine is the server's to choose"),
        (["--server", "localhost"], "give its address"),
        (["--server", "http://127.0.0.1:9"], "start it with copo serve"),
        (["--token", "wrong"], "A token is needed"),
        (["--samples", "17"], "refuses: samples is 17, and this server takes 16 at most"),
        (["--outcome", "match"], "add --question and --answer"),
    ],
)
def test_what_does_not_go_with_a_server(refused, address, park, more, told):
    assert told in refused("score", park, "a dog", "--server", address, "--token", TOKEN, *more)


def test_sigterm_lets_what_runs_be_finished(park):
    command = [sys.executable, "-m", "causal_attrib_cli.main", "serve", "--port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        address = next(line.split()[1] for line in server.stderr if line.startswith("Ready"))
        files = {"image": park.read_bytes()}
        with httpx2.Client(base_url=address, timeout=60) as client:
            stream = {"Accept": "text/event-stream"}
            data = {"caption": " ".join([FALSE] * 6)}
            with client.stream("POST", "/v1/score", files=files, data=data, headers=stream) as answer:
                lines = answer.iter_lines()
                assert next(lines) == "event: waiting"
                server.send_signal(signal.SIGTERM)
                assert "event: result" in list(lines)
        assert server.wait(timeout=60) in (0, -signal.SIGTERM)
    began = time.monotonic()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(address)
    assert time.monotonic() - began < 30
