import base64
import io
import json

import pandas as pd
import pytest
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.evaluation.pope.questions import read_questions
from causal_attrib.scenes import write_dataset
from causal_attrib.training.data.pairs import plain_preferences
from causal_attrib.training.data.reading import read_data, to_dataset, write_data
from causal_attrib.training.scoring import rewards

USER = [{"role": "user", "content": "How many?"}]


def said(text):
    return [{"role": "assistant", "content": text}]


@pytest.fixture
def folder(tmp_path):
    for name, colour in (("1.png", "red"), ("2.png", "blue")):
        Image.new("RGB", (40, 40), colour).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def read(folder):
    def read(*rows, **options):
        file = folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_data(file, **options)

    return read


@pytest.mark.parametrize(
    "row",
    [
        {"image": "1.png", "prompt": "How many?", "answer": 3},
        {"images": ["1.png"], "prompt": USER, "answer": "3"},
        {"image": "1.png", "problem": "<image>How many?", "solution": "<answer> 3 </answer>"},
        {"images": ["1.png"], "problem": "<image>\nHow many?", "answer": "3"},
        {
            "image": "1.png",
            "conversations": [{"from": "human", "value": "<image>\nHow many?"}, {"from": "gpt", "value": "3"}],
        },
        {
            "images": ["1.png"],
            "messages": [{"role": "user", "content": "<image>How many?"}, {"role": "assistant", "content": "3"}],
        },
        {
            "image": "1.png",
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]},
                {"role": "assistant", "content": [{"type": "text", "text": "3"}]},
            ],
        },
        {"image": "1.png", "question": "How many?", "answer": "3"},
        {"image": "1.png", "text": "How many?", "label": "3"},
    ],
)
def test_common_layouts_become_ours(read, folder, row):
    (ours,) = read(row)
    assert ours["image"] == str(folder / "1.png") and ours["prompt"] == USER and ours["answer"] == "3"


@pytest.mark.parametrize("label", [1, True, "1", "true", "Yes", 1.0])
def test_labels_are_those_of_eval_pope(read, folder, tmp_path, label):
    row = {"image": "1.png", "text": "Is there a dog? yes or no", "label": label}
    (ours,) = read(row)
    assert rewards.match([said("Yes.")], answer=[ours["answer"]]) == [1.0]
    (tmp_path / "pope.jsonl").write_text(json.dumps(row))
    assert read_questions(tmp_path / "pope.jsonl")[0].label is True


def test_a_count_of_one_is_no_yes(read):
    (ours,) = read({"image": "1.png", "text": "How many dogs are there?", "label": 1})
    assert ours["answer"] == "1"


@pytest.mark.parametrize(
    "row",
    [
        {"image": "1.png", "prompt": "How many?", "chosen": "two", "rejected": said("four")},
        {
            "images": ["1.png"],
            "messages": [*USER, *said("two")],
            "rejected_response": "four",
        },
    ],
)
def test_preferences(read, row):
    (ours,) = read(row, kind="preferences")
    assert (ours["prompt"], ours["chosen"], ours["rejected"]) == (USER, said("two"), said("four"))


def test_the_release_of_symmpo_and_its_pairs(read, folder):
    row = {
        "question": "How many?",
        "image_path_1": "1.png",
        "image_path_2": "2.png",
        "resp_1_w": "two",
        "resp_1_l": "four",
        "resp_2_w": "three",
        "resp_2_l": "none",
    }
    rows = read(row, kind="contrasts")
    pairs = [
        (pair["image"][-5:], pair["chosen"][0]["content"], pair["rejected"][0]["content"])
        for pair in plain_preferences(rows)
    ]
    assert pairs == [("1.png", "two", "four"), ("1.png", "two", "three"), ("2.png", "three", "two")]
    written = write_data(folder / "pairs.jsonl", plain_preferences(rows))
    assert read_data(written, "preferences") == plain_preferences(rows)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_scenes_can_be_trained_on_as_they_are_written(tmp_path):
    folder = write_dataset(tmp_path / "scenes", 2, seed=0)
    questions = read_data(folder / "questions.jsonl")
    assert questions[0]["answer"] and questions[0]["image"].endswith("images/000000.png")
    captions = read_data(folder / "captions.jsonl", "preferences")
    assert captions[0]["prompt"] == [{"role": "user", "content": "Describe this image."}]
    assert captions[0]["chosen"] != captions[0]["rejected"]
    # What a caption names is what a description of its picture is rewarded for.
    scenes = json.loads((folder / "objects.json").read_text())
    for row in read_data(folder / "captions.jsonl"):
        there = {sticker["class"] for sticker in scenes[row["image"].rpartition("/")[2]]["objects"]}
        assert set(row["objects"]) == there


def test_parquet_with_the_pictures_in_it(folder):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    rows = [
        {"image": {"bytes": buffer.getvalue(), "path": None}, "prompt": "How many?", "answer": "3"},
        {"image": {"bytes": None, "path": "2.png"}, "prompt": "How many?", "answer": None},
    ]
    pd.DataFrame(rows).to_parquet(folder / "rows.parquet")
    first, second = read_data(folder / "rows.parquet")
    # The bytes of the file, which no step on the way to the processor encodes anew.
    assert first["image"] == {"bytes": buffer.getvalue(), "path": None} and second["image"] == str(folder / "2.png")
    table = to_dataset([first, second])
    assert [row["image"].size for row in table] == [(40, 32), (40, 40)]
    assert table.data["image"][0].as_py()["bytes"] == buffer.getvalue()
    assert "answer" not in second
    with pytest.raises(InputError, match="holds a picture itself"):
        write_data(folder / "out.jsonl", [first])


def test_a_picture_in_a_data_uri(read, folder):
    uri = "data:image/png;base64," + base64.b64encode((folder / "1.png").read_bytes()).decode()
    (row,) = read({"image": uri, "prompt": "x"})
    assert to_dataset([row])[0]["image"].getpixel((0, 0)) == (255, 0, 0)
    # It is text, so that rows with it can be written.
    assert read_data(write_data(folder / "out.jsonl", [row])) == [row]


def test_a_list_of_objects_is_read_like_lines(folder):
    (folder / "rows.json").write_text(json.dumps([{"image": "1.png", "prompt": "x"}]))
    assert len(read_data(folder / "rows.json")) == 1


def test_rows_with_one_and_with_several_pictures_share_a_column(read):
    one, two = {"image": "1.png", "prompt": "How many?"}, {"images": ["1.png", "2.png"], "prompt": "How many?"}
    table = to_dataset(read(one, two))
    assert "image" not in table.column_names
    assert [[picture.getpixel((0, 0)) for picture in row["images"]] for row in table] == [
        [(255, 0, 0)],
        [(255, 0, 0), (0, 0, 255)],
    ]


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_picture_that_is_cut_off_is_named(read, folder, kind):
    noise = Image.effect_noise((80, 80), 50).convert("RGB")
    file = folder / f"cut.{kind}"
    noise.save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"line 2, key 'image': .*cut\.{kind} is damaged or cut short"):
        read({"image": "1.png", "prompt": "How many?"}, {"image": file.name, "prompt": "How many?"})


def test_other_columns_are_kept_and_pictures_opened_as_rgb(read):
    pytest.importorskip("datasets", reason="datasets is not installed (extra `train`)")
    rows = read({"image": "1.png", "prompt": "x", "level": 2}, {"image": "2.png", "prompt": "y", "objects": ["dog"]})
    table = to_dataset(rows)
    assert table[0]["image"].getpixel((0, 0)) == (255, 0, 0) and table[0]["level"] == 2
    assert table[1]["objects"] == ["dog"] and table[0]["objects"] is None
    with pytest.raises(InputError, match="values of different kinds"):
        to_dataset([{"image": "1.png", "level": 2}, {"image": "2.png", "level": "two"}])


@pytest.mark.parametrize(
    "row, message",
    [
        ({"prompt": "x"}, "line 2 has no key 'image' .it has 'prompt'.; add the path"),
        ({"image": "1.png"}, "line 2 has no key 'prompt'"),
        ({"image": "3.png", "prompt": "x"}, "line 2, key 'image': There is no file .*3.png; check"),
        ({"image": 7, "prompt": "x"}, "line 2 has 7 under 'image'"),
        ({"image": None, "prompt": "x"}, "line 2 has null under 'image'; give the path of its picture"),
        ({"images": [], "prompt": "x"}, "line 2 has an empty list under 'images'; give the path of its picture"),
        ({"images": [None, "1.png"], "prompt": "x"}, "line 2 has null under 'images'"),
        (
            {"image": {"bytes": None, "path": None}, "prompt": "x"},
            "line 2 has .*None.* under 'image'; give the path of a picture",
        ),
        ({"image": "x" * 5000, "prompt": "x"}, "line 2, key 'image': .*x… cannot be read .File name too long"),
        ({"image": "data:image/png;base64,AAAA", "prompt": "x"}, "line 2, key 'image': The image given as a data URI"),
        ({"image": "http://x.org/1.png", "prompt": "x"}, "line 2, key 'image': http.* is an address"),
        ({"images": "1.png", "prompt": "x"}, "line 2 has '1.png' under 'images'; give a list"),
        ({"image": "1.png", "prompt": " "}, "line 2 has an empty text under 'prompt'"),
        ({"image": "1.png", "prompt": []}, "line 2 has a prompt that does not end with what the user says"),
        ({"image": "1.png", "prompt": [*USER, *said("x")]}, "line 2 has a prompt that does not end with"),
        ({"image": "1.png", "prompt": [{"role": "user"}]}, "line 2 has no key 'content'"),
        ({"image": "1.png", "prompt": [{"role": "me", "content": "x"}]}, "give messages with a role"),
        ({"image": "1.png", "prompt": "x", "answer": ""}, "line 2 has '' under 'answer'"),
        ({"image": "1.png", "prompt": "x", "answer": ["a"]}, "line 2 has .'a'. under 'answer'"),
        ({"image": "1.png", "prompt": "x", "question": "y"}, "line 2 has a question and no key 'answer'"),
        ({"image": "1.png", "prompt": "x", "objects": "dog"}, "line 2 has 'dog' under 'objects'"),
        ({"image": "1.png", "prompt": "x", "objects": ["yeti"]}, "line 2, key 'objects': 'yeti' is no object"),
        ({"image": "1.png", "conversations": "x"}, "line 2 is not in its layout .it has 'image', 'conversations'."),
        ({"image": "1.png", "messages": []}, "line 2 is not in its layout"),
        ({"image": "1.png", "prompt": 5}, "line 2 has 5 under 'prompt'; give text, or a list of messages"),
        ({"image": "1.png", "prompt": [], "answer": "x"}, "line 2 has .. under 'prompt'; give text, or a list"),
        ({"image": "1.png", "caption": 3}, "line 2 has 3 under 'caption'; give the text of one response"),
        ({"images": ["1.png", "2.png"], "prompt": "x", "image_index": True}, "line 2 has True under 'image_index'"),
        ({"image": "1.png", "conversations": [{"value": "x"}]}, "line 2 has no key 'from'"),
    ],
)
def test_a_bad_row_is_named_by_line_and_key(read, row, message):
    with pytest.raises(InputError, match=message):
        read({"image": "1.png", "prompt": "x"}, row)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty"),
        ('{"image": "1.png", "prompt": "x"}\n\n{oops\n', "line 3 is not JSON"),
        ("[1]", "line 1 holds 1 where a row should be an object"),
        ("[{]", "line 1 is not JSON"),
    ],
)
def test_a_bad_file_is_named_by_line(folder, text, message):
    (folder / "rows.jsonl").write_text(text)
    with pytest.raises(InputError, match=message):
        read_data(folder / "rows.jsonl")


def test_a_file_that_is_not_there_or_no_parquet(folder):
    with pytest.raises(InputError, match="There is no file"):
        read_data(folder / "none.jsonl")
    (folder / "x.parquet").write_text("no")
    with pytest.raises(InputError, match="is no Parquet file"):
        read_data(folder / "x.parquet")
    (folder / "x.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_data(folder / "x.jsonl")


@pytest.mark.parametrize(
    ("kind", "changed", "named"),
    [
        ("preferences", {"rejected": "a"}, "'chosen' and 'rejected'"),
        ("contrasts", {"rejected": "a"}, "'chosen' and 'rejected'"),
        ("contrasts", {"image_contrast": "1.png"}, "'image' and 'image_contrast'"),
        ("contrasts", {"chosen_contrast": "a"}, "'chosen' and 'chosen_contrast'"),
    ],
)
def test_a_preference_between_two_that_are_the_same_is_refused(read, kind, changed, named):
    row = {"image": "1.png", "prompt": "x", "chosen": "a", "rejected": "b"}
    row |= {"image_contrast": "2.png", "chosen_contrast": "c"}
    with pytest.raises(InputError, match=f"line 2 has the same under {named}, from which nothing can be learned"):
        read(row, row | changed, kind=kind)


@pytest.mark.parametrize("missing", ["chosen", "rejected", "image_contrast", "chosen_contrast"])
def test_what_symmpo_needs(read, missing):
    row = {
        "image": "1.png",
        "prompt": "x",
        "chosen": "a",
        "rejected": "b",
        "image_contrast": "2.png",
        "chosen_contrast": "c",
    }
    del row[missing]
    with pytest.raises(InputError, match=f"line 1 has no key '{missing}'"):
        read(row, kind="contrasts")


@pytest.mark.parametrize(
    "row, message",
    [
        ({"image": None, "prompt": "x"}, "line 2 has null under 'image'; give the path"),
        ({"images": [], "prompt": "x"}, "line 2 has an empty list under 'images'; give the path"),
        ({"image": "https://a.b/c.png", "prompt": "x"}, "line 2, key 'image': https://a.b/c.png is an address"),
        (
            {"image": "data:image/png;base64,AAAA", "prompt": "x"},
            "line 2, key 'image': The image given as a data URI is not an image that can be read",
        ),
        ({"image": "1.png", "prompt": "a \ud800"}, "line 2 has half a character"),
        ({"image": "n" * 5000, "prompt": "x"}, "line 2, key 'image': .*cannot be read .File name too long"),
    ],
)
def test_pictures_that_are_none(read, row, message):
    with pytest.raises(InputError, match=message) as error:
        read({"image": "1.png", "prompt": "x"}, row)
    assert len(str(error.value)) < 500


def test_training_reads_what_scoring_reads(folder):
    frame = pd.DataFrame({"image": ["1.png", "2.png"], "prompt": ["How many?"] * 2, "answer": ["3", None]})
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_json(folder / "rows.json.gz", orient="records", lines=True)
    first, second = read_data(folder / "rows.csv")
    assert [first, second] == read_data(folder / "rows.json.gz") and "answer" not in second
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    (folder / "uri.jsonl").write_text(json.dumps({"image": uri, "prompt": "x"}))
    (row,) = read_data(folder / "uri.jsonl")
    assert row["image"] == uri  # as it stands in the file, so that it can be written again
    assert to_dataset([row])[0]["image"].getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "question", ["Is there a dog?", "<image>\nDoes it bark?", "A dog? Answer yes or no.", "A dog (yes/no)?"]
)
@pytest.mark.parametrize("truth", [1, "1", True, "true", "Yes"])
def test_truths_of_yes_no_questions_are_words(read, question, truth):
    """As numbers no answer would ever match them, and the reward would be 0 throughout."""
    for row in ({"text": question, "label": truth}, {"prompt": question, "answer": truth}):
        assert read({"image": "1.png", **row})[0]["answer"].lower() == "yes"
    no = False if isinstance(truth, bool) else {1: 0, "1": "0", "true": "false", "Yes": "No"}[truth]
    assert read({"image": "1.png", "text": question, "label": no})[0]["answer"].lower() == "no"
    # A count is no truth.
    assert read({"image": "1.png", "text": "How many dogs?", "label": 1})[0]["answer"] == "1"


def test_a_picture_that_was_only_opened_stays_in_its_file(folder):
    """300 photographs took 24 s to become a data set, each decoded and encoded anew."""
    noise = Image.effect_noise((64, 48), 50).convert("RGB")
    noise.save(folder / "1.jpg")
    opened, decoded, changed = (Image.open(folder / "1.jpg") for _ in range(3))
    decoded.load()
    changed.draft("RGB", (32, 24))
    table = to_dataset([{"image": opened}, {"image": decoded}, {"image": changed}])
    stored = [(one["path"], one["bytes"] is not None) for one in table.data["image"].to_pylist()]
    assert stored == [(str(folder / "1.jpg"), False), (None, True), (None, True)]
    first, second, third = (row["image"] for row in table)
    assert first.tobytes() == second.tobytes() and third.size == (32, 32)


def test_pictures_are_shared_out_among_processes_and_told(read, folder):
    (folder / "bad.png").write_bytes(b"no picture")
    rows = [{"image": "1.png", "prompt": "x"}, {"image": "bad.png", "prompt": "x"}, {"image": "2.png", "prompt": "x"}]
    rows += [{"image": "1.png", "prompt": "y"}]
    told = []
    read(*rows, share=(0, 2), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]  # a picture that two rows ask about is opened once
    with pytest.raises(InputError, match="line 2, key 'image': .*bad.png is not an image"):
        read(*rows, share=(1, 2))
