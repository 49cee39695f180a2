"""Pages and figures of training runs, of logs written by hand."""

import json
import re

import pytest

from causal_attrib.errors import InputError
from causal_attrib.views.training_log import TrainingRun, is_run, read_run, read_samples
from causal_attrib.views.training_page import curves, page


def entries(*rewards, **more):
    return [
        {"step": step, "loss": 0.0, "reward": reward, "seconds/sample": 2.0, "seconds/update": 1.0, "kl": None} | more
        for step, reward in enumerate(rewards, start=1)
    ]


def sample(step, tokens=("a", " dog"), added=(0.5, -0.25), prompt="What is it?"):
    return {
        "step": step,
        "prompt": prompt,
        "reference": "dog",
        "reward": 1.0,
        "advantage": 0.5,
        "tokens": list(tokens),
        "added": None if added is None else list(added),
    }


def write(folder, lines, samples=(), at=""):
    (folder / at).mkdir(parents=True, exist_ok=True)
    (folder / at / "trainer_state.json").write_text(json.dumps({"log_history": lines, "global_step": len(lines)}))
    (folder / "completions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    (folder / "recipe.yaml").write_text("# a run\nmethod: copo\nseed: 1\nreward:\n- match\n")
    return folder


def test_curves_are_of_what_was_logged():
    scores = {"copo/sufficiency": 0.1, "copo/dependency": 0.2, "copo/spoilt_kl": 0.3}
    logged = [*entries(0.25, 0.5, **scores), {"step": 2, "eval_reward": 0.75}]
    plot = curves([TrainingRun("a", logged)])
    drawn = {ax.get_title(loc="left"): ax for ax in plot.axes if ax.axison}
    depends = "dependence on the picture, nats per token"
    assert set(drawn) == {"reward", "scores", depends, "loss", "seconds between two lines of the log"}
    assert [line.get_ydata().tolist() for line in drawn[depends].lines] == [[0.2, 0.2], [0.3, 0.3]]
    assert [line.get_xydata().tolist() for line in drawn["reward"].lines] == [[[1, 0.25], [2, 0.5]], [[2, 0.75]]]
    # A logged None is no point, and panels without a point are left out.
    with pytest.raises(InputError, match="Nothing has been logged yet"):
        curves([TrainingRun("a", [{"step": 1, "kl": None}])])


def test_several_runs_share_panels():
    plot = curves([TrainingRun("a$b$", entries(0.25)), TrainingRun("_b", entries(0.5, 0.5))])
    (reward, *_) = plot.axes
    assert [line.get_ydata().tolist() for line in reward.lines] == [[0.25], [0.5, 0.5]]
    assert [text.get_text().strip() for text in reward.get_legend().get_texts()] == ["a$b$", "_b"]
    # A run of one update is a point, in every panel.
    assert [[line.get_marker() for line in ax.lines] for ax in plot.axes if ax.axison and ax.lines] == [[".", ""]] * 3
    text = page([TrainingRun("a", entries(0.25), [], {"seed": "1"}), TrainingRun("b", entries(0.5), [], {"seed": "2"})])
    assert "What differs between the recipes" in text and "<td>1</td><td>2</td>" in text


def test_a_page_says_what_the_log_says_and_runs_nothing():
    hostile = sample(2, ["<script>alert(1)</script>", "\x1b"], [0.5, 0.0], prompt="<b>\u202ewhat</b>")
    text = page([TrainingRun("<i>run</i>", entries(0.25, 0.5), [sample(1), hostile], {"method": "copo"})])
    assert re.search(r"<th scope='row'>reward</th><td>0.25</td><td>0.5</td>", text)
    assert "default-src 'none'" in text and not re.search(r"<script|<b>|<i>|\x1b|https?://", text)
    assert "<span class='up s5' title='+0.50'>a</span> <span class='down s3' title='-0.25'>dog</span>" in text
    assert text.index("update 1 ·") < text.index("update 2 ·")


def test_a_long_run_shows_completions_of_all_of_it():
    text = page([TrainingRun("a", entries(0.25), [sample(step, added=None) for step in range(1, 401)])])
    shown = [int(step) for step in re.findall(r"update (\d+) ·", text)]
    assert len(shown) == 40 and shown[-1] == 400 and shown[0] < 20


def test_a_run_that_goes_on_is_read_from_its_last_checkpoint(tmp_path):
    write(tmp_path, entries(0.25), at="checkpoint-9")
    write(tmp_path, entries(0.25, 0.5), [sample(1), sample(2, ["old"]), sample(2, ["new"])], at="checkpoint-10")
    run = read_run(tmp_path)
    assert run.series("reward") == ([1, 2], [0.25, 0.5]) and run.recipe == {"method": "copo", "seed": "1"}
    assert is_run(tmp_path) and not is_run(tmp_path / "checkpoint-9" / "none")
    # It was resumed from a checkpoint that came before its end.
    write(tmp_path, entries(0.25), at="")
    assert len(read_run(tmp_path).entries) == 2


def test_completions_of_updates_that_were_gone_over_again_count_once(tmp_path):
    write(tmp_path, entries(0.5), [sample(1), sample(2, ["old"]), sample(3, ["old"]), sample(2, ["new"]), sample(2)])
    kept = [(one["step"], one["tokens"][0]) for one in read_samples(tmp_path / "completions.jsonl")]
    assert kept == [(1, "a"), (2, "old"), (2, "new"), (2, "a")]


@pytest.mark.parametrize("text", ["{", "[]", '{"log_history": 3}', '{"log_history": [3]}', "\x00"])
def test_a_damaged_log_is_refused(tmp_path, text):
    (tmp_path / "trainer_state.json").write_text(text)
    with pytest.raises(InputError, match="cannot be read as the log of a training run"):
        read_run(tmp_path)


@pytest.mark.parametrize("line", ["{", "3", "{}", '{"step": 1, "tokens": 3, "reward": 1}'])
def test_damaged_completions_are_refused(tmp_path, line):
    write(tmp_path, entries(0.5))
    (tmp_path / "completions.jsonl").write_text(json.dumps(sample(1)) + "\n" + line + "\n")
    with pytest.raises(InputError, match="completions.jsonl line 2 is no sampled completion"):
        read_run(tmp_path)


def test_no_run(tmp_path):
    with pytest.raises(InputError, match="nor a training log .trainer_state.json.; give .* the output folder"):
        read_run(tmp_path)
