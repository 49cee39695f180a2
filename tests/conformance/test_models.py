"""Every architecture gives the right numbers: the checks whose results make up docs/models.md.

Each check measures something for each model of `tests.tiny_models` and holds it against a tolerance.
"""

import contextlib

import numpy as np
import pytest
import torch
from PIL import Image

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.modes import attention_kernel
from causal_attrib.vlm.processors import ImageAndTokenizer
from causal_attrib.vlm.reference_image import one_colour
from tests.conformance.by_hand import a_hidden_id, logits_by_hand
from tests.tiny_generic import STOOD_IN

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
OTHER = Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8))
PROMPT = "What is it?"
CAPTION = "a dog and a red frisbee on the grass"
LOGITS = 1e-5
BY_INDEX = "the decoder counts positions by index and takes no others"
BLOCKS = "it attends to blocks of the row, which padding shifts"


@pytest.fixture
def encoding(vlm):
    return vlm.encode(PICTURE, PROMPT, CAPTION)


def far(vlm, a, b):
    """Largest difference of two tensors of logits, in units of their spread where that is above one (T5)."""
    # Chameleon rules out the ids of its picture by the lowest number that there is.
    written = b > torch.finfo(b.dtype).min
    assert torch.equal(written, a > torch.finfo(a.dtype).min)
    return (a - b)[written].abs().max() / max(1.0, b[written].std().item())


def test_logits_equal_a_call_by_hand(vlm, encoding, measured):
    (logits,) = vlm.read(encoding, [Continuation(encoding.response_ids)])
    expected = logits_by_hand(vlm, PROMPT, encoding.response_ids, PICTURE)
    measured("call by hand", far(vlm, logits, expected), LOGITS)


def test_neutral_logits_equal_a_call_with_a_picture_of_one_colour(vlm, encoding, measured):
    (logits,) = vlm.read(encoding, [Continuation(encoding.response_ids, reference=True)])
    grey = one_colour(PICTURE, vlm.neutral_colour)
    expected = logits_by_hand(vlm, PROMPT, encoding.response_ids, grey)
    measured("call by hand", far(vlm, logits, expected), LOGITS)


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_hidden_tokens_equal_an_edited_embedding_table(vlm, encoding, fill, measured):
    (logits,) = vlm.read(encoding, [Continuation(encoding.response_ids, (1, 3), fill)])
    ids = list(encoding.response_ids)
    with a_hidden_id(vlm, fill) as gap:
        ids[1] = ids[3] = gap
        expected = logits_by_hand(vlm, PROMPT, ids, PICTURE)
    measured("hidden tokens", far(vlm, logits, expected), LOGITS)
    assert not vlm.family.embedding._forward_hooks, "the model must be left as it was found"


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_a_hidden_word_is_read_on_no_path(vlm, encoding, fill, measured):
    """Which word is hidden changes nothing after it; seen, it does."""
    ids = encoding.response_ids
    other = (ids[0], ids[3], *ids[2:])
    for hidden, leaks in (((1,), False), ((), True)):
        a, b = (logits[2:] for logits in vlm.read(encoding, [Continuation(row, hidden, fill) for row in (ids, other)]))
        if leaks:
            assert far(vlm, a, b) > 1e-2
        else:
            measured("leak", far(vlm, a, b), LOGITS)
    (written,), (same,) = (vlm.write(encoding, Continuation(row[:3], (1,), fill), 4) for row in (ids, other))
    assert written == same


def test_scores_equal_a_brute_force_loop(vlm, measured):
    caption = "a red dog"
    got = causal_attrib.score(PICTURE, caption, model=vlm, prompt=PROMPT, outcome="grounding").to_frame()
    ids = vlm.encode(PICTURE, PROMPT, caption).response_ids
    grey = one_colour(PICTURE, vlm.neutral_colour)

    def gain(ids_now, visible):
        """Sum over the visible tokens of what the picture adds to their log-probability."""
        total = 0.0
        for picture, sign in ((PICTURE, 1), (grey, -1)):
            logprob = logits_by_hand(vlm, PROMPT, ids_now, picture).log_softmax(-1)
            total += sign * sum(logprob[t, ids_now[t]].item() for t in visible)
        return total

    def r(total):
        return 1 / (1 + np.exp(-total / len(ids)))

    kept = [r(gain(ids[:count], range(count))) for count in range(len(ids) + 1)]
    sufficiency = np.maximum(np.diff(kept), 0)
    necessity = []
    with a_hidden_id(vlm, "zero") as gap:
        for t in range(len(ids)):
            masked = [*ids[:t], gap, *ids[t + 1 :]]
            necessity.append(kept[-1] - r(gain(masked, [i for i in range(len(ids)) if i != t])))
    measured("scores", np.abs(got["sufficiency"] - sufficiency).max(), LOGITS)
    measured("scores", np.abs(got["necessity"] - necessity).max(), LOGITS)


def test_rows_of_a_batch_do_not_touch_each_other(vlm, encoding, measured):
    ids = encoding.response_ids
    rows = [
        Continuation(ids),
        Continuation(ids[:2]),
        Continuation(ids, (0,)),
        Continuation(()),
        Continuation(ids[:5], (1,), "mean"),
    ]
    alone = [vlm.read(encoding, [row])[0] for row in rows]
    together = vlm.read(encoding, rows)
    measured("batch", max(far(vlm, b, a) for a, b in zip(alone, together, strict=True)), LOGITS)


def test_padding_on_the_left_changes_nothing(vlm, encoding, measured, without):
    padded = logits_by_hand(vlm, PROMPT, encoding.response_ids, PICTURE, left=3)
    if padded is None:
        without("left padding", BLOCKS if vlm.name == "minimax_m3" else BY_INDEX)
    (logits,) = vlm.read(encoding, [Continuation(encoding.response_ids)])
    measured("left padding", far(vlm, padded, logits), LOGITS)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_kernels_agree(vlm, encoding, attention, measured, without):
    rows = [Continuation(encoding.response_ids, (2,)), Continuation(encoding.response_ids[:3])]
    reference = vlm.read(encoding, rows)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(attention_kernel(vlm.model, attention))
        except ValueError:
            without(attention, "transformers has no such kernel for it")
        logits = vlm.read(encoding, rows)
    measured(attention, max(far(vlm, a, b) for a, b in zip(logits, reference, strict=True)), LOGITS)


def test_another_picture_changes_the_outcome(vlm, measured):
    """The share of the logits' spread that a change of the picture makes; at least a hundredth."""
    seen = []
    for picture in (PICTURE, OTHER):
        encoding = vlm.encode(picture, PROMPT, CAPTION)
        (logits,) = vlm.read(encoding, [Continuation(encoding.response_ids)])
        seen.append(logits)
    written = seen[0] > torch.finfo(seen[0].dtype).min
    change = (seen[0] - seen[1])[written].abs().max() / seen[0][written].std()
    measured("picture seen", -change, -0.01)


def test_earlier_positions_do_not_see_later_ones(vlm, encoding, measured):
    ids = encoding.response_ids
    (whole,) = vlm.read(encoding, [Continuation(ids)])
    (hidden,) = vlm.read(encoding, [Continuation(ids, (4,))])
    measured("causal", far(vlm, hidden[:5], whole[:5]), LOGITS)
    assert far(vlm, hidden[5:], whole[5:]) > 1e-2, "hiding a token has no effect"


def test_writing_is_greedy_on_what_is_read(vlm, encoding, measured):
    ids = encoding.response_ids[:4]
    wrong = 0
    for hidden in ((), (1,)):
        (written,) = vlm.write(encoding, Continuation(ids, hidden), 6)
        for count in range(len(written)):
            (logits,) = vlm.read(encoding, [Continuation(ids + written[:count], hidden)])
            logits[-1, vlm.unwritable_ids] = -torch.inf
            wrong += logits[-1].argmax().item() != written[count]
    measured("writing", wrong, 0)


def test_writing_several_continuations_equals_writing_one(vlm, encoding, measured):
    row = Continuation(encoding.response_ids[:3])
    (alone,) = vlm.write(encoding, row, 6)
    measured("writing", sum(ids != alone for ids in vlm.write(encoding, row, 6, [None, None, None])), 0)


def test_a_saved_model_loads_and_gives_the_same_logits(vlm, encoding, measured, without, tmp_path):
    if vlm.name == "gemma3n":
        without("saved and loaded", "its vision tower is built by timm, for which another stands in here")
    if vlm.name == "kosmos2_5":
        without("saved and loaded", "no file can tell its processor to make fewer than 4,096 patches, as is done here")
    if vlm.name in STOOD_IN:
        without("saved and loaded", "torchvision prepares its pictures, for which another stands in here")
    vlm.model.save_pretrained(tmp_path)
    # A model without a processor class of its own has its two parts saved side by side.
    paired = isinstance(vlm.processor, ImageAndTokenizer)
    for part in (vlm.tokenizer, vlm.processor.image_processor) if paired else (vlm.processor,):
        part.save_pretrained(tmp_path)
    loaded = causal_attrib.load(str(tmp_path), device="cpu")
    assert type(loaded.family) is type(vlm.family)
    again = loaded.encode(PICTURE, PROMPT, CAPTION)
    assert again.response_ids == encoding.response_ids and again.layout == encoding.layout
    (a,), (b,) = (which.read(e, [Continuation(e.response_ids)]) for which, e in ((loaded, again), (vlm, encoding)))
    measured("saved and loaded", far(vlm, a, b), LOGITS)


def test_spans_spell_the_caption(vlm, encoding):
    assert "".join(CAPTION[start:end] for start, end in encoding.spans) == CAPTION
    assert vlm.tokenizer.decode(encoding.response_ids).strip() == CAPTION


def test_default_prompt_lets_the_model_write(vlm):
    try:
        assert len(vlm.describe(PICTURE)) > 0
    except InputError as error:
        # Random weights may well choose the end at once, or a token that is no text.
        assert "wrote no caption" in str(error)
