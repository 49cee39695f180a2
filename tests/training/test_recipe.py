"""Recipes: what keys there are, how a file and flags come together, and the examples."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.file import changes, read_recipe, split_words, write_recipe
from causal_attrib.training.recipe.keys import METHOD, SCORES, Recipe, keys
from causal_attrib.training.recipe.method import METHODS
from causal_attrib.training.recipe.papers import PAPERS
from causal_attrib.training.scoring.policy_scores import Scoring

EXAMPLES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


def in_group(name):
    return {key.name: key for key in keys() if key.metadata["group"] == name}


def test_numbers_in_one_text_are_told_to_be_a_list(file):
    with pytest.raises(InputError, match=r"'weights' of the recipe is '0.7, 0.1'; give a list, such as \[1, 0.5\]"):
        read_recipe(file("method: cepo\nweights: 0.7, 0.1\n"))


def test_every_setting_of_a_method_is_a_key_and_help_tells_its_default():
    ours = in_group(METHOD)
    settings = {field.name for kind in METHODS.values() for field in dataclasses.fields(kind)}
    assert set(ours) == {"method", *settings}
    for kind in METHODS.values():
        for field in dataclasses.fields(kind):
            told = ours[field.name].metadata["shown"].split(";")[0]
            told = [float(part) for part in told.split(",")] if "," in told else yaml.safe_load(told)
            wanted = list(field.default) if isinstance(field.default, tuple) else field.default
            # Where methods share a key, one that has another default is told behind the others.
            behind = f"{kind.name} {wanted}" in ours[field.name].metadata["shown"]
            assert told == wanted or behind, field.name
    assert "hero 0.6" in ours["keep"].metadata["shown"]


def test_every_method_says_where_it_comes_from():
    assert set(PAPERS) == set(METHODS)
    assert all(paper.authors for paper in PAPERS.values() if paper.arxiv)


def test_every_setting_of_scores_is_a_key():
    names = {field.name for field in dataclasses.fields(Scoring)} - {"batch_size"}
    assert set(in_group(SCORES)) == names | {"scoring_batch_size"}
    for name in names - {"samples", "estimator", "coupling"}:
        assert in_group(SCORES)[name].metadata["shown"] == str(getattr(Scoring(), name))


def test_flags_go_before_the_file_and_that_before_the_defaults(file):
    path = file("method: copo\nlambda_s: 0.2\nlearning-rate: 1e-4\nreward: numeric\n")
    recipe = read_recipe(path, {"lambda_s": 0.1, "lambda_n": None, "seed": None})
    assert (recipe.lambda_s, recipe.lambda_n, recipe.learning_rate) == (0.1, None, 1e-4)
    assert (recipe.reward, recipe.seed, recipe.output_dir) == (["numeric"], 0, "runs/copo")


def test_another_method_by_a_flag_leaves_the_files_method_block_out(file):
    path = file("method: copo\nlambda_s: 0.2\nseed: 3\n")
    assert read_recipe(path, {"method": "hero"}) == Recipe(method="hero", seed=3)
    assert read_recipe(path, {"method": "copo"}).lambda_s == 0.2


def test_flags_of_trl_come_as_words():
    words = ["--top-p", "0.9", "--epsilon_high=0.28", "--disable-dropout", "--generation-kwargs", "{top_k: 5}"]
    wanted = {"top_p": 0.9, "epsilon_high": 0.28, "disable_dropout": True, "generation_kwargs": {"top_k": 5}}
    told, bare = split_words(["checkpoint-3", *words, "stray"])
    assert told == read_recipe(None, told).others == wanted and bare == ["checkpoint-3", "stray"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_steps: many", "'max_steps' of the recipe is 'many'; give a whole number"),
        ("max_steps: 2.5", "give a whole number"),
        ("learning_rate: fast", "give a number"),
        ("full: 3", "give true or false"),
        ("method: [copo]", "give text"),
        (
            "spoil: no",
            "'spoil' of the recipe is false, which YAML makes of no and off; give none, or the text in",
        ),
        ("model: yes", "'model' of the recipe is true, which YAML makes of yes and on; give the text in quotes"),
        ("seed: 1\nmethod: [", "line 2 is not YAML"),
        ("just words", "holds no keys with values"),
        ("- a\n- b", "holds no keys with values"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_a_sentence(file, text, said):
    with pytest.raises(InputError) as error:
        read_recipe(file(text))
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_there():
    with pytest.raises(InputError, match="There is no recipe nowhere.yaml"):
        read_recipe("nowhere.yaml")


def test_what_is_written_is_read_again(tmp_path):
    values = {"method": "cepo", "weights": [0.7, 0.1, 0.1, 0.1], "learning_rate": 1e-05, "top_p": 0.9, "full": True}
    write_recipe(tmp_path / "recipe.yaml", values, "a comment")
    recipe = read_recipe(tmp_path / "recipe.yaml")
    assert recipe == Recipe(
        method="cepo", weights=[0.7, 0.1, 0.1, 0.1], learning_rate=1e-5, full=True, others={"top_p": 0.9}
    )


def test_changes_are_told():
    assert changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b was 2 and is 3", "c was None and is 4"]


def test_the_examples_differ_in_the_method_block_only():
    recipes = {path.stem: yaml.safe_load(path.read_text()) for path in EXAMPLES.glob("*.yaml")}
    assert {name: values["method"] for name, values in recipes.items()} == {name: name for name in METHODS}
    block = set(in_group(METHOD))
    shared = [{name: value for name, value in values.items() if name not in block} for values in recipes.values()]
    assert all(values == shared[0] for values in shared)
    assert shared[0] and not set(shared[0]) - {key.name for key in keys()}


@pytest.mark.parametrize("name", METHODS)
def test_the_examples_say_what_the_method_would_do_by_itself(name):
    recipe = read_recipe(EXAMPLES / f"{name}.yaml")
    for setting, value in recipe.group(METHOD).items():
        if setting not in ("method", "draws"):  # fewer draws: the example is small
            default = getattr(METHODS[name](), setting)
            assert value == (list(default) if isinstance(default, tuple) else default), setting


@pytest.mark.parametrize("name", ("fsdp", "deepspeed_zero2", "deepspeed_zero3"))
def test_accelerate_takes_the_ready_configs(name):
    pytest.importorskip("accelerate")
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(EXAMPLES / "accelerate" / f"{name}.yaml"))
    assert config.distributed_type.value in ("FSDP", "DEEPSPEED") and config.num_processes > 1


def test_the_page_has_every_key_as_help_has_it():
    page = (EXAMPLES.parents[1] / "docs" / "training.md").read_text()
    for key in keys():
        assert f"| `{key.name}` |" in page and f" {key.metadata['help']} |" in page, key.name


@pytest.mark.parametrize(
    "text, said",
    [
        ("a: " + "[" * 5000, "is nested too deeply for a recipe"),
        ("max_steps: " + "9" * 5000, "holds a value that cannot be read .*digits"),
        ("max_steps: .nan", "'max_steps' of the recipe is nan"),
        ("max_steps: .inf", "'max_steps' of the recipe is inf"),
        ("learning_rate: .nan", "'learning_rate' of the recipe is nan"),
    ],
)
def test_what_no_recipe_can_hold_is_told(tmp_path, text, said):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(InputError, match=said):
        read_recipe(tmp_path / "recipe.yaml")
