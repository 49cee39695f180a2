"""Scores that do not repeat, and engines that are wrong."""

import random
from dataclasses import replace

import pytest

from causal_attrib.doctor.scoring import deterministic, difference, engines
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.results.attribution import Attribution
from causal_attrib.vlm import VLM


def test_a_healthy_model_repeats_itself(healthy, case):
    check = deterministic(case(healthy))
    assert check.passed and check.measured == 0


def test_dropout(clone, case):
    vlm = clone()
    vlm.model.train()
    for module in vlm.model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.1
    check = deterministic(case(vlm))
    assert check.passed is False and check.measured > 0 and "dropout" in check.detail


def test_words_drawn_without_the_seed(clone, case):
    class Careless(VLM):
        def write(self, encoding, row, longest, noises=(None,)):
            seed = random.SystemRandom().randrange(2**31)
            return super().write(encoding, row, longest, [GumbelNoise(seed, 0, k) for k in range(len(noises))])

    assert deterministic(case(clone(Careless))).passed is False


def test_without_a_faster_engine_there_is_nothing_to_compare(healthy, case):
    check = engines(case(healthy), {})
    assert check.passed is None and "plain" in check.detail


def shifted(attribution: Attribution, **by) -> Attribution:
    tokens = [replace(token, **{name: getattr(token, name) + by[name] for name in by}) for token in attribution.tokens]
    return replace(attribution, tokens=tokens)


@pytest.mark.parametrize("name", ["logprob", "sufficiency", "necessity"])
@pytest.mark.parametrize("by, passed", [(0, True), (1e-6, True), (1e-3, False)])
def test_a_faster_engine_is_compared_with_the_plain_one(healthy, case, name, by, passed):
    examined = case(healthy)
    plain = examined.score(engine="plain")
    named = {engine: replace(plain, settings={**plain.settings, "engine": engine}) for engine in ("right", "fast")}
    check = engines(examined, {"right": lambda: named["right"], "fast": lambda: shifted(named["fast"], **{name: by})})
    assert check.passed is passed and check.measured == pytest.approx(by, abs=1e-7)
    if not passed:
        assert "fast" in check.detail and "right" not in check.detail


def test_an_engine_that_gave_way_to_the_plain_one_is_reported(healthy, case):
    examined = case(healthy)
    check = engines(examined, {"fast": lambda: examined.score(engine="plain")})
    assert check.passed is None and "fast gives other numbers" in check.detail


def test_difference_of_an_attribution_from_itself(healthy, case):
    attribution = case(healthy).attribution
    assert difference(attribution, attribution) == 0
