"""Rows and pictures from stores: servers of S3, of Google Cloud Storage and of the hub on this machine.

They are packages of their own, and slow to begin: `make remote`, not `make test`.
"""

import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from causal_attrib import InputError
from causal_attrib.batch.caption_rows import read_captions
from causal_attrib.io import remote
from causal_attrib.io.pictures import read_picture

pytestmark = pytest.mark.skipif(not os.environ.get("COPO_REMOTE"), reason="make remote runs it")

COLOURS = {"a": (255, 0, 0), "b": (0, 128, 0)}


def png(colour):
    sink = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(sink, "png")
    return sink.getvalue()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    monkeypatch.setenv("COPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def files():
    """Of a store: two files of rows, and the pictures that they name."""
    found = {f"rows/pictures/{name}.png": png(colour) for name, colour in COLOURS.items()}
    for name in COLOURS:
        row = {"image": f"pictures/{name}.png", "caption": f"square {name}", "id": name}
        found[f"rows/{name}.jsonl"] = (json.dumps(row) + "\n").encode()
    return found


def all_is_read(scheme, cache):
    """Rows by a pattern and by name, their pictures beside them, and none of it twice."""
    given = read_captions(f"{scheme}://bucket/rows/*.jsonl")
    assert given.fetches and [row.caption for row in given.rows] == ["square a", "square b"]
    assert [row.image for row in given.rows] == [f"{scheme}://bucket/rows/pictures/{name}.png" for name in COLOURS]
    assert [row.where for row in given.rows] == [f"{scheme}://bucket/rows/{name}.jsonl line 1" for name in COLOURS]
    assert read_captions(f"{scheme}://bucket/rows/a.jsonl").rows == given.rows[:1]
    with remote.fetching():
        for row, colour in zip(given.rows, COLOURS.values(), strict=True):
            assert read_picture(row.picture).pixels.getpixel((0, 0)) == colour
    assert len(list(cache.iterdir())) == 4 and not [path for path in cache.iterdir() if path.name.startswith("tmp")]


def refused(source, told):
    """One sentence, and soon."""
    began = time.perf_counter()
    with pytest.raises(InputError, match=told) as refusal:
        if source.endswith("png"):
            with remote.fetching():
                read_picture(source)
        else:
            read_captions(source)
    assert "\n" not in str(refusal.value) and time.perf_counter() - began < 10


# -- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3(files):
    """The address of a server of S3 with a bucket."""
    pytest.importorskip("s3fs")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        settings = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in (settings | {"AWS_ENDPOINT_URL": address}).items():
            patch.setenv(name, value)
        import s3fs

        store = s3fs.S3FileSystem()
        store.mkdir("bucket")
        for name, data in files.items():
            store.pipe(f"bucket/{name}", data)
        s3fs.S3FileSystem.clear_instance_cache()
        yield address
    server.stop()


def test_rows_and_pictures_of_s3(s3, cache):
    all_is_read("s3", cache)


def test_what_s3_does_not_give(s3, monkeypatch):
    refused("s3://bucket/rows/none.jsonl", "There is no file s3://bucket/rows/none.jsonl; check the address")
    refused("s3://nobucket/rows/a.jsonl", "There is no file s3://nobucket/rows/a.jsonl")
    refused("s3://bucket/rows/c*.jsonl", r"No file is named like s3://bucket/rows/c\*.jsonl")
    refused("s3://nobucket/*.jsonl", "No file is named like")
    refused("s3://bucket/rows/pictures/none.png", "There is no file")
    monkeypatch.setattr(remote, "LARGEST_PICTURE", 50)
    refused("s3://bucket/rows/pictures/a.png", "has more than 0 MB; fetch it yourself")


def test_s3_without_leave(s3, monkeypatch):
    def from_now_on(asks):
        """Whether the server asks who it is that wants something."""
        import s3fs

        body = b"0" if asks else b"1000000"
        request = urllib.request.Request(f"{s3}/moto-api/reset-auth", body, {"Content-Type": "text/plain"})
        urllib.request.urlopen(request).read()
        s3fs.S3FileSystem.clear_instance_cache()

    from_now_on(True)
    try:
        refused("s3://bucket/rows/a.jsonl", "a.jsonl cannot be fetched .*check the address, and that this machine may")
        refused("s3://bucket/rows/*.jsonl", "cannot be listed")
    finally:
        from_now_on(False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    refused("s3://bucket/rows/a.jsonl", "cannot be fetched .*credentials")
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def silent():
    """A server that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_s3_that_never_answers(s3, silent, monkeypatch):
    import s3fs

    monkeypatch.setattr(remote, "TIMEOUT", 0.2)
    monkeypatch.setenv("AWS_ENDPOINT_URL", silent)
    s3fs.S3FileSystem.clear_instance_cache()
    refused("s3://bucket/rows/a.jsonl", "cannot be fetched .*timeout|timed out")
    s3fs.S3FileSystem.clear_instance_cache()


# -- Google Cloud Storage ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gcs(files):
    """A server that stands in for Google Cloud Storage, with a bucket."""
    # Otherwise it asks an interface that the stand-in lacks what kind of bucket it is, for a minute.
    os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
    gcsfs = pytest.importorskip("gcsfs")
    import gcp_storage_emulator.server
    from gcp_storage_emulator.server import create_server

    # One that answers one connection at a time waits for ever for the next request of the first.
    gcp_storage_emulator.server.server.HTTPServer = http.server.ThreadingHTTPServer
    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="bucket")
    server.start()
    host, port = server._api._httpd.server_address[:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://{host}:{port}")
        gcsfs.GCSFileSystem.clear_instance_cache()
        store = gcsfs.GCSFileSystem(token="anon")
        for name, data in files.items():
            store.pipe(f"bucket/{name}", data)
        gcsfs.GCSFileSystem.clear_instance_cache()
        yield
    server.stop()


def test_rows_and_pictures_of_google(gcs, cache):
    all_is_read("gs", cache)


def test_what_google_does_not_give(gcs, monkeypatch):
    refused("gs://bucket/rows/none.jsonl", "There is no file gs://bucket/rows/none.jsonl; check the address")
    refused("gs://nobucket/rows/a.jsonl", "There is no file gs://nobucket/rows/a.jsonl")
    refused("gs://bucket/rows/c*.jsonl", r"No file is named like gs://bucket/rows/c\*.jsonl")
    monkeypatch.setattr(remote, "LARGEST_PICTURE", 50)
    refused("gs://bucket/rows/pictures/a.png", "has more than 0 MB; fetch it yourself")


# -- the hub ----------------------------------------------------------------------------------------------------------

COMMIT = "a" * 40
# In a process of its own, since where the hub is is read once, when it is imported.
READS = """
import json, sys
from causal_attrib import InputError
from causal_attrib.batch.caption_rows import read_captions
for source in sys.argv[1:]:
    try:
        rows = read_captions(source).rows
        print(json.dumps([[row.caption, row.image.partition(" ")[0], row.where] for row in rows]))
    except InputError as error:
        print(json.dumps(str(error)))
"""


def data_set():
    """Files of a data set as the hub has it: two pictures in Parquet, with class labels."""
    kinds = {"_type": "Image"}, {"dtype": "string", "_type": "Value"}, {"names": ["cat", "dog"], "_type": "ClassLabel"}
    features = dict(zip(("image", "caption", "label"), kinds, strict=True))
    table = pa.table(
        {
            "image": [{"bytes": png(colour), "path": f"{name}.png"} for name, colour in COLOURS.items()],
            "caption": [f"square {name}" for name in COLOURS],
            "label": [1, 0],
        }
    )
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), sink)
    return {"README.md": b"---\nlicense: mit\n---\n", "data/test-00000-of-00001.parquet": sink.getvalue()}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as `datasets` asks for one data set, user/name."""

    files: dict[str, bytes] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = self.path.partition("?")[0]
        of_repository, of_files = "/api/datasets/user/name", "/datasets/user/name/resolve/"
        name = path.removeprefix(of_files).partition("/")[2]
        if path.startswith(f"{of_repository}/tree/"):
            folder = path.split("/tree/")[1].partition("/")[2]
            inside = [one for one in self.files if one.rpartition("/")[0] == folder]
            listed = [
                {"type": "file", "oid": one[:1] * 40, "size": len(self.files[one]), "path": one} for one in inside
            ]
            data = {"type": "directory", "oid": "d" * 40, "size": 0, "path": "data"}
            self.answer(json.dumps(listed + ([] if folder else [data])).encode())
        elif path in (of_repository, f"{of_repository}/revision/main", f"{of_repository}/revision/{COMMIT}"):
            told = {"id": "user/name", "sha": COMMIT, "private": False, "gated": False, "disabled": False, "tags": []}
            self.answer(json.dumps(told | {"siblings": [{"rfilename": one} for one in self.files]}).encode())
        elif path.startswith(of_files) and name in self.files:
            data, part = self.files[name], self.headers.get("Range")
            told = {"ETag": f'"{len(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if part is None:
                self.answer(data, **told)
            else:
                first, last = (int(place) for place in part.removeprefix("bytes=").split("-"))
                said = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
                self.answer(data[first : last + 1], 206, **told, **{"Content-Range": said})
        else:
            known = path.startswith(of_files)
            what = {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"}
            self.answer(b"{}", 404, **what, **({"X-Repo-Commit": COMMIT} if known else {}))

    do_HEAD = do_GET

    def answer(self, data, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_a_data_set_of_the_hub(tmp_path):
    pytest.importorskip("datasets")
    Hub.files = data_set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path)}
    sources = [f"user/name:{split}" for split in ("test", "test[:1]", "train")] + ["user/none:test"]
    done = subprocess.run(
        [sys.executable, "-c", READS, *sources], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    whole, one, no_split, none = map(json.loads, done.stdout.splitlines())
    assert whole == [[f"square {name}", f"{name}.png", f"user/name:test row {n}"] for n, name in enumerate("ab", 1)]
    assert one == [["square a", "a.png", "user/name:test[:1] row 1"]]
    assert "Bad split: train" in no_split and "There is no file user/none:test, and the hub gives no" in none
    server.shutdown()
    server.server_close()
