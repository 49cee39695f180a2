"""The table of layouts in docs/training.md, a row each: read as it is meant, or refused with a sentence."""

import base64
import io
import json

import pytest
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.training.data.reading import check_columns, read_data, to_dataset

USER = [{"role": "user", "content": "How many?"}]
BLOCKS = [{"type": "text", "text": "How many?"}]


def said(content):
    return [{"role": "assistant", "content": content}]


def system(text):
    return [{"role": "system", "content": text}]


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(buffer, "PNG")
    return buffer.getvalue()


URI = "data:image/png;base64," + base64.b64encode(png("red")).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    for name, colour in (("1.png", "red"), ("2.png", "blue"), ("3.png", "green")):
        (folder / name).write_bytes(png(colour))
    return folder


@pytest.fixture
def read(folder):
    def read(*rows, **options):
        file = folder / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return read_data(file, **options)

    return read


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        ("verl", {"images": ["1.png"], "prompt": USER, "reward_model": {"style": "rule", "ground_truth": "3"}}),
        ("VQAv2", {"image": "1.png", "question": "How many?", "answers": [{"answer": x} for x in "2332"][1:]}),
        (
            "VQAv2",
            {"image": "1.png", "question": "How many?", "answers": ["2", "2"], "multiple_choice_answer": "3"},
        ),
        ("TextVQA", {"image": "1.png", "question": "How many?", "answers": ["2", "3", "3", "4"]}),
        ("image_path", {"image_path": "1.png", "question": "How many?", "answer": "3"}),
        ("ms-swift 2", {"images": ["1.png"], "query": "<image>How many?", "response": "3"}),
        ("Qwen's", {"image": "1.png", "prompt": "<|vision_start|><|image_pad|><|vision_end|>How many?", "answer": "3"}),
        ("Qwen's", {"image": "1.png", "prompt": "<|image_pad|>\nHow many?", "answer": "3"}),
        ("Llama's", {"image": "1.png", "prompt": "<|image|>How many?", "answer": "3"}),
        ("counted", {"image": "1.png", "prompt": "<image_1> How many?", "answer": "3"}),
        ("counted", {"image": "1.png", "prompt": "<image 1> How many?", "answer": "3"}),
        ("counted", {"image": "1.png", "prompt": "<|image_1|>\nHow many?", "answer": "3"}),
        (
            "Qwen blocks",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "image": "file://{folder}/1.png"}, *BLOCKS]},
                    *said("3"),
                ]
            },
        ),
        ("Qwen blocks", {"messages": [{"role": "user", "content": [{"image": "1.png"}, *BLOCKS]}, *said("3")]}),
        (
            "OpenAI blocks",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "1.png", "detail": "low"}}, *BLOCKS],
                    },
                    *said([{"type": "text", "text": "3"}]),
                ]
            },
        ),
        (
            "blocks with every key",
            {
                "images": ["1.png"],
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image", "text": None, "index": 0},
                            {"type": "text", "text": "How many?", "index": None},
                        ],
                    },
                    *said("3"),
                ],
            },
        ),
    ],
)
def test_an_answer(read, folder, layout, row):
    (ours,) = read(json.loads(json.dumps(row).replace("{folder}", str(folder))))
    assert (ours["image"], ours["prompt"], ours["answer"]) == (str(folder / "1.png"), USER, "3"), layout


def test_a_picture_within_openai_s_blocks(read):
    content = [{"type": "image_url", "image_url": {"url": URI}}, *BLOCKS]
    (ours,) = read({"messages": [{"role": "user", "content": content}]})
    assert ours["image"] == URI and ours["prompt"] == USER


@pytest.mark.parametrize(
    ("layout", "row"),
    [
        (
            "RLHF-V",
            {"image": "1.png", "text": json.dumps({"question": "How many?", "chosen": "two", "rejected": "four"})},
        ),
        (
            "RLAIF-V",
            {"image": "1.png", "question": "How many?", "chosen": "two", "rejected": "four", "image_path": "?"},
        ),
        (
            "LLaMA-Factory",
            {
                "images": ["1.png"],
                "conversations": [{"from": "human", "value": "<image>How many?"}],
                "chosen": {"from": "gpt", "value": "two"},
                "rejected": {"from": "gpt", "value": "four"},
            },
        ),
        (
            "TRL",
            {
                "images": ["1.png"],
                "prompt": [{"role": "user", "content": [{"type": "image", "text": None}, *BLOCKS]}],
                "chosen": said([{"type": "text", "text": "two"}]),
                "rejected": said([{"type": "text", "text": "four"}]),
            },
        ),
        (
            "TRL, the prompt in the responses",
            {"image": "1.png", "chosen": USER + said("two"), "rejected": USER + said("four")},
        ),
        (
            "the prompt again in the responses",
            {"image": "1.png", "prompt": "How many?", "chosen": USER + said("two"), "rejected": USER + said("four")},
        ),
        ("ms-swift", {"images": ["1.png"], "messages": USER + said("two"), "rejected_response": "four"}),
        ("ms-swift 2", {"images": ["1.png"], "query": "How many?", "response": "two", "rejected_response": "four"}),
    ],
)
def test_a_preference(read, folder, layout, row):
    (ours,) = read(row, kind="preferences")
    assert ours["image"] == str(folder / "1.png"), layout
    assert (ours["prompt"], ours["chosen"], ours["rejected"]) == (USER, said("two"), said("four")), layout


def test_a_system_message_enters_the_prompt(read):
    shared = {"conversations": [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "3"}]}
    (ours,) = read({"image": "1.png", "system": "Be brief.", **shared})
    assert ours["prompt"] == system("Be brief.") + USER and ours["answer"] == "3" and "system" not in ours
    (plain,) = read({"image": "1.png", "prompt": "How many?", "system": "Be brief."})
    assert plain["prompt"] == system("Be brief.") + USER
    # LLaMA-Factory prefers the one in the conversation.
    shared["conversations"].insert(0, {"from": "system", "value": "Be kind."})
    assert read({"image": "1.png", "system": "Be brief.", **shared})[0]["prompt"] == system("Be kind.") + USER


def test_what_was_said_before_stays_before(read):
    (ours,) = read({"image": "1.png", "query": "How many?", "response": "3", "history": [["<image>Hi!", "Hello."]]})
    assert ours["prompt"] == [{"role": "user", "content": "Hi!"}, *said("Hello."), *USER]


def test_a_column_of_json_that_is_no_question_is_refused(read):
    with pytest.raises(InputError, match="line 1: it has .*'text', which the model would be asked as it stands"):
        read({"image": "1.png", "text": '{"a": 1}'})
    assert read({"image": "1.png", "text": "{not JSON}"})[0]["prompt"][0]["content"] == "{not JSON}"


# -- places -----------------------------------------------------------------------------------------------------------


def text(words):
    return {"type": "text", "text": words}


IMAGE = {"type": "image"}


@pytest.mark.parametrize(
    ("prompt", "blocks", "order"),
    [
        ("First <image> then <image>?", [text("First "), IMAGE, text(" then "), IMAGE, text("?")], "12"),
        ("First <image_2> then <image_1>?", [text("First "), IMAGE, text(" then "), IMAGE, text("?")], "21"),
        ("<image>\n<image>\nHow many?", "How many?", "12"),
        ("<image_2><image_1>How many?", "How many?", "21"),
        ("How many?\n<image>\n<image>", [text("How many?\n"), IMAGE, IMAGE], "12"),
        ("A: <image>\nB: <image>\n", [text("A: "), IMAGE, text("\nB: "), IMAGE], "12"),
        ("How many?", "How many?", "12"),
    ],
)
def test_pictures_stay_where_they_stand(read, folder, prompt, blocks, order):
    for row in ({"prompt": prompt}, {"messages": [{"role": "user", "content": prompt}]}):
        (ours,) = read({"images": ["1.png", "2.png"], "image_index": 1, **row})
        assert ours["prompt"] == [{"role": "user", "content": blocks}]
        assert ours["images"] == [str(folder / f"{n}.png") for n in order]
        assert ours["images"][ours["image_index"]].endswith("2.png")


def test_pictures_in_blocks_stay_in_their_turns(read, folder):
    content = [[IMAGE | {"image": "2.png"}, text("What is it?")], [text("And "), IMAGE | {"image": "1.png"}, text("?")]]
    (ours,) = read(
        {
            "messages": [
                {"role": "user", "content": content[0]},
                *said("A sea."),
                {"role": "user", "content": content[1]},
            ]
        }
    )
    assert ours["images"] == [str(folder / "2.png"), str(folder / "1.png")]
    assert ours["prompt"] == [
        {"role": "user", "content": [IMAGE, text("What is it?")]},
        *said("A sea."),
        {"role": "user", "content": [text("And "), IMAGE, text("?")]},
    ]
    assert read({"image": ["1.png", "2.png"], "prompt": "x"})[0]["images"] == [str(folder / f"{n}.png") for n in "12"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"image": "1.png", "prompt": "<image> or <image>?"}, "has 2 places for pictures and it has 1 picture"),
        ({"images": ["1.png", "2.png"], "prompt": "<image>?"}, "has 1 place for pictures and it has 2 pictures"),
        ({"prompt": "<image>?"}, "has 1 place for pictures and it has no picture"),
        ({"images": ["1.png", "2.png"], "prompt": "<image_1> <image_1>?"}, "counts its pictures otherwise than from 1"),
        ({"images": ["1.png", "2.png"], "prompt": "<image_2> <image_3>?"}, "counts its pictures otherwise than from 1"),
        ({"images": ["1.png", "2.png"], "prompt": "<image_1> <image>?"}, "number all of them, or none"),
        ({"image": "1.png", "images": ["2.png"], "prompt": "?"}, "pictures under 'image' and under 'images'"),
        (
            {"image": "1.png", "prompt": [{"role": "user", "content": [IMAGE | {"image": "2.png"}, text("?")]}]},
            "it is in doubt which stands where",
        ),
        (
            {"image": "1.png", "prompt": [{"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}]},
            "a block of the type 'video'; training takes those of text and images",
        ),
        (
            {"prompt": [{"role": "user", "content": [IMAGE | {"image": "1.png", "max_pixels": 9}, text("?")]}]},
            "a picture has 'max_pixels', which training does not do",
        ),
        (
            {"image": "1.png", "prompt": [*USER, {"role": "assistant", "content": [IMAGE]}, *USER]},
            "of the assistant holds a picture",
        ),
        ({"image": "1.png", "prompt": "?", "videos": ["a.mp4"]}, "it has 'videos', which the model would not be shown"),
        ({"image": "1.png", "prompt": "?", "tools": "[..]"}, "it has 'tools'"),
        ({"image": "1.png", "prompt": "?", "system": ["a"]}, "under 'system'; give the text"),
        ({"image": "1.png", "prompt": "?", "answers": []}, "an empty list|. under 'answers'; give a list"),
        ({"image": "1.png", "prompt": "?", "reward_model": {"ground_truth": ["a"]}}, "as its ground_truth; give one"),
        ({"images": ["1.png", "2.png"], "prompt": "?", "image_index": 2}, "has 2 under 'image_index', and 2 pictures"),
        ({"image": "1.png", "prompt": "?", "image_index": -1}, "has -1 under 'image_index', and 1 pictures"),
        (
            {"image": "1.png", "prompt": "x", "chosen": USER + said("a"), "rejected": USER + said("b")},
            "its responses follow other messages than its prompt",
        ),
        ({"image": "1.png", "prompt": "x", "chosen": USER, "rejected": "b"}, "'chosen' does not end with what the ass"),
    ],
)
def test_what_is_in_doubt_is_refused(read, row, message):
    with pytest.raises(InputError, match=f"line 2.*{message}"):
        read({"image": "1.png", "prompt": "x"}, row)


def test_rows_in_blocks_and_without_share_a_column(read):
    rows = read(
        {"images": ["1.png", "2.png"], "prompt": "First <image> then <image>?"},
        {"image": "3.png", "prompt": "How many?", "system": "Be brief."},
        {"prompt": "What is 1 + 1?"},
        text_only=True,
    )
    check_columns(rows)
    table = to_dataset(rows)
    kinds = [[[block["type"] for block in turn["content"]] for turn in row["prompt"]] for row in table]
    assert kinds == [[["text", "image", "text", "image", "text"]], [["text"], ["image", "text"]], [["text"]]]
    assert [len(row["images"] or []) for row in table] == [2, 1, 0]


@pytest.mark.parametrize("key", ["img", "image_file", "picture", "Photo", "imgs", "my_image"])
def test_text_alone_is_not_what_has_its_picture_under_another_key(read, key):
    assert read({"prompt": "What is 1 + 1?", "imagine": 1}, text_only=True)[0]["prompt"]
    with pytest.raises(InputError, match="has no key 'image'"):
        read({"prompt": "How many?", key: "1.png"}, text_only=True)
    with pytest.raises(InputError, match="has no key 'image'"):
        read({"prompt": "What is 1 + 1?"})
