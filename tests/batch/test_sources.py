"""Rows and pictures from wherever they are: patterns, folders, data sets, COCO, and addresses of a real server."""

import functools
import http.server
import json
import threading

import fsspec
import pytest
from PIL import Image

from causal_attrib import InputError
from causal_attrib.batch.caption_rows import read_captions
from causal_attrib.io import remote
from causal_attrib.io.pictures import read_picture


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("a", "red"), ("b", "green")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    return tmp_path


def told(source, **settings):
    return [(row.image, row.caption) for row in read_captions(source, **settings).rows]


def lines(path, *rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_patterns_and_folders(folder):
    """All files of rows, in the order of their names; paths start from the folder of each."""
    one, two = {"image": "a.png", "caption": "a dog", "id": "1"}, {"image": "b.png", "caption": "a cat", "id": "2"}
    lines(folder / "rows" / "y.jsonl", one)
    (folder / "rows" / "z.csv").write_text("image,caption,id\nb.png,a cat,2\n")
    expected = [(str(folder / "rows" / row["image"]), row["caption"]) for row in (one, two)]
    assert told(folder / "rows" / "*.*") == told(folder / "rows") == expected
    # What the rows are is what tells an input from another, not what it is called by.
    assert read_captions(folder / "rows").sha256 == read_captions(f"{folder}/rows/[yz].*").sha256
    with pytest.raises(InputError, match=r"No file is named like .*none\*"):
        told(folder / "none*")
    # A folder of pictures: the model is to describe them.
    assert told(folder) == [(str(folder / f"{name}.png"), None) for name in "ab"]
    lines(folder / "rows" / "zz.jsonl", one)
    with pytest.raises(InputError, match="zz.jsonl line 1 has the id '1' of .*y.jsonl line 1; ids must differ"):
        told(folder / "rows")
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder, but none that"):
        told(folder / "empty")


def test_captions_of_coco(folder):
    images = [{"id": 9, "file_name": "a.png", "width": 64}, {"id": 4, "file_name": "b.png"}]
    annotations = [
        {"id": 70, "image_id": 4, "caption": "a cat"},
        {"id": 71, "image_id": 9, "caption": "a dog"},
    ]
    path = folder / "captions_val.json"
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}))
    assert told(path) == [(str(folder / "b.png"), "a cat"), (str(folder / "a.png"), "a dog")]
    assert [row.caption_id for row in read_captions(path).rows] == ["70", "71"]
    path.write_text(json.dumps({"images": images, "annotations": [{"image_id": 5, "caption": "x"}]}))
    with pytest.raises(InputError, match="annotation 1 is of image 5, which is not among its images"):
        told(path)
    for wrong, said in (([*images, images[0]], "image 3 has the id 9, again"), ([{"id": [9]}], "which is no number")):
        path.write_text(json.dumps({"images": wrong, "annotations": annotations}))
        with pytest.raises(InputError, match=said):
            told(path)
    path.write_text(json.dumps({"images": images, "annotations": [{"image_id": {}, "caption": "x"}]}))
    with pytest.raises(InputError, match="annotation 1 is of image {}"):
        told(path)


def test_a_data_set_of_the_hub_that_cannot_be_reached(monkeypatch, tmp_path):
    pytest.importorskip("datasets")
    for module in ("datasets.config", "huggingface_hub.constants"):
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="There is no file nobody/nothing:train, and the hub gives no data set"):
        told("nobody/nothing:train")
    with pytest.raises(InputError, match=r"There is no file .*none.jsonl"):
        told(tmp_path / "none.jsonl")


# -- addresses --------------------------------------------------------------------------------------------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    """A folder, with an address that fails a number of times, and a count of what was asked for."""

    failing: dict[str, int] = {}
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        if self.failing.get(self.path, 0):
            self.failing[self.path] -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def do_HEAD(self):
        super().do_HEAD()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(folder, tmp_path, monkeypatch):
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    monkeypatch.setenv("COPO_CACHE", str(tmp_path / "cache"))
    Handler.failing, Handler.asked = {}, []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_rows_and_their_pictures_from_a_server(folder, server):
    lines(folder / "rows.jsonl", {"image": "a.png", "caption": "a dog"}, {"image": f"{server}/b.png"})
    given = read_captions(f"{server}/rows.jsonl")
    assert given.fetches and given.sha256 == read_captions(folder / "rows.jsonl").sha256
    assert [row.image for row in given.rows] == [f"{server}/a.png", f"{server}/b.png"]
    assert given.rows[1].where == f"{server}/rows.jsonl line 2"
    # Two answers that fail are tried again, and a picture is fetched once.
    Handler.failing["/a.png"] = 2
    for _ in range(2):
        with remote.fetching():
            picture = read_picture(given.rows[0].picture)
        assert picture.path == f"{server}/a.png" and picture.pixels.getpixel((0, 0)) == (255, 0, 0)
        assert picture.sha256 == read_picture(folder / "a.png").sha256
    assert Handler.asked.count("/a.png") == 3
    # A third time is one too many.
    Handler.failing["/b.png"] = 3
    with remote.fetching(), pytest.raises(InputError, match="b.png cannot be fetched .*503"):
        read_picture(f"{server}/b.png")
    assert Handler.asked.count("/b.png") == 3


def test_nothing_is_fetched_unasked(folder, server):
    rows = lines(folder / "rows.jsonl", {"image": f"{server}/a.png"})
    given = read_captions(rows)
    assert not given.fetches
    with pytest.raises(InputError, match="is an address"):
        read_picture(given.rows[0].picture)
    assert Handler.asked == []


def test_what_is_missing_or_too_large(folder, server, monkeypatch):
    monkeypatch.setattr(remote, "LARGEST_PICTURE", 50)
    with remote.fetching():
        with pytest.raises(InputError, match="There is no file .*none.png; check the address"):
            read_picture(f"{server}/none.png")
        with pytest.raises(InputError, match="a.png has more than 0 MB"):
            read_picture(f"{server}/a.png")
        with pytest.raises(InputError, match="gone://x cannot be read"):
            read_picture("gone://x")


def test_a_store_that_fsspec_knows(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("COPO_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    for number, name in enumerate("ab"):
        row = {"image": f"pictures/{name}.png", "caption": name, "id": str(number)}
        store.pipe(f"/bucket/{name}.jsonl", json.dumps(row).encode())
        store.pipe(f"/bucket/pictures/{name}.png", (folder / f"{name}.png").read_bytes())
    given = read_captions("memory://bucket/*.jsonl")
    assert [(row.image, row.caption) for row in given.rows] == [
        (f"memory:///bucket/pictures/{name}.png", name) for name in "ab"
    ]
    with remote.fetching():
        assert read_picture(given.rows[1].picture).pixels.getpixel((0, 0)) == (0, 128, 0)
    with pytest.raises(InputError, match="No file is named like memory://bucket/c"):
        read_captions("memory://bucket/c*.jsonl")
