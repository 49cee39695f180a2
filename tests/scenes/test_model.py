"""The bundled model: its folder, tokenizer and chat template, what it says, and the packing it was trained with."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from causal_attrib.choices import DEFAULT_PROMPT
from causal_attrib.outcomes import yesno
from causal_attrib.scenes import (
    BUNDLED_MODEL,
    CAPTION_PROMPT,
    CAPTION_QUESTION,
    CLASSES,
    PARK,
    STYLES,
    caption,
    falsify,
    questions,
    reasoned_prompt,
    render,
    sample_scene,
)
from causal_attrib.scenes.measure import conversation, measure_captions, object_f1, read_caption, reply
from causal_attrib.scenes.model import IMAGE_TOKENS, normalise
from causal_attrib.scenes.tasks import IGNORE, Tasks
from causal_attrib.scenes.tokenizer import build_tokenizer


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(BUNDLED_MODEL)


@pytest.fixture(scope="module")
def model():
    return AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL).eval()


@pytest.fixture(scope="module")
def drawn():
    """Twelve unseen scenes per style, with their pictures."""
    rng = np.random.default_rng(2_000_003)
    scenes = [sample_scene(rng, style=style) for style in STYLES for _ in range(12)]
    return scenes, [render(scene)[0] for scene in scenes]


# -- the folder ------------------------------------------------------------------------------------------------------


def test_the_folder_is_small_and_holds_no_pickle():
    files = [file for file in BUNDLED_MODEL.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 12e6
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".jinja"}
    weights = (BUNDLED_MODEL / "model.safetensors").read_bytes()
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F16"}


def test_generation_never_emits_image_padding_or_start(model, processor):
    tokenizer = processor.tokenizer
    suppressed = {tokenizer.convert_tokens_to_ids("<image>"), tokenizer.pad_token_id, tokenizer.bos_token_id}
    assert set(model.generation_config.suppress_tokens) == suppressed
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    inputs = processor(text=["<s>USER: <image>\n"], images=[render(PARK)[0]], return_tensors="pt")
    torch.manual_seed(0)
    out = model.generate(**inputs, do_sample=True, temperature=50.0, max_new_tokens=60, min_new_tokens=60)
    new = out[:, inputs["input_ids"].shape[1] :]
    assert new.shape[1] == 60 and not suppressed & set(new.flatten().tolist())


# -- tokenizer and chat template -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a dog and a red frisbee on the grass at noon",
        "naïve café, 漢字, עברית, ☃🐶👩‍👩‍👧",
        "  two  spaces,\ttabs\r\nand lines \n",
        "".join(map(chr, range(0, 0x250))),
        "\x00\x1b[31m \u202e \ufffd \U0010ffff",
    ],
)
def test_the_tokenizer_encodes_any_text_and_gives_it_back(processor, text):
    tokenizer = processor.tokenizer
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids


def test_common_words_are_one_token_and_long_ones_several(processor):
    def pieces(word):
        return len(processor.tokenizer(f" {word}", add_special_tokens=False).input_ids)

    assert pieces("dog") == pieces("grass") == pieces("yes") == 1
    assert pieces("frisbee") >= 2 and pieces("skateboard") >= 2
    firsts = [processor.tokenizer(f" {cls}", add_special_tokens=False).input_ids[0] for cls in CLASSES]
    assert len(set(firsts)) == len(CLASSES)


def test_the_recipe_still_builds_the_bundled_tokenizer(processor):
    assert build_tokenizer().backend_tokenizer.to_str() == processor.tokenizer.backend_tokenizer.to_str()


def test_the_chat_template_is_llavas(processor):
    turns = conversation(CAPTION_PROMPT, "a dog on the grass at noon", "Is there a cat in the image?")
    assert processor.apply_chat_template(turns, add_generation_prompt=True) == (
        "<s>USER: <image>\nDescribe this image. ASSISTANT: a dog on the grass at noon</s>"
        "USER: Is there a cat in the image? ASSISTANT:"
    )
    plain = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "yes"}]
    assert processor.apply_chat_template(plain) == "<s>USER: Hello. ASSISTANT: yes</s>"


def test_a_prompt_holds_one_token_per_grid_cell(processor):
    text = processor.apply_chat_template(conversation(CAPTION_PROMPT), add_generation_prompt=True)
    inputs = processor(text=[text], images=[render(PARK, 512)[0]], return_tensors="pt")
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    assert (inputs["input_ids"] == image).sum() == IMAGE_TOKENS == 64
    assert inputs["pixel_values"].shape == (1, 3, 96, 96)


def test_training_normalises_pictures_as_the_processor_does(processor):
    picture = render(PARK)[0]
    processed = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    assert torch.allclose(processed, normalise(np.asarray(picture)[None]), atol=1e-5)


# -- packing ---------------------------------------------------------------------------------------------------------


def test_packed_conversations_are_the_same_as_alone(model, processor):
    """A turn after a truncated caption, packed beside other turns: same tokens, same logits as on its own."""
    tasks = Tasks(processor.tokenizer)
    other = tasks.turn("Is there a cat in the image?", "no", 1.0)
    statement, opening = tasks.statement(CAPTION_PROMPT, "a dog and a red frisbee on the grass at noon", 1.0)
    cut = opening + 5
    follow_up = tasks.turn(CAPTION_QUESTION, "yes", 1.0, parent=1, cut=cut)
    ids, targets, _, positions, _, sees = tasks.pack([other, statement, follow_up])

    picture, _ = render(PARK)
    text = processor.apply_chat_template(
        conversation(CAPTION_PROMPT, "a dog and a red", CAPTION_QUESTION), add_generation_prompt=True
    )
    inputs = processor(text=[text + " yes</s>"], images=[picture], return_tensors="pt")
    alone = tasks.prefix + statement.ids[:cut] + follow_up.ids
    assert inputs["input_ids"][0].tolist() == alone
    with torch.no_grad():
        expected = model(**inputs).logits[0]
        embeddings = model.get_input_embeddings()(torch.tensor(ids))
        features = model.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output[0]
        embeddings[tasks.image_start : tasks.image_start + IMAGE_TOKENS] = features
        states = model.model.language_model(
            inputs_embeds=embeddings[None],
            attention_mask=torch.from_numpy(sees)[None, None],
            position_ids=torch.from_numpy(positions)[None],
        ).last_hidden_state
        packed = model.lm_head(states)[0]
    count = len(follow_up.ids)
    assert torch.allclose(packed[-count:], expected[-count:], atol=1e-3)
    # What is learnt: the two tokens of every short answer and the caption, each predicted from the token before it.
    learnt = [ids_ for ids_ in targets.tolist() if ids_ != IGNORE]
    eos = processor.tokenizer.eos_token_id
    assert learnt.count(eos) == 2 and len(learnt) == 2 + (len(statement.ids) - opening) + 2


def test_a_judged_caption_is_true_unless_something_false_can_be_read(processor):
    tasks, rng = Tasks(processor.tokenizer), np.random.default_rng(0)
    answers = []
    for _ in range(200):
        scene = sample_scene(rng)
        statement, *turns = tasks.judged_statement(scene, rng, 0)
        for turn in turns:
            hidden = np.array(statement.hidden[: turn.cut])
            visible = [i for i, gone in zip(statement.ids[: turn.cut], hidden, strict=True) if not gone]
            text = processor.tokenizer.decode(visible).split("ASSISTANT:")[1]
            said, place, time = read_caption(text)
            present = {sticker.cls for sticker in scene.objects}
            answer = processor.tokenizer.decode(turn.ids).split()[-1].removesuffix("</s>")
            answers.append(answer)
            lied = any(cls not in present for _, cls in said)
            lied |= place not in (None, scene.place) or time not in (None, scene.time)
            if lied:
                assert answer == "no", (caption(scene), text)
    assert 0.25 < answers.count("no") / len(answers) < 0.75


def test_it_was_trained_on_the_question_and_prompt_that_scores_use():
    assert CAPTION_QUESTION == yesno.QUESTION
    assert CAPTION_PROMPT == DEFAULT_PROMPT


# -- what it says ----------------------------------------------------------------------------------------------------


def test_it_describes_the_readmes_picture(model, processor, request):
    picture = Image.open(request.config.rootpath / "examples" / "park.png")
    (text,) = reply(model, processor, [picture], [[CAPTION_PROMPT]])
    said, place, time = read_caption(text)
    assert sorted(said, key=str) == [("red", "frisbee"), (None, "dog")] and (place, time) == ("grass", "day")


def test_it_describes_unseen_scenes(model, processor, drawn):
    scenes, images = drawn
    outcomes, counts = measure_captions(scenes, reply(model, processor, images, [[CAPTION_PROMPT]] * len(images)))
    assert np.mean(outcomes["objects exactly right"]) >= 0.8
    assert object_f1(counts) >= 0.9
    assert np.mean(outcomes["place"]) >= 0.9 and np.mean(outcomes["time"]) >= 0.9


def test_it_answers_thinks_and_judges(model, processor, drawn):
    scenes, images = drawn
    rng = np.random.default_rng(5)
    asked = [
        (image, question) for scene, image in zip(scenes, images, strict=True) for question in questions(scene, rng)
    ]
    answers = reply(model, processor, [image for image, _ in asked], [[q.text] for _, q in asked], 4, 128)
    assert np.mean([answer == q.answer for answer, (_, q) in zip(answers, asked, strict=True)]) >= 0.85

    some = asked[::10][:24]
    thoughts = reply(model, processor, [image for image, _ in some], [[reasoned_prompt(q)] for _, q in some], 64)
    for text in thoughts:
        assert text.startswith("<think> ") and " </think> <answer> " in text and text.endswith(" </answer>")
    right = [text.endswith(f"<answer> {q.answer} </answer>") for text, (_, q) in zip(thoughts, some, strict=True)]
    assert np.mean(right) >= 0.75

    turns = [[CAPTION_PROMPT, caption(scene), CAPTION_QUESTION] for scene in scenes]
    turns += [[CAPTION_PROMPT, falsify(scene, rng).text, CAPTION_QUESTION] for scene in scenes]
    judged = reply(model, processor, [*images, *images], turns, 4)
    right = [answer == expected for answer, expected in zip(judged, ["yes"] * 24 + ["no"] * 24, strict=True)]
    assert np.mean(right) >= 0.8


def test_reading_a_caption():
    assert read_caption("a dog, an apple and a red frisbee on the snow at sunset") == (
        [(None, "dog"), (None, "apple"), ("red", "frisbee")],
        "snow",
        "sunset",
    )
    assert read_caption("nothing") == ([], None, None)
