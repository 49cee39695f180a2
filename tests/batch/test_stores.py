"""Rows and pictures from stores: servers of S3, of Google Cloud Storage and of the hub on this machine.

They are packages of their own, and slow to begin: `make remote`, not `make test`.
"""

import http.server
import io
import json
import os
import socket
import threading
import time
import urllib.request

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
