"""`copo train`: every recipe, a dry run, a run that is killed, and what is refused before anything is loaded."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

import causal_attrib
from causal_attrib.scenes import write_dataset
from causal_attrib.training.recipe.file import read_recipe
from causal_attrib.training.trainers.checkpoints import last_checkpoint
from tests.tiny_models import tiny
from tests.training.runs import SMALL

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "examples" / "recipes"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("scenes") / "four", 4, 0)


@pytest.fixture
def flags(scenes, tmp_path):
    """The flags of a small run on scenes, into `out` of the test's own folder."""

    def make(**more):
        settings = {"data": scenes, "output_dir": tmp_path / "out", **SMALL, **more}
        return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]

    return make


def history(folder):
    """What was logged, without times."""
    entries = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    timed = ("seconds/", "step_time", "copo/score_seconds", "train_", "eval_")
    return [
        {name: value for name, value in entry.items() if not name.startswith(timed)}
        for entry in entries
        if "loss" in entry
    ]


@pytest.mark.parametrize("name", ("grpo", "hero", "cepo", "papo", "symmpo"))
def test_every_recipe_runs(copo, flags, name, tmp_path):
    result = copo("train", "--config", RECIPES / f"{name}.yaml", *flags())
    assert result.exit_code == 0, result.output
    assert result.stdout == "" and "1/1  loss" in result.stderr
    out = tmp_path / "out"
    (entry,) = history(out)
    assert entry["grad_norm"] is not None
    # What was run is written down, and is a recipe itself.
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    assert recipe["method"] == name and recipe["max_steps"] == 1 and recipe["learning_rate"] == 1e-4
    again = read_recipe(out / "recipe.yaml")
    assert (again.method, again.output_dir, again.others) == (name, str(out), {})
    assert json.loads((out / "versions.json").read_text())["copo"] == causal_attrib.__version__
    assert (out / "adapter_model.safetensors").is_file()
    if name == "symmpo":
        # Before the first step the policy is the reference (methods 6: 4 ln 2).
        assert entry["loss"] == pytest.approx(2.7726, abs=1e-3)


def test_the_example_for_captions_runs(copo, flags, scenes, tmp_path):
    result = copo(
        "train", "--config", ROOT / "examples" / "captions.yaml", *flags(data=scenes / "captions.jsonl"), "--dry-run"
    )
    assert result.exit_code == 0, result.output
    assert "\nscores" in result.stdout and "Describe this image." in result.stdout


def test_a_killed_run_goes_on_as_if_nothing_had_happened(copo, flags, scenes, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def words(folder):
        return ["train", "--config", str(RECIPES / "copo.yaml"), *flags(max_steps=3, output_dir=folder)]

    assert copo(*words(whole)).exit_code == 0
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        [sys.executable, "-m", "causal_attrib_cli.main", *words(killed)],
        env=environment,
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    patience = time.monotonic() + 240
    while last_checkpoint(killed) is None and running.poll() is None and time.monotonic() < patience:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (killed / "adapter_model.safetensors").exists()

    result = copo(*words(killed), "--resume", "--top-p", "1.0")
    assert result.exit_code == 0, result.output
    assert f"Going on from {killed}/checkpoint-" in result.stderr
    assert "Not as before: top_p was None and is 1.0." in result.stderr
    assert len(history(whole)) == 3 and history(killed) == history(whole)
    # Killed while it wrote its result, it goes on from its end.
    (killed / "adapter_model.safetensors").write_bytes(b"half")
    result = copo(*words(killed), "--resume")
    assert result.exit_code == 0 and "which is the end: nothing is trained" in result.stderr, result.output
    assert history(killed) == history(whole)
    assert (killed / "adapter_model.safetensors").read_bytes() == (whole / "adapter_model.safetensors").read_bytes()
    # The adapter that came of it is scored as it is.
    scored = copo("score", scenes / "images" / "000000.png", "a dog", "--model", killed, "--json")
    assert scored.exit_code == 0 and json.loads(scored.stdout)["tokens"]
    # Every line of the log has its completions in the file beside it.
    assert (whole / "completions.txt").read_text().count("step 3") == 2


def test_a_dry_run_goes_through_every_phase_and_leaves_nothing(copo, flags, scenes, tmp_path):
    result = copo("train", *flags(eval_file=scenes, temperature=1.5, max_steps=7), "--dry-run")
    assert result.exit_code == 0, result.output
    for phase in ("load", "sample completions", "rewards", "scores", "update", "evaluation of two rows", "save the"):
        assert f"\n{phase}" in result.stdout
    assert "7 updates of" in result.stdout and "MB on disk" in result.stdout
    assert "reward  advantage  completion" in result.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", (["--dry-run"], []))
def test_a_loss_of_trl_that_is_not_the_formulas_is_told(more, copo, flags, tmp_path):
    """TRL scales the logits of Aya Vision, and transformers does not."""
    vlm = tiny("aya_vision")
    vlm.model.save_pretrained(tmp_path / "aya")
    vlm.processor.save_pretrained(tmp_path / "aya")
    result = copo("train", *flags(method="grpo", model=tmp_path / "aya"), *more)
    assert result.exit_code == 0, result.output
    assert "of a batch for which the formula gives" in result.stderr


def test_a_reward_that_never_varies_is_told(copo, flags):
    result = copo("train", *flags(method="grpo", reward="tests.training.runs:constant"))
    assert result.exit_code == 0, result.output
    assert "Warning: No reward has varied so far (all are 1)" in result.stderr


def test_a_reward_that_returns_no_list_is_named_and_ends_the_run(copo, flags):
    result = copo("train", *flags(method="grpo", reward="tests.training.runs:alike"))
    assert result.exit_code == 2, result.output
    said = "Error: The reward tests.training.runs:alike returned 1.0; return a list of one number per completion.\n"
    assert result.stderr.endswith(said)


def test_a_gate_over_one_prompt_is_told(copo, flags):
    result = copo("train", *flags(method="hero"), "--save-strategy", "no")
    assert result.exit_code == 0, result.output
    assert "Warning: The gate keeps all of the 1 prompts that are sampled at once, 100% and not 60%" in result.stderr


def test_evaluation_during_the_run(copo, flags, scenes, tmp_path):
    path = tmp_path / "two.jsonl"
    rows = [json.loads(line) for line in (scenes / "questions.jsonl").read_text().splitlines()[:2]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = {"method": "grpo", "eval_file": path, "image_root": scenes / "images"}
    result = copo("train", *flags(**more), "--full")
    assert result.exit_code == 0, result.output
    assert "eval reward" in result.stderr
    entries = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert any("eval_rewards/match/mean" in entry for entry in entries)
    assert (tmp_path / "out" / "model.safetensors").is_file()


# -- what is refused --------------------------------------------------------------------------------------------------


def test_a_key_that_nobody_knows(refused, flags):
    assert "no key 'lamda_s' in a recipe; did you mean 'lambda_s'?" in refused("train", *flags(lamda_s=0.1))
    assert "copo takes no key 'max_length'" in refused("train", *flags(max_length=10))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"method": "ppo"}, "There is no method 'ppo'; choose one of grpo, copo"),
        ({"method": "hero", "lambda_s": 0.1}, "The method hero has no setting 'lambda_s'"),
        ({"method": "grpo", "outcome": "match"}, "The key 'outcome' is for copo"),
        ({"lambda_s": 3}, "lambda_s"),
        ({"outcome": "objects"}, "row 1 has no key 'objects', which the outcome objects needs"),
        ({"reward": "bertscore"}, "There is no reward 'bertscore'"),
        ({"reward": "objects"}, "The reward objects needs the column 'objects'"),
        ({"reward": "tests.training.runs:scene_rows"}, "end its parameters with **_"),
        ({"reward": "numeric"}, "which holds no number"),
        ({"num_generations": 3}, "must be divisible by num_generations"),
        ({"per_device_train_batch_size": 2000}, "rows, but completions of 1000 prompts are sampled at once"),
        ({"steps_per_generation": 2, "save_steps": 1}, "save_steps is 1, but completions are used for 2 steps"),
        ({"report_to": "carrier_pigeon"}, "There is no tracker 'carrier_pigeon'"),
        ({"use_vllm": None}, "use_vllm needs vLLM"),
        ({"full": None, "load_in_4bit": None}, "Quantised weights cannot be trained themselves"),
        ({"model": "nowhere"}, "nowhere"),
        ({"data": "nowhere.jsonl"}, "There is no file nowhere.jsonl"),
        ({"data": "."}, "is a folder, but none that `copo scenes`"),
        ({"config": "nowhere.yaml"}, "There is no recipe nowhere.yaml"),
        ({"output_dir": "/dev/null/out"}, "cannot be written"),
        ({"resume": "nowhere"}, "nowhere is no checkpoint that can be resumed"),
        (
            {"resume_from_checkpoint": "nowhere"},
            "The key resume_from_checkpoint is not read; go on with a run by --res",
        ),
        ({"loss_type": "gspo"}, "set importance_sampling_level: sequence"),
        ({"method": "symmpo", "label_smoothing": 0.1}, "on which 'label_smoothing' has no effect; leave it out"),
        ({"temperature": "nan"}, "The key 'temperature' of the recipe is nan; give a number"),
        ({"method": "cepo", "reward": "tests.training.runs:halves_later"}, "is asynchronous, which cepo does not take"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(refused, flags, monkeypatch, more, said):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    words = [word for word in flags(**more) if word != "None"]
    assert said in refused("train", *words)


def test_every_reward_has_its_weight(refused, flags):
    words = [*flags(reward="match", reward_weights=0.5), "--reward", "format"]
    assert "There are 2 rewards and 1 reward_weights" in refused("train", *words)


def test_data_is_checked_row_by_row(refused, flags, tmp_path):
    path = tmp_path / "rows.jsonl"

    def say(row):
        path.write_text(json.dumps(row) + "\n")
        return refused("train", *flags(data=path))

    assert "There is no file" in say({"image": "gone.png", "prompt": "What is it?", "answer": "a dog"})
    park = str(ROOT / "examples" / "park.png")
    assert "has no key 'prompt' (it has 'image', 'ask')" in say({"image": park, "ask": "What is it?"})
    two = {"images": [park, park], "prompt": "<image> What is it?", "answer": "a dog"}
    assert "line 1: its prompt has 1 place for pictures and it has 2 pictures; give one place for each" in say(two)
    (tmp_path / "broken.png").write_text("no picture")
    broken = {"image": "broken.png", "prompt": "What is it?", "answer": "a dog"}
    assert "is not an image that can be read" in say(broken)
    for name in ("prompts", "completions", "completion"):
        row = {"image": park, "prompt": "What is it?", "answer": "a dog", name: "x"}
        assert f"row 1 has a column '{name}', a name that TRL uses itself" in say(row)


def test_a_folder_with_a_run_in_it_and_the_wrong_kind_of_run(copo, refused, flags, tmp_path):
    checkpoint = tmp_path / "out" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text('{"global_step": 1}')
    (checkpoint / "adapter_config.json").write_text('{"r": 16}')
    (checkpoint / "optimizer.pt").touch()
    assert "holds the checkpoints of another run; go on with it by --resume" in refused("train", *flags())
    assert "holds an adapter, but this run trains the whole model" in refused("train", *flags(), "--full", "--resume")
    more = {"method": "grpo", "num_iterations": 2, "save_steps": 2}
    assert "stands between two updates of one sampling, which takes 2" in refused("train", *flags(**more), "--resume")
    said = refused("train", *flags(model=checkpoint), "--resume")
    assert "is an adapter; go on with its run by --resume, or make one model of it first" in said


def test_fsdp_is_refused_for_methods_that_run_parts_of_the_model(refused, flags, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", "1")
    assert "which FSDP 1 has split up; use FSDP 2 (fsdp_version: 2), ZeRO-2, DDP" in refused("train", *flags())
    assert "The method cepo has not been tried under FSDP 1" in refused("train", *flags(method="cepo"))


def test_a_missing_package_is_named(refused, flags, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "trl" else object())
    assert "copo train needs trl: pip install 'copo[train]'" in refused("train", *flags())


def test_help_lists_every_key(copo):
    result = copo("train", "--help")
    assert result.exit_code == 0
    for flag in ("--lambda-s", "--reward", "--resume", "--dry-run", "--num-generations"):
        assert flag in result.stdout
