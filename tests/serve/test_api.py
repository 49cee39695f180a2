"""The API as a client sees it: the numbers of the library, and one sentence for whatever is wrong."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import causal_attrib
from causal_attrib import Attribution
from causal_attrib.scores.settings import Settings
from causal_attrib.serve.asked import MAPPING, SCORING
from tests.conftest import FALSE, TRUE


def without_cost(record):
    record = json.loads(json.dumps(record))
    del record["cost"]
    record["image"].pop("path")
    return record


def test_scores_are_those_of_the_library(client, image, park, bundled):
    answer = client.post("/v1/score", files=image, data={"caption": FALSE, "level": "word", "lambda_s": "0.5"})
    assert answer.status_code == 200
    wanted = causal_attrib.score(park, FALSE, model=bundled, level="word", lambda_s=0.5)
    assert without_cost(answer.json()) == without_cost(wanted.to_dict())
    assert answer.json()["image"]["path"] is None


def test_signals_and_content_words_are_those_of_the_library(client, image, park, bundled):
    asked = {"caption": "a dog", "signals": "kl,rank", "outcome_words": "content"}
    record = client.post("/v1/score", files=image, data=asked).json()
    wanted = causal_attrib.score(park, "a dog", model=bundled, signals=["kl", "rank"], outcome_words="content")
    assert without_cost(record) == without_cost(wanted.to_dict())
    assert (
        "no signal 'magic'" in client.post("/v1/score", files=image, data=asked | {"signals": "magic"}).json()["error"]
    )


def test_json_takes_the_picture_as_a_data_uri(client, park):
    uri = f"data:image/png;base64,{base64.b64encode(park.read_bytes()).decode()}"
    values = {"image": uri, "caption": "a dog", "samples": 0, "verdict": False, "objects": ["dog"], "lambda_n": 1}
    answer = client.post("/v1/score", json=values)
    assert answer.status_code == 200 and answer.json()["settings"]["lambda_n"] == 1


def test_without_a_caption_the_model_writes_one(client, image):
    record = client.post("/v1/score", files=image, data={"caption": ""}).json()
    assert record["generated"] and record["caption"] == TRUE


def test_a_verdict_is_that_of_the_library(client, image, park, bundled):
    record = client.post("/v1/verdict", files=image, data={"caption": FALSE}).json()
    assert without_cost(record) == without_cost(causal_attrib.score(park, FALSE, model=bundled, verdict=True).to_dict())


def test_maps_are_those_of_the_library(client, image, park, bundled):
    data = {"caption": "a dog", "words": "dog", "method": "gradient_x_input"}
    record = client.post("/v1/saliency", files=image, data=data).json()
    maps = causal_attrib.saliency(park, "a dog", model=bundled, words="dog", method="gradient_x_input")
    np.testing.assert_allclose(record["values"], maps.values_THW, rtol=1e-5, atol=1e-7)
    assert record["labels"] == [" dog"] and record["caption"] == "a dog"


def events(answer):
    parts = [event.split("\n", 1) for event in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def test_progress_comes_before_the_result(client, image):
    answer = client.post("/v1/score", files=image, data={"caption": "a dog"}, headers={"Accept": "text/event-stream"})
    names = [name for name, _ in events(answer)]
    assert names[0] == "waiting" and names[-1] == "result" and set(names[1:-1]) == {"progress"}
    told = [data for name, data in events(answer) if name == "progress"]
    assert told[-1] == {"done": 6, "total": 6}
    assert events(answer)[-1][1]["result"]["caption"] == "a dog"


def test_what_is_found_wrong_by_the_model_is_an_event(client, image):
    data = {"caption": "a dog", "prompt": "<image> What is it?"}
    answer = client.post("/v1/score", files=image, data=data, headers={"Accept": "text/event-stream"})
    name, told = events(answer)[-1]
    assert name == "error" and told["status"] == 400 and told["error"].count(".") >= 1


def test_a_result_can_be_downloaded(client, image, tmp_path):
    answer = client.post("/v1/score", files=image, data={"caption": "a dog"})
    maps = client.post("/v1/saliency", files=image, data={"caption": "a dog", "method": "gradient_x_input"})
    base, of_maps = (f"/v1/results/{one.headers['X-Copo-Result']}" for one in (answer, maps))
    assert client.get(f"{base}/result.json").json() == answer.json()
    page = tmp_path / "report.html"
    page.write_bytes(client.get(f"{base}/report.html", params={"maps": maps.headers["X-Copo-Result"]}).content)
    assert Attribution.load(page).to_dict() == answer.json()
    assert "<canvas" in page.read_text() and "data:image/png;base64" in page.read_text()
    for base_of in (base, of_maps):
        assert Image.open(io.BytesIO(client.get(f"{base_of}/figure.png").content)).width > 100
    assert client.get(f"{base}/figure.pdf").content.startswith(b"%PDF")
    assert client.get(f"{of_maps}/report.html").status_code == 404
    assert client.get("/v1/results/none/result.json").status_code == 404


def test_the_document_names_each_field_and_nothing_else(client):
    document = client.get("/openapi.json").json()
    for kind, names in (("score", SCORING), ("verdict", SCORING), ("saliency", (*MAPPING, "words", "foil"))):
        content = document["paths"][f"/v1/{kind}"]["post"]["requestBody"]["content"]
        for media in ("multipart/form-data", "application/json"):
            told = content[media]["schema"]["properties"]
            assert set(told) == {"image", "caption", "prompt", "question", "answer", "objects", *names}
    told = document["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert told["lambda_s"]["default"] == Settings.lambda_s and told["lambda_s"]["type"] == "number"
    assert told["samples"]["type"] == "integer" and told["verdict"]["type"] == "boolean"


BOMB = io.BytesIO()
Image.new("1", (9_000, 9_000)).save(BOMB, "PNG")

WRONG = {
    "no picture": ({}, {"caption": "a dog"}, "There is no picture"),
    "a text for a picture": ({"image": ("a.png", b"hello")}, {}, "not an image"),
    "a cut picture": ({"image": ("a.png", b"\x89PNG\r\n\x1a\n\x00\x00")}, {}, "image"),
    "a picture that is too large": ({"image": ("a.png", BOMB.getvalue())}, {}, "too many pixels"),
    "a path": (None, {"image": "/etc/passwd", "caption": "a dog"}, "no path or address is opened"),
    "an address": (None, {"image": "http://127.0.0.1:1/a.png"}, "no path or address is opened"),
    "a broken data URI": (None, {"image": "data:image/png;base64,!!"}, "data URI"),
    "an outcome that would be imported": ("image", {"outcome": "os:system"}, "There is no outcome"),
    "a file of calibration": ("image", {"calibration": "/etc/passwd"}, "There is no field 'calibration'"),
    "a file of regions": ("image", {"regions": "/etc/passwd"}, "There is no field 'regions'"),
    "an unknown field": ("image", {"captoin": "a dog"}, "There is no field 'captoin'"),
    "a long caption": ("image", {"caption": "a dog " * 1_000}, "send a shorter one"),
    "a wrong mask": ("image", {"caption": "a dog", "mask": "nothing"}, "There is no mask"),
    "no number": ("image", {"caption": "a dog", "samples": "many"}, "whole number"),
    "a huge number": ("image", {"caption": "a dog", "samples": "9" * 5_000}, "whole number"),
    "too many samples": ("image", {"caption": "a dog", "samples": "5000"}, "16 at most"),
    "NaN": ("image", {"caption": "a dog", "lambda_s": "nan"}, "between 0 and 1"),
    "a blank caption": ("image", {"caption": "  "}, "The caption is empty"),
    "a zero character": ("image", {"caption": "a\x00dog"}, "no text"),
    "an unknown object": ("image", {"caption": "a dog", "objects": "dragon"}, "dragon"),
    "no truth": ("image", {"caption": "a dog", "coherence": "perhaps"}, "true or false"),
    "a list for a caption": (None, {"image": "data:,a", "caption": ["a dog"]}, "send a text"),
    "a truth for a number": (None, {"image": "data:,a", "caption": "a", "samples": True}, "whole number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_in_one_sentence(client, image, name):
    files, values, told = WRONG[name]
    kind = "saliency" if "regions" in values else "verdict" if "calibration" in values else "score"
    if files is None:
        answer = client.post(f"/v1/{kind}", json=values)
    else:
        # A form without files would not be sent as multipart.
        files = image if files == "image" else files or {"caption": (None, "a dog")}
        answer = client.post(f"/v1/{kind}", files=files, data={} if "caption" in files else values)
    sentence = answer.json()["error"]
    assert answer.status_code == 400 and told in sentence and "\n" not in sentence, sentence


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"caption": NaN}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"caption=a", "application/x-www-form-urlencoded", 415),
        (b"hello", "multipart/form-data", 400),
        (b"hello", "multipart/form-data; boundary=x", 400),
        (b"", "", 415),
        (b"x" * 20_000_001, "application/json", 413),
    ],
)
def test_bodies_that_cannot_be_read(client, body, kind, status):
    answer = client.post("/v1/score", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status and set(answer.json()) == {"error"}


def test_a_body_of_unknown_length_is_counted(client):
    pieces = (b"x" * 1_000_000 for _ in range(25))
    answer = client.post("/v1/score", content=pieces, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_the_server_still_answers(client, image):
    assert client.get("/healthz").json() == {"status": "ok", "waiting": 0}
    assert client.post("/v1/score", files=image, data={"caption": "a dog"}).status_code == 200
    assert client.get("/nowhere").json() == {"error": "There is nothing at /nowhere; /openapi.json says what there is."}
    assert client.get("/v1/score").status_code == 405
