"""Coherence: every channel against a plain computation, golden values of methods.md 6, and where it is shown."""

import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import causal_attrib
from causal_attrib import Attribution, InputError, views
from causal_attrib.objectives import power_mean
from causal_attrib.scores.coherence_channels.channels import WEIGHTS, coherence
from causal_attrib.scores.coherence_channels.counterfactuals import shuffled_patches, shuffled_words
from causal_attrib.scores.coherence_channels.jacobians import take_jacobians
from causal_attrib.scores.saliency_methods.features import Door
from causal_attrib_cli.main import app
from tests.saliency.common import noise
from tests.tiny_models import tiny

FLOOR = 0.005
PROMPT = "Is there a cat in the image? Think first, then answer."
REASONED = "<think> a dog and a red frisbee on the grass at noon, so there is no cat. </think> <answer> no </answer>"


# -- a plain computation: embeddings put together by hand, a backward for every token, and numpy -----------------------


def gradients(vlm, picture, prompt, ids, targets):
    """For each target the gradient of its log-likelihood with respect to all that the language model is given."""
    inputs = vlm.encode(picture, prompt, ".").prompt_inputs
    row = torch.cat([inputs["input_ids"][0], torch.tensor(ids)])
    length = inputs["input_ids"].shape[1]
    with torch.no_grad():
        embedded = vlm.model.get_input_embeddings()(row)
        embedded[row == vlm.model.config.image_token_id] = torch.cat(
            list(vlm.model.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output)
        )
    embedded.requires_grad_(True)
    hidden = vlm.model.model.language_model(inputs_embeds=embedded[None]).last_hidden_state
    logprob = vlm.model.lm_head(hidden)[0].log_softmax(-1)
    found = []
    for target in targets:
        total = np.zeros(tuple(embedded.shape))
        for t in target:
            place = length + t
            (one,) = torch.autograd.grad(logprob[place - 1, row[place]], embedded, retain_graph=True)
            total += one.double().numpy()
        found.append(total)
    return row.tolist(), length, found


def places_of(vlm, row, length, text):
    """Where the tokens of a text stand in the prompt: the last run of ids that decodes to it."""
    for end in range(length, 0, -1):
        for start in range(end - 1, -1, -1):
            if vlm.tokenizer.decode(row[start:end]).strip() == text:
                return list(range(start, end))
    raise AssertionError(text)


def plain_channels(vlm, picture, prompt, caption, draws, seed):
    head, reasoning, tail, answer = re.fullmatch(r"(<think>)(.*?)( </think> <answer>)(.*) </answer>", caption).groups()

    def tokens(text):
        return vlm.tokenizer(text, add_special_tokens=False)["input_ids"]

    space = " " if vlm.family.converse(prompt).separator else ""

    def sources(picture, prompt, reasoning):
        parts = [tokens(space + head), tokens(reasoning), tokens(tail), tokens(answer)]
        starts = np.cumsum([0, *map(len, parts)])
        x, y = range(starts[1], starts[2]), range(starts[3], starts[4])
        row, length, (of_x, of_y) = gradients(vlm, picture, prompt, sum(parts, []), (x, y))
        image = [p for p, token in enumerate(row) if token == vlm.model.config.image_token_id]
        asked = places_of(vlm, row, length, prompt)
        return {
            "ix": of_x[image],
            "iy": of_y[image],
            "px": of_x[asked],
            "py": of_y[asked],
            "xy": of_y[[length + t for t in x]],
        }

    base = sources(picture, prompt, reasoning)
    u = np.mean([row / (np.linalg.norm(row) + 1e-8) for row in base["xy"]], axis=0)

    def straight(of_y, of_x):
        through = of_x * u
        return of_y - (of_y * through).sum() / ((through**2).sum() + 1e-8) * through

    def mean(drawn, like):
        total = np.zeros_like(like)
        for one in drawn:
            rows = min(len(one), len(like))
            total[:rows] += one[:rows] / len(drawn)
        return total

    def channel(jacobian, counterfactual):
        along = (jacobian * counterfactual).sum() / ((counterfactual**2).sum() + 1e-12)
        left = jacobian - along * counterfactual
        sigma = np.linalg.svd(left, compute_uv=False)
        magnitude = min(1, (left**2).sum() / ((jacobian**2).sum() + 1e-12))
        return FLOOR + (1 - FLOOR) * math.sqrt(sigma[0] ** 2 / (sigma**2).sum() * magnitude)

    asked, seen, thought = [], [], []
    rows, columns = vlm.encode(picture, prompt, ".").grid
    for draw in range(draws):
        generator = np.random.default_rng([seed, draw])
        words = shuffled_words(prompt, generator)
        patches = shuffled_patches(picture, (rows, columns), generator)
        asked.append(sources(picture, words, reasoning))
        seen.append(sources(patches, prompt, reasoning))
        thought.append(sources(picture, prompt, shuffled_words(reasoning, generator)))
    pairs = {
        "image_to_reasoning": (base["ix"], [one["ix"] for one in seen]),
        "prompt_to_reasoning": (base["px"], [one["px"] for one in asked]),
        "reasoning_to_answer": (base["xy"], [one["xy"] for one in thought]),
        "image_to_answer": (straight(base["iy"], base["ix"]), [straight(one["iy"], one["ix"]) for one in seen]),
        "prompt_to_answer": (straight(base["py"], base["px"]), [straight(one["py"], one["px"]) for one in asked]),
    }
    hardened = {name: channel(j, mean(drawn, j)) for name, (j, drawn) in pairs.items()}
    return {name: channel(j, np.zeros_like(j)) for name, (j, _) in pairs.items()}, hardened


@pytest.mark.parametrize("name", ["bundled", "llava_clip_llama"])
def test_every_channel_is_that_of_a_plain_computation(name, bundled, park):
    if name == "bundled":
        vlm, picture, prompt, caption = bundled, Image.open(park).convert("RGB"), PROMPT, REASONED
    else:
        vlm, picture, prompt = tiny(name), noise((56, 56)), "is it a dog?"
        caption = "<think> a dog on the grass </think> <answer> a dog </answer>"
    found = coherence(picture, caption, model=vlm, question=prompt, draws=2, seed=3)
    plain, hardened = plain_channels(vlm, picture, prompt, caption, draws=2, seed=3)
    assert found.channels == pytest.approx(plain, abs=2e-4)
    assert found.hardened == pytest.approx(hardened, abs=2e-4)
    assert list(found.hardened) == list(WEIGHTS) == list(views.coherence.CHANNELS)


@pytest.mark.parametrize("name", ["llava_clip_llama", "qwen3_vl", "idefics3", "mllama"])
def test_the_jacobians_of_the_picture_are_slopes(name):
    """Finite differences of the summed log-likelihoods, in the models' different ways to be given a picture."""
    vlm = tiny(name)
    encoding = vlm.encode(noise((56, 56)), "what is it?", "a dog on the grass is it")
    ids, door = encoding.response_ids, Door(vlm, encoding)
    half = len(ids) // 2
    taken = take_jacobians(vlm, encoding.prompt_inputs, ids, [0], range(half), range(half, len(ids)), door)
    inputs = vlm.family.extend(encoding.prompt_inputs, [ids], vlm.pad_id)
    with torch.no_grad(), door.reading() as found:
        vlm.family.logits(inputs, 1)
    seen = found[0]
    generator = torch.Generator().manual_seed(0)

    def likelihood(moved, part):
        with torch.no_grad(), door.replacing(moved):
            logits = vlm.family.logits(inputs, len(ids) + 1)[0, :-1]
        return logits.double().log_softmax(-1)[range(len(ids)), ids][part].sum().item()

    for jacobian, part in ((taken.image[0], slice(0, half)), (taken.image[1], slice(half, None))):
        direction = jacobian[None] / jacobian.norm() + 0.01 * torch.randn(seen.shape, generator=generator)
        step = 2e-3 / direction.norm()
        slope = (likelihood(seen + step * direction, part) - likelihood(seen - step * direction, part)) / (2 * step)
        expected = (jacobian * direction[0]).sum().item()
        assert slope.item() == pytest.approx(expected, rel=0.03) and abs(expected) > 1e-3
    assert all(parameter.grad is None and parameter.requires_grad for parameter in vlm.model.parameters())


# -- golden values (methods.md 6) --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_park(bundled, park):
    return coherence(park, REASONED, model=bundled, question=PROMPT, draws=1)


def test_an_answer_of_one_token_does_not_fall_to_the_floor(of_park):
    # "CE-PO single-token Y must be non-floor after the slice fix"
    assert of_park.tokens["answer"] == 1
    assert all(value > 10 * FLOOR for value in of_park.hardened.values())


def test_what_cannot_be_shuffled_falls_to_the_floor(bundled):
    # "CE-PO channel: J == C gives 0.005": one word has one order, and patches of one colour have no order at all.
    blank = Image.new("RGB", (96, 96), (40, 160, 60))
    found = coherence(blank, REASONED, model=bundled, question="Cat?", draws=1).hardened
    for channel in ("image_to_reasoning", "prompt_to_reasoning", "image_to_answer", "prompt_to_answer"):
        assert found[channel] == pytest.approx(FLOOR, abs=3e-3), channel
    assert found["reasoning_to_answer"] > 10 * FLOOR


def test_the_aggregate_is_the_power_mean_of_the_objectives(of_park):
    values = torch.tensor(list(of_park.hardened.values()), dtype=torch.float64)
    expected = power_mean(values, list(WEIGHTS.values()), 0.2).item()
    assert of_park.aggregate == pytest.approx(expected, abs=1e-9)
    assert min(of_park.hardened.values()) <= of_park.aggregate <= max(of_park.hardened.values())
    # CE-PO's weights without accuracy: a third for each of Z -> X, X -> Y and Z -> Y.
    assert WEIGHTS["image_to_reasoning"] + WEIGHTS["prompt_to_reasoning"] == pytest.approx(1 / 3)
    assert WEIGHTS["image_to_answer"] + WEIGHTS["prompt_to_answer"] == pytest.approx(1 / 3)


def test_seeds_and_the_answer_matter_and_repeat(bundled, park, of_park):
    assert coherence(park, REASONED, model=bundled, question=PROMPT, draws=1) == of_park
    other = coherence(park, REASONED, model=bundled, question=PROMPT, draws=1, seed=1)
    assert other.channels == of_park.channels and other.hardened != of_park.hardened
    wrong = coherence(park, REASONED, model=bundled, question=PROMPT, answer="yes", draws=1)
    assert wrong.channels["image_to_reasoning"] == of_park.channels["image_to_reasoning"]
    assert wrong.channels["image_to_answer"] != of_park.channels["image_to_answer"]


def test_an_announced_answer_will_do(bundled, park):
    found = coherence(park, "a dog and a frisbee, so the final answer is no", model=bundled, prompt=PROMPT, draws=1)
    assert all(value > 10 * FLOOR for value in found.hardened.values())


# -- where it is shown -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def attribution(bundled, park):
    return causal_attrib.score(park, REASONED, model=bundled, question=PROMPT, coherence=True)


def test_score_takes_it_along_and_every_format_loads_it(attribution, bundled, park, tmp_path):
    expected = coherence(park, REASONED, model=bundled, question=PROMPT).to_dict()
    assert attribution.coherence == json.loads(json.dumps(expected))
    for suffix in ("json", "jsonl", "csv", "parquet", "html"):
        attribution.save(tmp_path / f"scores.{suffix}")
        assert Attribution.load(tmp_path / f"scores.{suffix}") == attribution
    plain = causal_attrib.score(park, REASONED, model=bundled, question=PROMPT)
    assert plain.coherence is None and "coherence" not in plain.to_dict()
    assert plain.tokens == attribution.tokens


def test_table_and_report_name_every_channel(attribution, capsys):
    page = views.report(attribution)
    attribution.show()
    shown = " ".join(capsys.readouterr().out.split())
    for channel, name in views.coherence.CHANNELS.items():
        value = attribution.coherence["hardened"][channel]
        assert f"{name.replace(' ', '')} {value:.2f}" in shown
        assert f"<dt>{name}</dt><dd><b>{value:.3f}</b>" in page and views.coherence.MEANINGS[channel] in page
    assert f"coherence {attribution.coherence['aggregate']:.2f}: " in shown
    assert "Coherence:" not in views.report(Attribution("", []))


def test_a_source_of_one_token_is_pointed_out(attribution):
    told = views.coherence.single_tokens
    assert told(attribution.coherence) == ""
    record = attribution.coherence | {"tokens": {"image": 64, "prompt": 1, "reasoning": 1, "answer": 1}}
    assert told(record) == "A source of one token scores high for free: prompt, reasoning."


@pytest.mark.parametrize(
    ("caption", "missing"),
    [
        ("a dog", "reasoning"),
        ("<answer> no </answer>", "reasoning"),
        ("<think> </think> <answer> no </answer>", "reasoning"),
        ("<think> a dog", "answer"),
        ("<think> a dog </think>", "answer"),
        ("<think> a dog </think> <answer> </answer>", "answer"),
    ],
)
def test_what_is_missing_is_told_before_a_model_is_loaded(caption, missing, park):
    for call in (coherence, lambda *given, **more: causal_attrib.score(*given, coherence=True, **more)):
        with pytest.raises(InputError, match=f"the caption has no {missing}"):
            call(park, caption, model="no/such-model")
    result = CliRunner().invoke(app, ["score", str(park), caption, "--coherence", "--model", "no/such-model"])
    assert (result.exit_code, result.stdout) == (2, "") and result.stderr.count("\n") == 1
    assert f"the caption has no {missing}" in result.stderr


def test_a_model_whose_image_tokens_are_of_another_kind_is_refused():
    caption = "<think> a dog </think> <answer> yes </answer>"
    for name, words in (("blip", "as wide as words"), ("blip2_opt", "has no picture"), ("florence2", "in one row")):
        with pytest.raises(InputError, match=words):
            coherence(noise((56, 56)), caption, model=tiny(name), question="is it a dog?", draws=1)
    with pytest.raises(InputError, match="draws is 0"):
        coherence(noise(), caption, draws=0)


# -- counterfactuals ---------------------------------------------------------------------------------------------------


def test_words_change_places_and_white_space_stays():
    generator = np.random.default_rng(0)
    text = " a  cake,\nis it? "
    for _ in range(5):
        shuffled = shuffled_words(text, generator)
        assert sorted(shuffled.split()) == sorted(text.split())
        assert shuffled[0] == shuffled[-1] == " " and shuffled.count("\n") == 1 and "  " in shuffled


def test_patches_change_places_and_pixels_stay():
    picture = noise((24, 12))
    shuffled = np.asarray(shuffled_patches(picture, (2, 4), np.random.default_rng(0)))

    def cells(array):
        return sorted(
            array[6 * row : 6 * row + 6, 6 * column : 6 * column + 6].tobytes()
            for row in range(2)
            for column in range(4)
        )

    assert cells(shuffled) == cells(np.asarray(picture)) and (shuffled != np.asarray(picture)).any()
    assert shuffled_patches(noise((25, 13)), (2, 4), np.random.default_rng(0)).size == (25, 13)
