"""CE-PO's reward: Jacobians against finite differences, channels against their algebra (methods 2 and 6)."""

import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.scores.coherence_channels.algebra import FLOOR
from causal_attrib.scores.coherence_channels.jacobians import take_jacobians
from causal_attrib.training.recipe.method import CEPO
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.cepo_reward import CEPOReward, split
from causal_attrib.training.scoring.rollout import Rollout, encode_prompt
from tests.tiny_models import tiny
from tests.training.runs import noise_rows, scene_rows

(ROW,) = scene_rows(1)
REASONED = " <think> a horse and a cake on the water, so there is a cake. </think> <answer> yes </answer>"


def rollout(vlm, text=REASONED):
    ids = vlm.tokenizer(text, add_special_tokens=False)["input_ids"] + [vlm.tokenizer.eos_token_id]
    return Rollout(ROW["image"], ROW["prompt"], tuple(ids))


@pytest.mark.parametrize("name", ["llava_clip_llama", "qwen2_vl", "idefics3"])
def test_jacobians_are_slopes(name):
    vlm, (row,) = tiny(name), noise_rows(1)
    ids = tuple(vlm.tokenizer("a dog on the grass is it", add_special_tokens=False)["input_ids"])
    half = len(ids) // 2
    reasoning, answer = range(half), range(half, len(ids))
    prompt = encode_prompt(vlm, Rollout(row["image"], row["prompt"], ids)).prompt_inputs
    length = prompt["input_ids"].shape[1]
    question = range(length - 5, length)
    taken = take_jacobians(vlm, prompt, ids, question, reasoning, answer)

    generator = torch.Generator().manual_seed(0)
    inputs = vlm.family.extend(prompt, [ids], vlm.pad_id)

    def likelihoods(places, moved_SD):
        """L_X and L_Y with the embeddings at some places moved."""

        def move(module, args, embedded_BLD):
            if embedded_BLD.shape[1] != length + len(ids):
                return embedded_BLD
            embedded_BLD = embedded_BLD.clone()
            embedded_BLD[0, list(places)] += moved_SD
            return embedded_BLD

        handle = vlm.family.embedding.register_forward_hook(move)
        with torch.no_grad():
            logits = vlm.model(**inputs).logits[0, length - 1 : -1]
        handle.remove()
        logprob = logits.double().log_softmax(-1)[range(len(ids)), ids]
        return logprob[list(reasoning)].sum(), logprob[list(answer)].sum()

    for jacobian_SD, places, which in (
        (taken.question_to_reasoning_ZD, question, 0),
        (taken.question_to_answer_ZD, question, 1),
        (taken.reasoning_to_answer_XD, [length + t for t in reasoning], 1),
    ):
        direction_SD = torch.randn(jacobian_SD.shape, generator=generator)
        step = 1e-3 / direction_SD.norm()
        ends = [likelihoods(places, sign * step * direction_SD)[which] for sign in (1, -1)]
        slope = ((ends[0] - ends[1]) / (2 * step)).item()
        assert slope == pytest.approx((jacobian_SD * direction_SD).sum().item(), rel=0.03, abs=0.02)
        assert abs(slope) > 0.05
    assert all(parameter.grad is None for parameter in vlm.model.parameters())


def test_an_answer_of_one_token_does_not_fall_to_the_floor(bundled):
    # Methods 6: "CE-PO single-token Y must be non-floor after the slice fix".
    channels = CEPOReward(bundled, rewards.match, CEPO(draws=2)).coherence(rollout(bundled))
    assert channels.shape == (3,) and (channels > 2 * FLOOR).all() and (channels <= 1).all()


@pytest.mark.parametrize(
    "text", ["", " yes", " <think> </think> <answer> yes </answer>", " <think> a </think> <answer>"]
)
def test_without_reasoning_or_answer_coherence_is_the_floor(bundled, text):
    assert CEPOReward(bundled, rewards.match).coherence(rollout(bundled, text)).tolist() == [pytest.approx(FLOOR)] * 3


def test_texts_that_cannot_be_shuffled_leave_nothing(bundled):
    # One word of question: its order is always the same, J = C, and both channels from Z fall to the floor.
    made = rollout(bundled)
    made = Rollout(made.image, [{"role": "user", "content": "Cake?"}], made.completion_ids)
    of_zx, of_xy, of_zy = CEPOReward(bundled, rewards.match, CEPO(draws=1)).coherence(made).tolist()
    assert of_zx == pytest.approx(FLOOR, abs=2e-3) and of_zy == pytest.approx(FLOOR, abs=2e-3) and of_xy > 2 * FLOOR


def test_the_reward_is_the_power_mean_and_the_same_again(bundled):
    made = rollout(bundled)
    told = {
        "prompts": [made.messages] * 2,
        "completions": [REASONED, "no"],
        "completion_ids": [made.completion_ids] * 2,
    }
    logged = {}
    reward = CEPOReward(bundled, rewards.match, CEPO(draws=1, p=1.0))
    first = reward(**told, image=[made.image] * 2, answer=["yes", None], log_metric=logged.__setitem__)
    channels = reward.coherence(made)
    assert first[0] == pytest.approx(0.7 + 0.1 * channels.sum().item(), abs=1e-5) and first[1] is None
    assert list(logged) == ["cepo/question_to_reasoning", "cepo/reasoning_to_answer", "cepo/question_to_answer"]
    assert reward(**told, image=[made.image] * 2, answer=["yes", None]) == first
    with pytest.raises(InputError, match="needs the column 'image'"):
        reward(**told, answer=["yes", None])


def test_the_prompt_is_laid_out_as_the_policys(bundled):
    made = rollout(bundled)
    options = {"chat_template": "Be brief. " + bundled.processor.chat_template}
    told = {"prompts": [made.messages], "completions": [REASONED], "completion_ids": [made.completion_ids]}
    told |= {"image": [made.image], "answer": ["yes"]}
    plain, laid_out = (
        CEPOReward(bundled, rewards.match, CEPO(draws=1), options=given)(**told) for given in (None, options)
    )
    assert plain != laid_out


def test_the_last_sentence_answers_where_nothing_else_says_so():
    text = "A dog. The final answer is yes."
    assert [text[slice(*span)] for span in split(text)] == ["A dog.", "yes"]
    text = "It has four legs!\nA dog"
    assert [text[slice(*span)] for span in split(text)] == ["It has four legs!", "A dog"]


def test_it_trains(bundled, tmp_path):
    pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")
    from tests.training.runs import grpo_trainer, logged

    method = CEPO(draws=1)
    trainer = grpo_trainer(
        bundled,
        scene_rows(),
        tmp_path,
        reward=CEPOReward(bundled, rewards.match, method),
        method=method,
        max_completion_length=40,
        max_steps=1,
        temperature=1.5,
    )
    trainer.train()
    (entry,) = logged(trainer, "reward", "grad_norm", "cepo/reasoning_to_answer")
    assert 0 < entry["reward"] < 1 and entry["grad_norm"] > 0 and entry["cepo/reasoning_to_answer"] > FLOOR
