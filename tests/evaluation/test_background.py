"""The background study (methods.md 1.5): arithmetic by hand, both arms against plain computations, and its rows."""

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image

import causal_attrib
from causal_attrib import InputError
from causal_attrib.evaluation.background.rows import Asked, read_questions
from causal_attrib.evaluation.background.shares import (
    Measured,
    Share,
    background_share,
    differences,
    outside_mask,
    score,
)
from causal_attrib.evaluation.background.study import by_description, by_picture, study
from causal_attrib.evaluation.background.swap import leave_one_out, region_swap
from causal_attrib.scenes import PARK, render, write_dataset
from causal_attrib.vlm import VLM
from causal_attrib.vlm.layout import grid_boxes
from tests.tiny_models import tiny

CAPTION = "a dog and a red frisbee on the grass at noon"
QUESTION = "Is there a dog in the image?"


@pytest.fixture
def park_row(tmp_path):
    """The example as the bundled model sees it, with the mask of both objects."""
    picture, masks = render(PARK)
    picture.save(tmp_path / "park.png")
    Image.fromarray(masks.any(0)).save(tmp_path / "mask.png")
    row = {
        "image": "park.png",
        "mask": "mask.png",
        "question": QUESTION,
        "answer": "yes",
        "description": CAPTION,
        "spans": [[2, 5], [12, 23]],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return row


# -- arithmetic --------------------------------------------------------------------------------------------------------


def test_saliency_without_preference_has_density_one():
    """methods.md 1.5: the ratio is 1.0 where saliency is uniform."""
    generator = np.random.default_rng(0)
    for _ in range(10):
        outside = generator.random(12) < 0.6
        outside[:2] = True, False
        found = background_share(np.full(12, 0.3), outside)
        assert found.density == pytest.approx(1.0) and found.share == pytest.approx(found.area)


def test_shares_by_hand():
    outside = np.array([True, True, True, False])
    assert background_share(np.array([0.0, 0.0, 0.0, 2.0]), outside).share == 0.0
    most = background_share(np.array([1.0, 0.0, 3.0, 0.0]), outside)
    assert (most.share, most.area, most.density) == (1.0, 0.75, pytest.approx(4 / 3))
    assert background_share(np.zeros(4), outside) is None
    assert background_share(np.ones(4), np.ones(4, dtype=bool)) is None
    assert background_share(np.ones(4), np.zeros(4, dtype=bool)) is None


@pytest.mark.parametrize("grid", [(3, 4), (8, 8), (5, 7)])
def test_a_token_that_shows_any_of_the_object_is_not_background(grid):
    mask = np.random.default_rng(1).random((35, 56)) < 0.02
    height, width = mask.shape
    expected = []
    for left, top, right, bottom in grid_boxes(*grid):
        touched = any(
            mask[y, x] and x + 1 > left * width + 1e-6 and x < right * width - 1e-6
            and y + 1 > top * height + 1e-6 and y < bottom * height - 1e-6
            for y in range(height) for x in range(width)
        )  # fmt: skip
        expected.append(not touched)
    assert outside_mask(grid_boxes(*grid), mask).tolist() == expected


def measured(arm, image, right, share, area):
    return Measured(arm, image, "Is it?", "yes", right, Share(share, area))


def test_means_splits_and_differences_by_hand():
    rows = [
        measured("image", "1", True, 0.6, 0.75),
        measured("image", "1", False, 0.9, 0.75),
        measured("image", "2", True, 0.3, 0.5),
        measured("text", "1", True, 0.2, 0.4),
        measured("text", "2", True, 0.4, 0.8),
    ]
    found = {(one.arm, one.split): one for one in score(rows, resamples=200)}
    assert set(found) == {(arm, split) for arm in ("image", "text") for split in ("all", "right", "wrong")} - {
        ("text", "wrong")
    }
    everything = found["image", "all"]
    assert (everything.answers, everything.images) == (3, 2)
    # (0.6 + 0.9 + 0.3) / 3, and (0.8 + 1.2 + 0.6) / 3
    assert everything.share.value == pytest.approx(60) and everything.density.value == pytest.approx(100 * 2.6 / 3)
    assert found["image", "right"].share.value == pytest.approx(45)
    assert found["image", "right"].density.value == pytest.approx(70)
    wrong = found["image", "wrong"]
    assert (wrong.answers, wrong.images, wrong.share.low) == (1, 1, None)
    assert wrong.density.value == pytest.approx(120)
    assert everything.share.low == pytest.approx(30) and everything.share.high == pytest.approx(75)

    both = {one.split: one for one in differences(rows, resamples=200)}
    assert set(both) == {"all", "right"}
    assert both["all"].share.value == pytest.approx(60 - 30)
    assert both["all"].density.value == pytest.approx(100 * 2.6 / 3 - 50)
    assert both["right"].share.value == pytest.approx(45 - 30)
    assert differences(rows[:3]) == []


# -- both arms against plain computations ------------------------------------------------------------------------------


def test_the_image_arm_is_the_gradient_map_split_by_the_mask(bundled, park_row, tmp_path):
    (row,) = read_questions(tmp_path / "rows.jsonl")
    found = by_picture(bundled, row)
    assert (found.arm, found.reply, found.right) == ("image", "yes", True)
    maps = causal_attrib.saliency(row.image, "yes", prompt=QUESTION, model=bundled, method="gradient")
    (map_HW,) = maps.values_THW
    outside_HW = np.ones((8, 8), dtype=bool)
    mask_HW = render(PARK)[1].any(0)
    for r in range(8):
        for c in range(8):
            outside_HW[r, c] = not mask_HW[12 * r : 12 * r + 12, 12 * c : 12 * c + 12].any()
    assert found.background.share == pytest.approx(map_HW[outside_HW].sum() / map_HW.sum(), rel=1e-4)
    assert found.background.area == outside_HW.mean()
    # The bundled model looks at the dog when it is asked for it.
    assert found.background.density < 1
    maps = causal_attrib.saliency(
        row.image, "yes", prompt=QUESTION, model=bundled, method="gradient_x_input", reduce="sum"
    )
    size_HW = np.abs(maps.values_THW[0])
    product = by_picture(bundled, row, "gradient_x_input").background
    assert product.share == pytest.approx(size_HW[outside_HW].sum() / size_HW.sum(), rel=1e-4)


def test_the_text_arm_reads_the_words_of_the_description_alone(bundled, park_row, tmp_path):
    (row,) = read_questions(tmp_path / "rows.jsonl")
    found = by_description(bundled, row)
    # By hand: embeddings put together, one backward, norms of the rows of the description.
    encoding = bundled.encode(row.image, None, CAPTION, "yes", question=QUESTION)
    said = bundled.tokenizer(f" {found.reply}", add_special_tokens=False)["input_ids"]
    ids = torch.cat(
        [
            encoding.reference_inputs["input_ids"][0],
            torch.tensor([*encoding.response_ids, *encoding.cue_ids, *said]),
        ]
    )
    model = bundled.model
    with torch.no_grad():
        embedded = model.get_input_embeddings()(ids)
        seen = model.get_image_features(pixel_values=encoding.reference_inputs["pixel_values"]).pooler_output
        embedded[ids == model.config.image_token_id] = torch.cat(list(seen))
    embedded.requires_grad_(True)
    hidden = model.model.language_model(inputs_embeds=embedded[None]).last_hidden_state
    logprob = model.lm_head(hidden)[0].log_softmax(-1)
    places = range(len(ids) - len(said), len(ids))
    sum(logprob[place - 1, ids[place]] for place in places).backward()
    norms = embedded.grad[encoding.prompt_length : encoding.prompt_length + len(encoding.response_ids)].norm(dim=1)
    model.zero_grad(set_to_none=True)
    named = [CAPTION[start:end].strip() in ("dog", "red", "fr", "isbe", "e") for start, end in encoding.spans]
    outside = ~np.array(named)
    expected = norms[torch.from_numpy(outside)].sum() / norms.sum()
    assert found.background.share == pytest.approx(expected.item(), rel=1e-4)
    assert found.background.area == outside.mean()
    assert found.right == (found.reply == "yes")
    # Another picture of the same size reads the same.
    other = Image.new("RGB", (96, 96), "red")
    other.save(tmp_path / "other.png")
    assert by_description(bundled, Asked(str(tmp_path / "other.png"), *list(vars(row).values())[1:])).background == (
        found.background
    )


def test_a_study_asks_both_arms_and_tells_how_far_it_is(bundled, park_row, tmp_path):
    (row,) = read_questions(tmp_path / "rows.jsonl")
    told = []
    plain = Asked(row.image, row.masks, "How many objects are there?", "two")
    found = study(bundled, [row, plain], progress=lambda done, total: told.append((done, total)))
    assert [one.arm for one in found] == ["image", "text", "image"] and told == [(1, 2), (2, 2)]
    with pytest.raises(InputError, match="There is no measure 'magic'"):
        study(bundled, [row], measure="magic")
    with pytest.raises(InputError, match="none is background"):
        study(tiny("blip2_opt"), [row])


# -- regions -----------------------------------------------------------------------------------------------------------


def test_region_swap_is_occlusion_of_two_regions(bundled):
    picture, masks = render(PARK)
    other, _ = render(PARK.__class__("beach", "night", 3, ()))
    mask_HW = masks.any(0)
    found = region_swap(bundled, picture, mask_HW, QUESTION, "yes", other=other, foil="no")
    outside = outside_mask(grid_boxes(8, 8), mask_HW).reshape(8, 8)
    (map_HW,) = causal_attrib.saliency(
        picture,
        "yes",
        prompt=QUESTION,
        model=bundled,
        words="yes",
        foil="no",
        level="embedding",
        regions=outside.astype(int),
        baseline="swap",
        other=other,
    ).values_THW
    assert found.background == pytest.approx(map_HW[outside].mean(), abs=1e-4)
    assert found.object == pytest.approx(map_HW[~outside].mean(), abs=1e-4)
    # The dog is why the bundled model says that there is one.
    assert not found.blames_background and found.object > 1
    alone_HW = leave_one_out(bundled, picture, QUESTION, "yes", other=other, foil="no")
    assert alone_HW.shape == (8, 8) and not outside.ravel()[alone_HW.argmax()]


def test_without_mixing_swapped_pixels_are_swapped_tokens(bundled):
    """scenes.md 2, T2: image tokens that are patch embeddings; then editing a patch changes one token and no other."""
    model = copy.deepcopy(bundled.model)
    model.config.vision_feature_layer = -1 - model.config.vision_config.num_hidden_layers
    vlm = VLM(model, bundled.processor, name="no mixing")
    picture, masks = render(PARK)
    other, _ = render(PARK.__class__("snow", "night", 5, ()))
    # The mask in whole patches, so that pixels and tokens have the same border.
    outside = outside_mask(grid_boxes(8, 8), masks.any(0)).reshape(8, 8)
    mask_HW = np.kron(~outside, np.ones((12, 12), dtype=bool))
    asked = {"question": QUESTION, "answer": "yes", "other": other}
    tokens = region_swap(vlm, picture, mask_HW, **asked)
    pixels = region_swap(vlm, picture, mask_HW, **asked, level="region")
    assert tokens.background == pytest.approx(pixels.background, abs=1e-4)
    assert tokens.object == pytest.approx(pixels.object, abs=1e-4)
    assert abs(tokens.background) + abs(tokens.object) > 1e-3
    mixing = (
        region_swap(bundled, picture, mask_HW, **asked),
        region_swap(bundled, picture, mask_HW, **asked, level="region"),
    )
    assert mixing[0].object != pytest.approx(mixing[1].object, abs=1e-3)


def test_masks_that_leave_nothing_to_compare(bundled):
    picture, _ = render(PARK)
    for mask_HW, words in (
        (np.zeros((96, 96), dtype=bool), "one side of the mask"),
        (np.ones((8, 8), dtype=bool), "shape"),
    ):
        with pytest.raises(InputError, match=words):
            region_swap(bundled, picture, mask_HW, QUESTION, "yes", baseline="mean")
    with pytest.raises(InputError, match="another picture"):
        region_swap(bundled, picture, render(PARK)[1].any(0), QUESTION, "yes")


# -- rows --------------------------------------------------------------------------------------------------------------


def test_a_folder_of_scenes(tmp_path):
    folder = write_dataset(tmp_path / "scenes", 3, seed=2)
    rows = read_questions(folder)
    scenes = json.loads((folder / "objects.json").read_text())
    texts = {json.loads(line)["text"] for line in (folder / "questions.jsonl").read_text().splitlines()}
    assert {row.question for row in rows} == texts - {"Where is this?", "What time of day is it?"}
    for row in rows:
        objects = scenes[row.image.rpartition("/")[2]]["objects"]
        assert len(row.masks) == len(objects)
        assert [row.description[slice(*span)] for span in row.spans] == [
            " ".join(filter(None, (one["colour"], one["class"]))) for one in objects
        ]
        union = np.any([np.asarray(Image.open(mask)) for mask in row.masks], axis=0)
        assert (row.mask((96, 96)) == union).all()


def test_what_is_annotated_but_not_seen_has_no_mask(tmp_path):
    folder = write_dataset(tmp_path / "scenes", 12, seed=2, planted=0.9, invisible=0.9)
    scenes = json.loads((folder / "objects.json").read_text())
    rows = read_questions(folder)
    assert any(not one["visible"] for scene in scenes.values() for one in scene["objects"])
    for row in rows:
        objects = scenes[row.image.rpartition("/")[2]]["objects"]
        assert len(row.masks) == sum(one["visible"] for one in objects) > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": None}, "line 2 has no key 'mask'"),
        ({"answer": None}, "line 2 has no key 'answer'"),
        ({"question": " "}, "line 2 has an empty 'question'"),
        ({"question": 3}, "line 2 has 3 under 'question'"),
        ({"image": "missing.png"}, "line 2: There is no file .*missing.png"),
        ({"mask": "missing.png"}, "line 2: There is no mask .*missing.png"),
        ({"mask": "park.png"}, None),
        ({"spans": None}, "line 2 has no key 'spans'"),
        ({"spans": []}, "line 2 has .* under 'spans'"),
        ({"spans": [[3, 99]]}, "line 2 has .* under 'spans'"),
        ({"spans": [["a", "b"]]}, "line 2 has .* under 'spans'"),
        ({"description": 1}, "line 2 has 1 under 'description'"),
        ({"description": None}, None),
    ],
)
def test_rows_that_cannot_be_are_named_by_line_and_key(park_row, tmp_path, change, message):
    bad = {key: value for key, value in (park_row | change).items() if value is not None}
    (tmp_path / "rows.jsonl").write_text(json.dumps(park_row) + "\n" + json.dumps(bad) + "\n")
    if message is None:
        assert len(read_questions(tmp_path / "rows.jsonl")) == 2
    else:
        with pytest.raises(InputError, match=message):
            read_questions(tmp_path / "rows.jsonl")


def test_a_folder_that_is_none_of_scenes(tmp_path):
    with pytest.raises(InputError, match="is a folder, but none that `copo scenes`"):
        read_questions(tmp_path)
    with pytest.raises(InputError, match="There is no file"):
        read_questions(tmp_path / "none.jsonl")


def test_a_damaged_folder_of_scenes(tmp_path):
    folder = write_dataset(tmp_path / "scenes", 1, seed=2)
    questions = folder / "questions.jsonl"
    first = json.loads(questions.read_text().splitlines()[0])
    questions.write_text(json.dumps(first | {"image": "other.png"}))
    with pytest.raises(InputError, match="line 1 is about 'other.png'"):
        read_questions(folder)
    del first["category"]
    questions.write_text(json.dumps(first))
    with pytest.raises(InputError, match="line 1 has no key 'category'"):
        read_questions(folder)
    questions.write_text(json.dumps(first | {"category": "place"}))
    with pytest.raises(InputError, match="asks for no object"):
        read_questions(folder)
