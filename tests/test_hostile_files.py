"""Recipes, calibrations and adapters of strangers: right, or one `InputError`, and nothing else."""

import json
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import causal_attrib
from causal_attrib import InputError
from causal_attrib.scores.verdict import BUNDLED, read_calibration
from tests.fuzz import fuzz

RECIPE = (
    "method: copo\ndata: rows.jsonl\nlambda_s: 0.35\nreward: [match]\nmax_steps: 20\nlearning_rate: 1e-4\nfull: no\n"
)
edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 8), st.text(max_size=6)), min_size=1, max_size=4)


def changed(text, edits):
    """The text with some of its characters cut out and others put in."""
    for share, cut, new in edits:
        at = int(share * len(text))
        text = text[:at] + new + text[at + cut :]
    return text


def only_input_errors(call):
    try:
        call()
    except InputError as error:
        assert str(error) and "\n" not in str(error)


@fuzz
@given(edits=edits)
def test_recipes(edits, tmp_path_factory):
    pytest.importorskip("yaml")
    from causal_attrib.training.recipe.check import check_recipe
    from causal_attrib.training.recipe.file import read_recipe

    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_bytes(changed(RECIPE, edits).encode("utf-8", "surrogatepass"))
    only_input_errors(lambda: check_recipe(read_recipe(path)))


_CALIBRATION = json.loads(BUNDLED.read_text())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@fuzz
@given(edits=edits, value=json_values, key=st.sampled_from(sorted(_CALIBRATION["calibrations"][0])))
def test_calibrations(edits, value, key, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "calibration.json"
    path.write_bytes(changed(BUNDLED.read_text(), edits).encode("utf-8", "surrogatepass"))
    only_input_errors(lambda: read_calibration(path, "token"))
    first, *rest = _CALIBRATION["calibrations"]
    path.write_text(json.dumps({**_CALIBRATION, "calibrations": [{**first, key: value}, *rest]}))
    only_input_errors(lambda: read_calibration(path, "token"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """An adapter of the bundled model, as peft saves it."""
    peft = pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("adapter")
    vlm = causal_attrib.load()
    tuned = peft.get_peft_model(vlm.model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    tuned.save_pretrained(folder)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "bundled"}))
    return folder, config.read_text(), (folder / "adapter_model.safetensors").read_bytes()


@fuzz(every=20)
@given(edits=edits)
def test_configs_of_adapters(edits, adapter):
    folder, config, weights = adapter
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "adapter_config.json").write_bytes(changed(config, edits).encode("utf-8", "surrogatepass"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        only_input_errors(lambda: causal_attrib.load(str(folder)))


@fuzz(every=20)
@given(share=st.floats(0, 1), new=st.binary(min_size=1, max_size=8))
def test_weights_of_adapters(share, new, adapter):
    """Bytes of a safetensors file, most often of its header, are changed."""
    folder, config, weights = adapter
    (folder / "adapter_config.json").write_text(config)
    at = int(share**4 * (len(weights) - len(new)))
    (folder / "adapter_model.safetensors").write_bytes(weights[:at] + new + weights[at + len(new) :])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        only_input_errors(lambda: causal_attrib.load(str(folder)))
