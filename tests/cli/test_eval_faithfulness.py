"""`copo eval faithfulness`: the table, the JSON, and what is refused before the model is loaded."""

import json

import pytest

QUICK = ("eval", "faithfulness", "--scenes", 2, "--steps", 2, "--orders", 19, "--bootstrap", 200)
METRICS = ("beats_chance", "below_random", "deletion", "insertion", "pointing", "mass_above_area")


def test_methods_are_ranked(copo, tmp_path):
    out = tmp_path / "ranked.json"
    result = copo(*QUICK, "--methods", "gradient, gradient_x_input", "--out", out)
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert (record["schema"], record["benchmark"], record["unit"]) == (1, "faithfulness", "percent")
    assert record["settings"]["methods"] == ["gradient", "gradient_x_input"] and record["settings"]["scenes"] == 2
    assert sorted(one["method"] for one in record["methods"]) == ["edges", "gradient", "gradient_x_input", "mask"]
    for one in record["methods"]:
        assert one["maps"] == record["methods"][0]["maps"] >= 2 and one["scenes"] == 2
        assert all(one[name]["low"] <= one[name]["value"] <= one[name]["high"] for name in METRICS)
        assert one["method"] in result.stdout
    shares = [one["beats_chance"]["value"] for one in record["methods"]]
    assert shares == sorted(shares, reverse=True)
    (mask,) = (one for one in record["methods"] if one["method"] == "mask")
    assert mask["pointing"]["value"] == 100 and mask["mass_above_area"]["value"] > 50
    # Without --out the same record goes to stdout.
    assert json.loads(copo(*QUICK, "--methods", "gradient, gradient_x_input", "--json").stdout) == record


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--methods", "gradient,magic"], "magic"),
        (["--methods", "gradient,gradient"], "named twice"),
        (["--methods", ""], "no method"),
        (["--scenes", 0], "0 scenes"),
        (["--steps", 1], "no middle"),
        (["--orders", 5], "take 19 or more"),
        (["--baseline", "noise"], "no baseline"),
        (["--bootstrap", 10], "resamples"),
        (["--seed", -1], "seed"),
        (["--out", "nowhere/ranked.json"], "cannot be written"),
    ],
)
def test_bad_input_is_told_before_the_model_is_loaded(refused, flags, message):
    assert message in refused("eval", "faithfulness", *flags, "--model", "no such folder")


def test_attention_says_what_it_needs(refused):
    assert "eager" in refused(*QUICK, "--methods", "attention")
