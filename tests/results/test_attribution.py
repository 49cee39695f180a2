"""The result: what it refuses, how it slices, and that every format gives back what was put in."""

import dataclasses
import json
import os
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib import Attribution, InputError, Token
from causal_attrib.results.formats import FORMATS, caption_id, check_output
from causal_attrib.results.tokens import COLUMNS, SCORES
from tests.fuzz import fuzz


def attribution_of(texts, scores=None, **rest):
    """Tokens with these texts, end to end; a text that begins with a space begins a word."""
    tokens, at, word = [], 0, -1
    for index, text in enumerate(texts):
        word += index == 0 or text.startswith(" ")
        values = {} if scores is None else scores[index]
        tokens.append(Token(index, text, 100 + index, word, at, at + len(text), **values))
        at += len(text)
    return Attribution(caption="".join(texts), tokens=tokens, **rest)


DOG = attribution_of(
    ["A", " red", " fris", "bee", ",", " a", " Dog", "."],
    [dict.fromkeys(SCORES, value) for value in (-0.5, -1.0, -2.0, -0.25, 0.0, 0.125, 1.0, 0.5)],
    image={"path": "a#b.png", "sha256": "00", "width": 8, "height": 8},
    prompt='Say "what" you see, # or not',
    model={"id": "tiny", "revision": None, "dtype": "float32", "device": "cpu", "attn": "sdpa"},
    outcome={"name": "grounding", "meaning": "how much", "value": 0.75},
    settings={"mask": "zero", "samples": 0, "lambda_s": 0.35},
    cost={"forwards": 9, "positions": 99, "seconds": 0.5},
    tool={"name": "copo", "version": "0"},
)

# The csv module of Python 3.10 can neither write nor read a NUL.
character = st.characters(codec="utf-8", exclude_characters="\0" if sys.version_info < (3, 11) else "")
score = st.none() | st.floats(allow_nan=False, allow_infinity=False)
token_scores = st.fixed_dictionaries({name: score for name in SCORES})
anything = st.none() | st.text(character, max_size=20)


@st.composite
def attributions(draw):
    texts = draw(st.lists(st.text(character, max_size=6), max_size=5))
    return attribution_of(
        texts,
        [draw(token_scores) for _ in texts],
        image={"path": draw(anything), "sha256": "ab"},
        prompt=draw(anything),
        question=draw(anything),
        answer=draw(anything),
        settings={"mask": draw(anything), "samples": draw(st.integers(-(2**60), 2**60))},
        cost={"seconds": draw(st.floats(allow_nan=False, allow_infinity=False))},
        generated=draw(st.booleans()),
    )


# -- round trips --


@fuzz(every=2)
@given(attribution=attributions())
def test_every_format_gives_back_what_was_saved(attribution, tmp_path_factory):
    for format in FORMATS:
        path = tmp_path_factory.getbasetemp() / f"round-trip.{format}"
        attribution.save(path)
        again = Attribution.load(path)
        assert again == attribution
        assert again.to_bytes(format) == path.read_bytes() == attribution.to_bytes(format)


def test_the_json_is_that_of_the_schema():
    record = json.loads(DOG.to_bytes("json"))
    assert list(record) == [
        *("schema", "image", "prompt", "question", "answer", "caption", "generated"),
        *("model", "outcome", "settings", "cost", "tool", "tokens"),
    ]
    assert record["schema"] == 1
    assert list(record["tokens"][0]) == list(COLUMNS)
    assert len(COLUMNS) == 12


def test_csv_and_parquet_open_in_pandas(tmp_path):
    for suffix, read in (("csv", lambda path: pd.read_csv(path, comment="#")), ("parquet", pd.read_parquet)):
        path = tmp_path / f"dog.{suffix}"
        DOG.save(path)
        frame = read(path)
        assert list(frame.columns) == ["image", "caption_id", *COLUMNS]
        assert frame["text"].tolist() == [token.text for token in DOG]
        assert frame["necessity"].tolist() == [token.necessity for token in DOG]
        assert frame["image"].unique() == ["a#b.png"]
        assert frame["caption_id"].nunique() == 1


def test_caption_id_tells_captions_apart():
    other = dataclasses.replace(DOG, caption="another", tokens=DOG.tokens)
    assert caption_id(DOG) != caption_id(other)
    assert caption_id(DOG) == caption_id(dataclasses.replace(DOG, cost={"seconds": 9.0}))


def test_jsonl_files_can_be_put_together(tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_bytes(DOG.to_bytes("jsonl") + DOG[:2].to_bytes("jsonl"))
    assert Attribution.load_all(path) == [DOG, DOG[:2]]
    with pytest.raises(InputError, match="holds 2 attributions; read it with Attribution.load_all"):
        Attribution.load(path)


# -- what is refused --


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_is_no_number_is_refused(name, value):
    with pytest.raises(InputError, match=f"{name} of token 0"):
        attribution_of(["dog"], [{name: value}])


def test_it_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DOG.caption = "cat"
    mine = {"path": "a.png"}
    attribution = Attribution("dog", [], image=mine)
    mine["path"] = "b.png"
    assert attribution.image == {"path": "a.png"}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xfe\x00", b"{}", b"[1]", b"null", b"# copo: {}\n", b"PAR1PAR1"])
def test_a_file_that_is_not_ours_is_named(format, data, tmp_path):
    path = tmp_path / f"other.{format}"
    path.write_bytes(data)
    with pytest.raises(InputError, match="other"):
        Attribution.load(path)


def test_a_cut_file_and_a_later_schema_are_named(tmp_path):
    for format in FORMATS:
        path = tmp_path / f"cut.{format}"
        data = DOG.to_bytes(format)
        path.write_bytes(data[: len(data) // 3])
        with pytest.raises(InputError, match="cut"):
            Attribution.load(path)
    path = tmp_path / "later.json"
    path.write_text(json.dumps(DOG.to_dict() | {"schema": 2}))
    with pytest.raises(InputError, match="schema 2, and this version of copo reads schema 1"):
        Attribution.load(path)


@pytest.mark.parametrize("path", ["x.txt", "x", "x.pkl", ".json"])
def test_an_unknown_suffix_names_the_known_ones(path, tmp_path):
    with pytest.raises(InputError, match=r"one of \.json, \.jsonl, \.csv, \.parquet, \.html"):
        DOG.save(tmp_path / path)


@pytest.mark.parametrize("path", [5, None, b"x.json"])
def test_what_is_no_path_is_refused(path):
    for use in (DOG.save, Attribution.load, Attribution.load_all):
        with pytest.raises(InputError, match="A file cannot be"):
            use(path)


def test_an_unwritable_path_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").write_text("")
    for bad in ("folder.json", "missing/x.json", "file/x.json"):
        with pytest.raises(InputError, match="cannot be written|is a folder"):
            check_output(tmp_path / bad)
        with pytest.raises(InputError):
            DOG.save(tmp_path / bad)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.json"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_permissions_are_heeded(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_output(tmp_path / "x.json")


def test_saving_replaces_and_leaves_no_litter(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    DOG.save(path)
    assert Attribution.load(path) == DOG
    assert list(tmp_path.iterdir()) == [path]


# -- slicing --


def test_slices():
    assert DOG[2] is DOG.tokens[2]
    assert DOG[-1].text == "."
    assert [token.text for token in DOG[2:4]] == [" fris", "bee"]
    assert DOG[2:4].caption == DOG.caption
    assert len(DOG[2:4]) == 2
    with pytest.raises(IndexError):
        DOG[99]


def test_words_are_found_whole_whatever_their_case_and_punctuation():
    assert [token.text for token in DOG["frisbee"]] == [" fris", "bee", ","]
    assert [token.text for token in DOG["Dog"]] == [token.text for token in DOG["dog."]] == [" Dog", "."]
    assert [token.index for token in DOG["a"]] == [0, 5]
    assert [token.index for token in DOG["red frisbee"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("key", ["cat", "", " ", "dog red"])
def test_a_word_that_is_not_there_names_those_that_are(key):
    with pytest.raises(KeyError, match="its words are: a, red, frisbee, dog"):
        DOG[key]


def test_words_sum_what_is_information_and_average_what_is_causal():
    word = DOG.words()["frisbee"][0]
    assert (word.text, word.id, word.char_start, word.char_end) == (" frisbee,", None, 5, 14)
    assert word.logprob == word.entropy == -2.25
    assert word.necessity == word.sufficiency == word.causal_completeness == -0.75
    assert [token.word for token in DOG.words()] == [token.index for token in DOG.words()] == [0, 1, 2, 3, 4]
    assert DOG.words().words() == DOG.words()


def test_words_are_read_one_by_one_and_by_name():
    assert [word.text for word in DOG.words] == [word.text for word in DOG.words()] and len(DOG.words) == 5
    assert DOG.words[2].text == " frisbee," and DOG.words[2].logprob == -2.25
    assert [word.text for word in DOG.words["red frisbee"]] == [" red", " frisbee,"]
    assert DOG.to_frame("word")["text"].tolist() == DOG.words().to_frame()["text"].tolist()
    for wrong in ("letter", None, 2, ["word"]):
        with pytest.raises(InputError, match="There is no frame by .*; choose one of token, word"):
            DOG.to_frame(wrong)
    with pytest.raises(KeyError, match="its words are: a, red, frisbee, dog"):
        DOG.words["zebra"]
    with pytest.raises(IndexError):
        DOG.words[99]


def test_the_words_against_and_the_summary():
    with pytest.raises(InputError, match="verdict=True"):
        _ = DOG.against
    verdicts = ["no claim", "grounded", *["against the image"] * 3, "no claim", *["grounded"] * 2]
    tokens = [dataclasses.replace(token, verdict=one) for token, one in zip(DOG, verdicts, strict=True)]
    judged = dataclasses.replace(DOG, tokens=tokens, verdict={"note": "", "calibrated": False})
    assert [word.text for word in judged.against] == [" frisbee,"]
    assert judged.summary == "The picture bears out “red”, “Dog”. It speaks against “frisbee”."


def test_shap_plots_what_adds_up_to_the_outcome():
    shap = pytest.importorskip("shap", reason="pip install shap")
    explanation = DOG.to_shap()
    assert isinstance(explanation, shap.Explanation)
    assert explanation.data.tolist() == [token.text for token in DOG]
    assert explanation.values.tolist() == [token.necessity for token in DOG]
    assert explanation.base_values + explanation.values.sum() == pytest.approx(0.75)
    assert "fris" in shap.plots.text(explanation, display=False)
    there = "choose one of " + ", ".join(SCORES)
    for wrong in ("evidence", "text", "beauty", None, ["necessity"]):
        with pytest.raises(InputError, match=rf"No token has the score .*; {there}\.$"):
            DOG.to_shap(wrong)


def test_words_leave_out_what_was_not_scored():
    half = attribution_of(["fris", "bee"], [{"necessity": 0.5}, {}])
    assert half.words()[0].necessity == 0.5
    assert half.words()[0].logprob is None


def test_frame():
    frame = attribution_of(["a", " b"], [{"necessity": 0.5}, {}]).to_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert frame["necessity"].tolist()[0] == 0.5
    assert frame["necessity"].isna().tolist() == [False, True]
    assert list(attribution_of([]).to_frame().columns) == list(COLUMNS)


def test_a_dataset_of_hugging_face(monkeypatch):
    pytest.importorskip("datasets")
    attribution = attribution_of(["a", " b"], [{"necessity": 0.5}, {}])
    data = attribution.to_dataset()
    assert data.column_names == list(COLUMNS) and data[0]["text"] == "a"
    assert (data[0]["necessity"], data[1]["necessity"]) == (0.5, None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="A Dataset needs datasets; install it"):
        attribution.to_dataset()


def test_repr_is_short():
    assert repr(attribution_of(["dog"])) == "Attribution('dog', tokens=1)"
    assert len(repr(attribution_of(["dog " * 1000]))) < 100


# -- signals --


def with_signals():
    about = {
        "evidence": {"meaning": "what the picture adds", "pool": "sum", "truer": 1},
        "margin": {"meaning": "how sure", "pool": "first", "truer": 1},
        "rank": {"meaning": "how many were likelier", "pool": "mean", "truer": -1},
    }
    tokens = [
        dataclasses.replace(token, signals={"evidence": token.index / 4, "margin": 0.1 * token.index, "rank": 1.0})
        for token in DOG
    ]
    return dataclasses.replace(DOG, tokens=tokens, signals={"columns": about, "left_out": {"glsim": "no tokens"}})


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_signals(format, tmp_path):
    path = tmp_path / f"signals.{format}"
    with_signals().save(path)
    assert Attribution.load(path) == with_signals()
    assert path.read_bytes() == Attribution.load(path).to_bytes(format)


def test_signals_are_columns_with_their_names():
    frame = with_signals().to_frame()
    # `evidence` is what a verdict says of a word.
    assert list(frame.columns) == [*COLUMNS, "signal_evidence", "margin", "rank"]
    assert frame["signal_evidence"].tolist() == [index / 4 for index in range(len(DOG))]
    record = with_signals().to_dict()
    assert record["tokens"][2]["signals"] == {"evidence": 0.5, "margin": 0.2, "rank": 1.0}
    assert "signals" not in DOG.to_dict() and "signals" not in DOG.to_dict()["tokens"][0]
    # " fris", "bee" and the comma are tokens 2, 3 and 4 of one word here.
    word = with_signals().words()[2]
    assert word.signals == {"evidence": 0.5 + 0.75 + 1.0, "margin": 0.2, "rank": 1.0}


def test_a_signal_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="The kl of token 0 .* is inf"):
        Attribution("a", [Token(0, "a", 1, 0, 0, 1, signals={"kl": float("inf")})])
