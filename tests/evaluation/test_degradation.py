"""Pictures made worse, and what becomes of accuracy and entropy."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from causal_attrib import InputError
from causal_attrib.evaluation.degradation import evaluate
from causal_attrib.evaluation.degradation.curves import changes, curves, records
from causal_attrib.evaluation.degradation.figure import figure
from causal_attrib.evaluation.degradation.pictures import KINDS, WORST, degrade
from causal_attrib.evaluation.degradation.study import MODES, study, write
from causal_attrib.evaluation.degradation.tasks import DegradationTask, read_items, rendered
from causal_attrib.scenes import PARK, render, write_dataset
from tests.tiny_models import tiny

PICTURE = render(PARK)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_severities(kind):
    """0 is the picture itself, every step is further from it, and size and mode stay."""
    steps = [degrade(PICTURE, kind, severity) for severity in range(WORST + 1)]
    assert steps[0].tobytes() == PICTURE.tobytes()
    assert {(step.size, step.mode) for step in steps} == {(PICTURE.size, "RGB")}
    original = np.asarray(PICTURE, dtype=float)
    errors = [np.abs(np.asarray(step, dtype=float) - original).mean() for step in steps]
    assert errors == sorted(errors) and len(set(errors)) == WORST + 1


def test_what_each_does_to_grey():
    grey = Image.new("RGB", (64, 48), (200, 200, 200))
    assert np.unique(degrade(grey, "dark", 2)).tolist() == [120]  # 200 * 0.6
    assert np.unique(degrade(grey, "blur", 5)).tolist() == [200]
    noise = np.asarray(degrade(Image.new("RGB", (200, 200), (128, 128, 128)), "noise", 1), dtype=float) - 128
    assert noise.mean() == pytest.approx(0, abs=0.1) and noise.std() == pytest.approx(10, abs=0.1)


def test_blur_grows_with_the_picture():
    """A step of 0..255 at the middle: the width over which it is smeared is a share of the picture's side."""
    for side in (100, 400):
        step = Image.new("L", (side, side), 0)
        step.paste(255, (side // 2, 0, side, side))
        row = np.asarray(degrade(step.convert("RGB"), "blur", 3))[side // 2, :, 0]
        # A normal with standard deviation 0.04 has 16 % and 84 % of its mass below -0.04 and 0.04.
        assert np.abs(row - 255 * 0.1587).argmin() / side == pytest.approx(0.46, abs=0.015)


def test_noise_is_seeded():
    first, again, other = (degrade(PICTURE, "noise", 1, seed).tobytes() for seed in (1, 1, (1, 2)))
    assert first == again != other


def test_no_such_thing():
    with pytest.raises(InputError, match="no degradation 'fog'"):
        degrade(PICTURE, "fog", 1)
    with pytest.raises(InputError, match="no severity 6"):
        degrade(PICTURE, "blur", 6)


# -- what is written --


def test_writing_together_is_writing_token_by_token(bundled):
    """Greedy, one whole forward per token; entropies of the distributions that it was written from."""
    pictures = [degrade(PICTURE, kind, severity) for kind, severity in (("dark", 0), ("dark", 2), ("noise", 3))]
    processor, model, vocabulary = bundled.processor, bundled.model, bundled.tokenizer
    written = write(bundled, pictures, "Describe this image.", 20, batch_size=2)
    for picture, (ids, entropy_T) in zip(pictures, written, strict=True):
        inputs = processor(
            text="<s>USER: <image>\nDescribe this image. ASSISTANT:",
            images=picture,
            return_tensors="pt",
            add_special_tokens=False,
        )
        row, said, entropies = inputs["input_ids"], [], []
        while len(said) < 20:
            with torch.no_grad():
                logits = model(input_ids=row, pixel_values=inputs["pixel_values"]).logits[0, -1].float()
            probability = logits.softmax(-1)
            logits[bundled.unwritable_ids] = -torch.inf
            token = logits.argmax()
            if token == vocabulary.eos_token_id:
                break
            said.append(int(token))
            entropies.append(-(probability * probability.clamp_min(1e-30).log()).sum().item())
            row = torch.cat([row, token[None, None]], dim=1)
        assert list(ids) == said
        np.testing.assert_allclose(entropy_T, entropies, atol=1e-4)
    assert {len(ids) for ids, _ in written} != {20}  # texts of different lengths stood side by side


@pytest.mark.parametrize("name", ["qwen2_vl", "florence2"])
def test_pictures_beside_it_change_nothing(name):
    """Patches in one long list, and an encoder-decoder: two ways in which inputs of several pictures stand together."""
    vlm = tiny(name)
    pictures = [degrade(PICTURE, "noise", severity) for severity in (0, 5)]
    together, alone = (write(vlm, pictures, "What is it?", 5, batch_size) for batch_size in (2, 1))
    for (ids, entropy_T), (same_ids, same_entropy_T) in zip(together, alone, strict=True):
        assert ids == same_ids and len(ids) == 5
        np.testing.assert_allclose(entropy_T, same_entropy_T, atol=1e-4)


def test_the_rows_of_a_study(bundled):
    texts = study(rendered(2, seed=0)[:1], bundled, longest=2, batch_size=7)
    assert texts.columns.tolist() == ["image", "degradation", "severity", "mode", "right", "entropy"]
    counts = texts.groupby(["mode", "degradation", "severity"]).size()
    assert len(counts) == len(MODES) * len(KINDS) * (WORST + 1) and set(counts) == {1}
    start = texts[texts.severity == 0]
    for _, alike in start.groupby(["mode", "image"]):
        assert alike.entropy.nunique(dropna=False) == 1  # the picture itself is asked about once
    assert (
        texts[texts["mode"] == "reasoning"].right.tolist() == texts[texts["mode"] == "reasoned answer"].right.tolist()
    )
    assert not texts[texts["mode"] != "reasoned answer"].entropy.isna().any()


def test_what_is_right():
    caption = DegradationTask("caption", "Describe this image.", PARK)
    assert caption.is_right("a dog and a red frisbee on the grass at noon")
    assert not caption.is_right("a dog and a blue frisbee on the grass at noon")
    assert not caption.is_right("a dog on the grass at noon")
    assert DegradationTask("answer", "Is there a dog?", "yes").is_right("Yes.")
    assert DegradationTask("reasoned", "Is there a dog?", "no").is_right("<think> a cow </think> <answer> no </answer>")


# -- curves and the trap, on texts made by hand --


def texts_of(accuracy_of_severity, entropy_of_severity, images=20, kind="dark"):
    """`images` texts per severity, of which a share is right; entropies vary a little from image to image."""
    rows = [
        {
            "image": str(image),
            "degradation": kind,
            "severity": severity,
            "mode": "answer",
            "right": int(image < images * accuracy),
            "entropy": entropy + 0.001 * (image % 5),
        }
        for severity, (accuracy, entropy) in enumerate(zip(accuracy_of_severity, entropy_of_severity, strict=True))
        for image in range(images)
    ]
    return pd.DataFrame(rows)


FALLING, RISING = (1.0, 0.9, 0.8, 0.6, 0.4, 0.2), (0.1, 0.2, 0.3, 0.5, 0.8, 1.2)


@pytest.mark.parametrize(
    ("accuracy", "entropy", "expected"),
    [
        (FALLING, RISING, (False, False)),  # it knows that it does not see
        (FALLING, RISING[::-1], (True, False)),
        (FALLING, (0.5,) * 6, (False, True)),
        (FALLING[::-1], RISING[::-1], (False, False)),
        ((0.9,) * 6, RISING[::-1], (False, False)),
    ],
)
def test_the_rules(accuracy, entropy, expected):
    [change] = changes(texts_of(accuracy, entropy))
    assert (change.is_trap, change.no_warning) == expected
    assert change.accuracy.value == pytest.approx(100 * (accuracy[-1] - accuracy[0]))
    assert change.entropy.value == pytest.approx(entropy[-1] - entropy[0])


def test_one_image_of_many_is_no_trap():
    """Accuracy falls on one image of twenty: the interval of its change reaches 0."""
    [change] = changes(texts_of((1.0,) * 5 + (0.95,), RISING[::-1]))
    assert change.accuracy.value == pytest.approx(-5) and change.accuracy.high == 0 and not change.is_trap


def test_a_few_images_are_no_trap():
    texts = texts_of(FALLING, RISING[::-1], images=9)
    [change] = changes(texts)
    assert change.accuracy.high < 0 and change.entropy.high < 0
    assert not change.is_trap and not change.no_warning


def test_three_images_that_all_fall():
    [change] = changes(texts_of((1.0,) * 5 + (0.0,), RISING, images=3))
    # 1 - .025^(1/3) = .70760 of other images may rise instead; -100 [-100, -100] said that none would.
    assert (change.accuracy.value, change.accuracy.low) == (-100, -100)
    assert change.accuracy.high == pytest.approx(41.520, abs=1e-3)


def test_changes_are_of_the_same_images():
    """Entropies differ much between images, but each falls by 0.1: paired draws leave no doubt."""
    texts = texts_of(FALLING, (0.5, 0.5, 0.5, 0.5, 0.5, 0.4))
    texts["entropy"] += texts.image.astype(float)
    [change] = changes(texts)
    assert change.is_trap and change.entropy.low == pytest.approx(-0.1) == change.entropy.high


def test_texts_without_entropy_are_left_out():
    texts = texts_of(FALLING, RISING)
    texts.loc[(texts.severity == WORST) & (texts.image != "0"), "entropy"] = np.nan
    assert changes(texts)[0].entropy.value == pytest.approx(1.2 - (0.1 + 0.002))
    texts.loc[texts.severity == WORST, "entropy"] = np.nan
    [change] = changes(texts)
    assert (change.entropy.value, change.is_trap, change.no_warning) == (None, False, False)
    [worst] = [row for row in records(curves(texts)) if row["severity"] == WORST]
    assert worst["entropy"] is None and worst["accuracy"] == 20.0
    json.dumps(records(curves(texts)), allow_nan=False)


def test_curves_by_hand():
    rows = records(curves(texts_of(FALLING, RISING)))
    assert [row["accuracy"] for row in rows] == pytest.approx([100, 90, 80, 60, 40, 20])
    assert [row["entropy"] for row in rows] == pytest.approx([value + 0.002 for value in RISING])
    assert [row["strength"] for row in rows] == [None, 0.8, 0.6, 0.4, 0.2, 0.05]
    assert all(row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] for row in rows)


def test_the_figure():
    texts = pd.concat([texts_of(FALLING, RISING, kind=kind) for kind in KINDS])
    drawn, again = (figure(curves(texts, resamples=100), changes(texts, resamples=100)) for _ in range(2))
    assert drawn.startswith(b"\x89PNG") and drawn == again
    nothing = texts.assign(entropy=np.nan)  # no answer could be found in any text
    assert figure(curves(nothing, resamples=100), changes(nothing, resamples=100)).startswith(b"\x89PNG")


def test_bad_draws():
    with pytest.raises(InputError, match="100 or more"):
        evaluate(scenes=2, resamples=10)


# -- what is asked --


def test_a_folder_of_scenes(tmp_path):
    folder = write_dataset(tmp_path / "scenes", 3, 0)
    items = read_items(folder, 0)
    captions = [json.loads(line)["caption"] for line in (folder / "captions.jsonl").read_text().splitlines()]
    for item, caption in zip(items, captions, strict=True):
        described, answered, reasoned = item.tasks
        assert described.is_right(caption) and not described.is_right("a dog")
        assert reasoned.prompt == f"{answered.prompt} Think first, then answer."
        assert reasoned.truth == answered.truth
    (folder / "objects.json").write_text("[1]")
    with pytest.raises(InputError, match="damaged"):
        read_items(folder, 0)
    (folder / "objects.json").unlink()
    with pytest.raises(InputError, match="no folder of scenes"):
        read_items(folder, 0)


def test_rows_of_the_users_own(tmp_path):
    PICTURE.save(tmp_path / "park.png")
    path = tmp_path / "asked.jsonl"
    path.write_text('{"image": "park.png", "question": "Is there a dog?", "answer": "yes"}\n')
    [item] = read_items(path, 0, " Reason.")
    assert [(task.kind, task.prompt, task.truth) for task in item.tasks] == [
        ("answer", "Is there a dog?", "yes"),
        ("reasoned", "Is there a dog? Reason.", "yes"),
    ]
    path.write_text('{"image": "none.png", "question": "Is there a dog?", "answer": "yes"}\n')
    with pytest.raises(InputError, match="There is no image"):
        read_items(path, 0)
