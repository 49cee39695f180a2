"""Options of TRL and of peft that a recipe reaches: each is tried in a step, or refused before anything is loaded."""

import copy
import json
import sys

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from trl.generation import vllm_generation

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.scenes import write_dataset
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.plan import make_plan
from causal_attrib.training.recipe.check import check_recipe
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.recipe.method import COPO, GRPO
from causal_attrib.training.run import build
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.trainers.lora import freeze_vision, lora_config
from tests.tiny_models import tiny
from tests.training.runs import GROUP, SMALL, grpo_trainer, noise_rows
from tests.training.test_copo_trainer import by_id

CHEAP = Scoring(outcome="grounding", subset="entropy", share=0.1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return str(write_dataset(tmp_path_factory.mktemp("scenes") / "four", 4, 0))


@pytest.fixture
def recipe(scenes, tmp_path):
    def make(**keys):
        others = {name: value for name, value in keys.items() if name not in Recipe.__dataclass_fields__}
        own = {name: value for name, value in keys.items() if name not in others}
        return Recipe(**{"data": scenes, "output_dir": str(tmp_path / "out"), **SMALL, **own}, others=others)

    return make


@pytest.mark.parametrize(
    "options",
    [
        {"num_iterations": 2, "max_steps": 2, "save_steps": 2},
        {"epsilon": 0.2, "epsilon_high": 0.28, "delta": 4.0},
        {"top_entropy_quantile": 0.2},
        {"importance_sampling_level": "sequence"},
        {"mask_truncated_completions": True},
        {"scale_rewards": "none"},
        {"scale_rewards": "batch"},
        {"reward": ["match", "format"], "reward_weights": [1.0, 0.25]},
        {"sync_ref_model": True, "ref_model_sync_steps": 1, "beta": 0.04, "full": True},
        {"multi_objective_aggregation": "normalize_then_sum"},
    ],
    ids=lambda options: ",".join(options),
)
def test_options_reach_trl_and_run(options, recipe, tmp_path):
    arguments = make_plan(recipe(method="copo", **options)).arguments
    told = {name: value for name, value in options.items() if name not in ("reward", "full")}
    for name, value in told.items():
        assert getattr(arguments, name) == value
    arguments.output_dir, arguments.save_strategy, arguments.max_completion_length = str(tmp_path), "no", 8
    vlm = tiny("llava_clip_llama")
    trainer = CopoGRPOTrainer(
        model=copy.deepcopy(vlm.model) if "beta" not in options else _saved(vlm, tmp_path),
        reward_funcs=[of_ids, of_ids][: len(options.get("reward", "1"))],
        args=arguments,
        train_dataset=causal_attrib.training.data.to_dataset(noise_rows(2)),
        processing_class=vlm.processor,
        method=COPO(),
        scoring=CHEAP,
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert len(lines) == arguments.max_steps
    # A completion that is cut off counts for nothing where that is asked for; tiny models never end.
    learned = not options.get("mask_truncated_completions")
    assert all((line["grad_norm"] > 0) is learned for line in lines)


def test_rewards_that_are_not_scaled_may_be_called_so_in_two_ways(recipe):
    assert make_plan(recipe(method="copo", scale_rewards=False)).arguments.scale_rewards == "none"


def _saved(vlm, folder):
    """A model that TRL can load again, as its reference."""
    vlm.model.save_pretrained(folder / "model")
    return type(vlm.model).from_pretrained(folder / "model")


def of_ids(completion_ids, **_):
    return [len(set(ids)) / 16 + ids[0] / 1000 for ids in completion_ids]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sync_ref_model": True, "beta": 0.1}, "sync_ref_model moves a reference model, and adapters have none"),
        ({"sync_ref_model": True, "full": True}, "sync_ref_model moves a reference model, and without beta there is"),
        ({"use_transformers_continuous_batching": True}, "does not take models that see"),
        ({"use_liger_kernel": True}, "use_liger_kernel needs Liger: pip install liger-kernel"),
        ({"scale_rewards": "no"}, "There is no scale_rewards 'no'; choose one of group, batch, none"),
        ({"importance_sampling_level": "tokens"}, "choose one of token, sequence"),
        ({"vllm_mode": "remote"}, "There is no vllm_mode 'remote'; choose one of colocate, server"),
        ({"multi_objective_aggregation": "sum"}, "choose one of sum_then_normalize, normalize_then_sum"),
        ({"freeze_vision": True}, "freeze_vision is for --full"),
        ({"use_dora": True, "full": True}, "use_dora is of adapters, and --full trains all weights"),
        ({"lora_targets": ["q_proj"], "full": True}, "lora_targets is of adapters"),
        ({"method": "dpo", "num_iterations": 2}, "dpo takes no key 'num_iterations'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(keys, message, recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "liger_kernel", None)  # as where it is not installed
    with pytest.raises(InputError, match=message):
        check_recipe(recipe(**keys))


def test_kernels_for_gpus_are_refused_on_a_cpu_before_rows_are_read(recipe, tmp_path, monkeypatch):
    # It is enough to be found: nothing of it is imported.
    (tmp_path / "liger_kernel.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="use_liger_kernel needs a GPU, since Liger's kernels are Triton's"):
        make_plan(recipe(method="copo", use_liger_kernel=True, use_cpu=True))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"optim": "galore_adamw", "optim_target_modules": "all-linear"},
            "TRL refuses these settings: You need to install `galore_torch`",
        ),
        ({"optim": "bogus"}, "TRL refuses these settings: bogus is not a valid OptimizerNames"),
        (
            {"lr_scheduler_type": "cosine_with_min_lr"},
            "cosine_with_min_lr does not go with .*One of min_lr or min_lr_rate",
        ),
        ({"lr_scheduler_kwargs": {"a": 1}}, "linear does not go with these lr_scheduler_kwargs .*argument 'a'"),
        (
            {"gradient_checkpointing_kwargs": {"a": 1}},
            "There is no 'a' in gradient_checkpointing_kwargs; choose from use_reentrant",
        ),
        (
            {"chat_template_kwargs": {"continue_final_message": True}},
            "TRL decides 'continue_final_message' of a chat template itself",
        ),
        (
            {"chat_template_kwargs": {"tokenize": True}},
            "TRL decides 'tokenize' of a chat template itself; leave it out",
        ),
    ],
)
def test_what_transformers_says_with_the_model_loaded_is_said_before(keys, message, recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "galore_torch", None)  # as where it is not installed
    with pytest.raises(InputError, match=message):
        make_plan(recipe(method="grpo", **keys))


def test_another_optimizer_and_schedule_pass(recipe):
    schedule = {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}}
    arguments = make_plan(recipe(method="grpo", optim="sgd", **schedule)).arguments
    assert (arguments.optim, arguments.lr_scheduler_kwargs) == ("sgd", {"min_lr": 1e-6})


# -- adapters, and what is trained ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "has"),
    [
        ({"lora_targets": ["q_proj", "v_proj"]}, {"q_proj", "v_proj"}),
        ({"modules_to_save": ["multi_modal_projector"], "use_dora": True, "use_rslora": True}, None),
    ],
)
def test_adapters_of_every_kind_are_trained_saved_and_scored(keys, has, recipe, tmp_path):
    plan = make_plan(recipe(method="hero", show_completions=0, max_completion_length=8, **keys))
    trainer = build(plan)
    trainer.train()
    trainer.save_model()
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["use_dora"] is bool(keys.get("use_dora")) and config["use_rslora"] is bool(keys.get("use_rslora"))
    assert config["modules_to_save"] == keys.get("modules_to_save")
    if has is not None:
        assert set(config["target_modules"]) == has
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert not any("vision" in name for name in weights)
    assert any("multi_modal_projector" in name and "lora" not in name for name in weights) is (
        "modules_to_save" in keys
    )
    # Which refuses adapters whose weights match nothing, or half.
    assert causal_attrib.load(tmp_path / "out").model is not None


def test_layers_of_the_tower_get_adapters_where_they_are_named():
    from peft import get_peft_model

    model = copy.deepcopy(tiny("llava_clip_llama").model)
    adapted = get_peft_model(model, lora_config(2, targets=["vision_tower.encoder.layers.0.self_attn.q_proj"]))
    assert all("vision_tower" in name for name, weight in adapted.named_parameters() if weight.requires_grad)


@pytest.mark.parametrize("name", ["llava_clip_llama", "qwen2_vl"])
def test_a_frozen_tower_stays_as_it_is(name, tmp_path):
    vlm = tiny(name)
    trainer = grpo_trainer(vlm, noise_rows(2), tmp_path, method=COPO(lambda_s=0, lambda_n=0), max_steps=1)
    freeze_vision(trainer.model)
    trainer.train()
    moved = {
        name
        for (name, now), before in zip(trainer.model.named_parameters(), vlm.model.parameters(), strict=True)
        if not torch.equal(now, before)
    }
    assert moved and not any("vision" in name or "visual" in name for name in moved)
    with pytest.raises(InputError, match="No part of Linear is called vision or visual"):
        freeze_vision(torch.nn.Linear(1, 1))


def test_dpo_learns_from_captions_of_scenes(recipe, tmp_path):
    plan = make_plan(recipe(method="dpo", per_device_train_batch_size=2))
    assert (plan.arguments.beta, plan.arguments.learning_rate, plan.resolved["method"]) == (0.1, 5e-6, "dpo")
    assert plan.rows[0]["chosen"] != plan.rows[0]["rejected"] and "image_contrast" not in plan.rows[0]
    trainer = build(plan)
    trainer.train()
    (line,) = [line for line in trainer.state.log_history if "loss" in line]
    # Before the first step the policy is the reference: ln 2.
    assert line["loss"] == pytest.approx(0.6931, abs=1e-4) and line["grad_norm"] > 0 and line["seconds/update"] > 0


def test_the_schedule_of_symmpo_is_that_of_its_scripts(recipe):
    plan = make_plan(recipe(method="symmpo", per_device_train_batch_size=2))
    named = ("lr_scheduler_type", "warmup_steps", "weight_decay")
    assert [plan.resolved[name] for name in named] == ["cosine", 0.05, 0.01]
    own = make_plan(recipe(method="symmpo", per_device_train_batch_size=2, lr_scheduler_type="constant"))
    assert [own.resolved[name] for name in named] == ["constant", 0.05, 0.01]
    assert [make_plan(recipe(method="grpo")).resolved[name] for name in named] == ["linear", 0, 0.0]


# -- vLLM -------------------------------------------------------------------------------------------------------------


class StandIn:
    """What TRL asks of vLLM's server and of vLLM itself, answered by a rule: each completion counts on from its number,
    and the log-probability of a token tells which token it is of."""

    def __init__(self, **_):
        self.pushed, self.asked, self.written = 0, [], 0

    def complete(self, prompt_ids, features):
        self.asked.append((len(prompt_ids), features))
        self.written += 1
        return [300 + (self.written + place) % 40 for place in range(3 + self.written % 3)]

    # The client of a server.
    def init_communicator(self, device):
        pass

    def get_server_info(self):
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def update_named_params(self, metadata, named):
        names = [name for name, _ in named]
        assert names == [name for name, *_ in metadata] and len(names) > 10
        self.pushed += 1

    def reset_prefix_cache(self):
        pass

    def image_features(self, images):
        return [of_prompt and {"mm_placeholders": {"image": [None] * len(of_prompt)}} for of_prompt in images]

    def generate(self, prompts, features=None, n=1, sampling_params=None, **_):
        if sampling_params is not None:  # as vllm.LLM has it
            return [self._output(prompt) for prompt in prompts]
        features = features or [None] * len(prompts)
        ids = [self.complete(*one) for one in zip(prompts, features, strict=True) for _ in range(n)]
        logprobs = [[[-token / 100] for token in of_one] for of_one in ids]
        return {"prompt_ids": prompts, "completion_ids": ids, "logprobs": logprobs}

    # vLLM in the same process.
    def _output(self, prompt):
        ids = self.complete(prompt["prompt_token_ids"], prompt.get("multi_modal_data", {}).get("image"))
        logprobs = [{token: Named(logprob=-token / 100, rank=1)} for token in ids]
        return Named(prompt_token_ids=prompt["prompt_token_ids"], outputs=[Named(token_ids=ids, logprobs=logprobs)])

    @property
    def llm_engine(self):
        loads = Named(load_weights=lambda pairs: setattr(self, "pushed", self.pushed + 1))
        return Named(model_executor=Named(driver_worker=Named(model_runner=Named(model=loads))))


class Named:
    def __init__(self, **values):
        self.__dict__.update(values)


class Watched(CopoGRPOTrainer):
    """Looks whether what vLLM said of a token, and what a method makes of it, stay with that token up to the loss."""

    seen = 0

    def _compute_loss(self, model, inputs):
        ids_BT, mask_BT = inputs["completion_ids"], inputs["completion_mask"]
        assert torch.allclose(inputs["sampling_per_token_logps"] * mask_BT, -ids_BT / 100 * mask_BT)
        assert torch.equal(inputs["advantages"], by_id(ids_BT) * mask_BT)
        self.seen += 1
        return super()._compute_loss(model, inputs)

    def _set_advantages(self, inputs, batch, scores, mask_BT):
        # What is scored is what vLLM wrote.
        assert scores.scored_BT.shape == batch["completion_ids"].shape and scores.scored_BT.any()
        assert not (scores.scored_BT & ~mask_BT.bool()).any()
        super()._set_advantages(inputs, batch, scores, mask_BT)
        batch["advantages"] = by_id(batch["completion_ids"]) * batch["completion_mask"]


@pytest.fixture
def stands(monkeypatch):
    """What was made in the place of vLLM."""
    stands = []

    def make(**options):
        stands.append(StandIn(**options))
        return stands[-1]

    for name in ("VLLMClient", "LLM"):
        monkeypatch.setattr(vllm_generation, name, make, raising=False)
    monkeypatch.setattr(vllm_generation, "SamplingParams", dict, raising=False)
    monkeypatch.setattr(vllm_generation, "is_vllm_available", lambda: True)
    for variable in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(variable, {"WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}.get(variable, "0"))
    return stands


@pytest.mark.parametrize("mode", ["server", "colocate"])
@pytest.mark.parametrize("pictures", [1, 2])
def test_what_vllm_writes_keeps_its_scores_and_advantages(mode, pictures, stands, tmp_path):
    shown = [row["image"] for row in noise_rows(4)]
    rows = [
        {"images": shown[n : n + pictures], "prompt": row["prompt"], "image_index": pictures - 1}
        for n, row in enumerate(noise_rows(2))
    ]
    trainer = grpo_trainer(
        tiny("llava_clip_llama"),
        rows,
        tmp_path,
        Watched,
        method=COPO(),
        scoring=Scoring(outcome="grounding"),
        use_vllm=True,
        vllm_mode=mode,
        max_steps=2,
    )
    trainer.train()
    (vllm,) = stands
    assert trainer.seen == 2 * trainer.args.gradient_accumulation_steps
    assert vllm.pushed >= 2 and vllm.written == 2 * 2 * GROUP
    lengths = {length for length, _ in vllm.asked}
    assert min(lengths) > 16 * pictures  # the places of the pictures are in the ids
    counts = {
        len(said["mm_placeholders"]["image"]) if isinstance(said, dict) else _count(said) for _, said in vllm.asked
    }
    assert counts == {pictures}


@pytest.mark.parametrize("mode", ["server", "colocate"])
def test_vllm_gets_rows_of_text_beside_those_with_pictures(mode, stands, tmp_path):
    rows = [{"images": [row["image"]] * (n % 2), "prompt": row["prompt"]} for n, row in enumerate(noise_rows(2))]
    settings = {"use_vllm": True, "vllm_mode": mode, "max_steps": 1}
    trainer = grpo_trainer(tiny("llava_clip_llama"), rows, tmp_path, method=GRPO(), **settings)
    trainer.train()
    (vllm,) = stands
    assert {length > 16: said is not None for length, said in vllm.asked} == {False: False, True: True}
    (line,) = [line for line in trainer.state.log_history if "loss" in line]
    assert line["grad_norm"] > 0


def _count(said):
    return len(said) if isinstance(said, list) else 1
