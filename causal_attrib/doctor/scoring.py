"""Do scores come out the same, twice and by every engine?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from causal_attrib.doctor.case import Case
from causal_attrib.doctor.report import Check
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.results.attribution import Attribution
from causal_attrib.vlm import Continuation

_COMPARED = ("logprob", "sufficiency", "necessity")


def deterministic(case: Case) -> Check:
    """The same scores twice are the same bits, and the same seed draws the same words."""
    first, second = case.attribution, case.score()
    noise = GumbelNoise(case.seed, 0, 0)
    drawn = [case.vlm.write(case.encoding, Continuation(()), len(case.ids), [noise]) for _ in range(2)]
    same = _but_for_time(first) == _but_for_time(second) and drawn[0] == drawn[1]
    return Check(
        "deterministic",
        same,
        "Scored twice, the caption gets the same numbers, bit for bit."
        if same
        else "Scored twice, the caption gets different numbers: dropout is on, or a kernel adds up in no fixed order; "
        "call model.eval(), or try --attn-implementation eager.",
        difference(first, second),
        "at most",
        0.0,
        "",
    )


def engines(case: Case, scorers: Mapping[str, Callable[[], Attribution]]) -> Check:
    """Every engine that is faster than the plain one gives its numbers.

    Args:
        scorers: by name of the engine, what scores the case's caption with it.
    """
    if not scorers:
        return Check.skipped("engines", "This architecture is served by the plain engine alone, which defines right.")
    plain = case.score(engine="plain")
    scored = {name: scorer() for name, scorer in scorers.items()}
    refused = [name for name, attribution in scored.items() if attribution.settings["engine"] != name]
    if refused:
        return Check.skipped(
            "engines",
            f"The engine {refused[0]} gives other numbers on this model than ordinary forwards and is not used; scores "
            "are right and take longer.",
        )
    differences = {name: difference(plain, attribution) for name, attribution in scored.items()}
    worst = max(differences, key=lambda engine: differences[engine])
    return Check.at_most(
        "engines",
        differences[worst],
        case.equal(case.noise_of_shapes),
        "",
        good=f"Scores by {', '.join(scorers)} equal those of one ordinary forward per edit.",
        bad=f"The engine {worst} gives other scores than one ordinary forward per edit; use --engine plain, and report "
        "it, naming the model.",
    )


def difference(a: Attribution, b: Attribution) -> float:
    """Largest difference between the scores of two attributions of one caption."""
    pairs = (
        (getattr(one, name), getattr(other, name))
        for one, other in zip(a.tokens, b.tokens, strict=True)
        for name in _COMPARED
    )
    return max(abs(one - other) for one, other in pairs if one is not None and other is not None)


def _but_for_time(attribution: Attribution) -> dict:
    record = attribution.to_dict()
    return {**record, "cost": {**record["cost"], "seconds": None}}
