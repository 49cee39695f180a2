"""Models on the hub: a small server answers as the hub does, headers and all, and `load` runs in another process."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from tests.tiny_models import llava_clip_llama

COMMIT = "0123456789" * 4

# Loads each of the models named in a line (ID or ID@REVISION) and tells what came of it, line by line. Behind "offline"
# the switch is as HF_HUB_OFFLINE sets it.
LOADING = """
import huggingface_hub, json, sys, time, transformers
import causal_attrib
transformers.logging.set_verbosity_error()
for line in sys.stdin:
    told = {}
    for asked in line.split():
        if asked == "offline":
            huggingface_hub.constants.HF_HUB_OFFLINE = True
            continue
        name, _, revision = asked.partition("@")
        asked = f"{asked} offline" if huggingface_hub.constants.HF_HUB_OFFLINE else asked
        start = time.monotonic()
        try:
            how = {"revision": revision or None, "device": "cpu"}
            vlm = causal_attrib.load(name, **how, anew=True)
            held = causal_attrib.load(name, **how)
            once = causal_attrib.load(name, **how) is held is not vlm
            told[asked] = vlm.record | {"class": type(vlm.model).__name__, "once": once}
            del vlm, held
        except causal_attrib.InputError as error:
            told[asked] = str(error)
        told[asked, "seconds"] = time.monotonic() - start
    print(json.dumps([[key, value] for key, value in told.items()]), flush=True)
"""


class Hub(BaseHTTPRequestHandler):
    """What the hub answers, as far as it is asked: repositories, revisions and files."""

    root = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("api/models/"):
            owner, name, *rest = path.removeprefix("api/models/").split("/")
            if name == "missing":
                return self.refuse(401, "RepoNotFound")
            if name == "busy":
                return self.refuse(500, "Oops")
            if rest[:1] == ["revision"] and rest[1] not in ("main", "v1", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            if rest[:1] == ["tree"]:
                return self.refuse(404, "EntryNotFound")
            return self.answer(json.dumps({"id": f"{owner}/{name}", "sha": COMMIT, "siblings": []}).encode())
        if "/resolve/" not in path:
            return self.refuse(404, "EntryNotFound")
        _, name, _, _, *file = path.split("/")
        if name == "gated":
            return self.refuse(403, "GatedRepo")
        local = self.root / name / "/".join(file)
        if not local.is_file():
            return self.refuse(404, "EntryNotFound")
        self.answer(local.read_bytes())

    do_HEAD = do_GET

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hash(body):x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    model, processor, _ = llava_clip_llama()
    model.save_pretrained(root / "good")
    processor.save_pretrained(root / "good")
    for name in ("pickled", "huge"):
        shutil.copytree(root / "good", root / name)
        (root / name / "model.safetensors").unlink()
    (root / "pickled" / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    header = json.dumps({"w": {"dtype": "BF16", "shape": [10**7, 10**6], "data_offsets": [0, 2 * 10**13]}}).encode()
    (root / "huge" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    for name, base in (("adapter", "me/missing"), ("empty", None)):
        (root / name).mkdir()
        if base:
            (root / name / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return root


@pytest.fixture(scope="module")
def told(repositories, tmp_path_factory):
    """What `load` says while the hub is there, and once it has gone; one process, since torch is slow to import."""
    home = tmp_path_factory.mktemp("home")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OurHub", (Hub,), {"root": repositories}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    env = os.environ | {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", LOADING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    ) as process:

        def loading(*models):
            process.stdin.write(f"{' '.join(models)}\n")
            process.stdin.flush()
            pairs = json.loads(process.stdout.readline())
            return {tuple(key) if isinstance(key, list) else key: value for key, value in pairs}

        names = ["good", "good@v1", "good@nope", "gated", "missing", "busy", "pickled", "huge", "adapter", "empty"]
        there = loading(*(f"me/{name}" for name in names))
        cached = sorted(path.name for path in (home / "hub" / "models--me--huge" / "snapshots" / COMMIT).iterdir())
        server.shutdown()
        server.server_close()
        later = ["me/good", "me/good@v1", "me/unknown", "no/such/folder", "offline", "me/good", "me/unknown"]
        gone = loading(*later)
        process.stdin.close()
    return {"there": there, "gone": gone, "cached": cached}


@pytest.mark.parametrize("when, asked", [("there", "me/good"), ("there", "me/good@v1"), ("gone", "me/good")])
def test_a_model_is_fetched_and_stays(told, when, asked):
    record = told[when][asked]
    assert record["class"] == "LlavaForConditionalGeneration" and record["once"]
    assert (record["id"], record["revision"]) == ("me/good", COMMIT)


def test_without_network_what_was_fetched_is_loaded(told):
    assert told["gone"]["me/good offline"] == told["gone"]["me/good@v1"] == told["there"]["me/good"]


@pytest.mark.parametrize(
    "when, asked, said",
    [
        ("there", "me/good@nope", "me/good has no revision nope on the hub; give a branch"),
        ("there", "me/gated", "me/gated is gated; accept its terms on http"),
        ("there", "me/gated", "and run `hf auth login`."),
        ("there", "me/missing", "no such model on the hub; check the spelling"),
        ("there", "me/busy", "The hub does not hand out me/busy (Server error"),
        ("there", "me/pickled", "add --allow-pickle"),
        ("there", "me/huge", "The weights of me/huge take 40000.0 GB and cpu has "),
        ("there", "me/adapter", "me/adapter is an adapter of me/missing, which cannot be loaded: There is no folder"),
        ("there", "me/empty", "me/empty holds no model (no config.json)"),
        ("gone", "me/unknown", "the hub cannot be reached to fetch it ("),
        ("gone", "no/such/folder", "There is no folder no/such/folder; give a folder, or a hub id such as"),
        ("gone", "me/unknown offline", "with HF_HUB_OFFLINE set only models that were fetched before"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(told, when, asked, said):
    message = told[when][asked]
    assert said in message and "\n" not in message and message.endswith(".")


def test_weights_that_do_not_fit_are_not_fetched(told):
    assert "config.json" in told["cached"] and "model.safetensors" not in told["cached"]


@pytest.mark.parametrize("when, asked", [("gone", "me/unknown"), ("gone", "me/unknown offline")])
def test_without_network_the_answer_comes_at_once(told, when, asked):
    """Left to itself the hub's client retries for more than 20 seconds."""
    assert told[when][asked, "seconds"] < 5
