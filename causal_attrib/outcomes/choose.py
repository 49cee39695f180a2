"""From the name of an outcome to the outcome."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from causal_attrib.choices import OutcomeName, OutcomeWords
from causal_attrib.outcomes.base import Outcome
from causal_attrib.outcomes.function import Function, import_outcome
from causal_attrib.outcomes.grounding import Grounding
from causal_attrib.outcomes.likelihood import Likelihood
from causal_attrib.outcomes.match import Match
from causal_attrib.outcomes.names import BEST_FOR_CAPTIONS, check_given, check_name
from causal_attrib.outcomes.objects import Objects, annotated_objects
from causal_attrib.outcomes.yesno import YesNo
from causal_attrib.vlm import Encoding


def choose_outcome(
    name: OutcomeName | str,
    encoding: Encoding,
    objects: list[str] | None = None,
    *,
    words: OutcomeWords = "all",
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Outcome:
    """The outcome called `name` for this encoding.

    "auto" is the likelihood of the answer where there is one, the objects where they are annotated, and otherwise
    grounding, which finds false words however many there are (docs/choosing-an-outcome.md).

    Args:
        words: which words grounding looks at.
        tokenizer: of the model, which tells them in sampled completions.

    Raises:
        InputError: there is no such outcome, or what it compares with was not given.
    """
    check_name(name)
    if name == "auto":
        if encoding.answers_a_question:
            name = "likelihood"
        else:
            name = "objects" if objects is not None else BEST_FOR_CAPTIONS
    answer = encoding.answer if encoding.answers_a_question else None
    check_given(name, answer=answer is not None, objects=objects is not None)
    match name:
        case "likelihood":
            return Likelihood()
        case "match":
            assert answer is not None
            return Match(answer)
        case "objects":
            assert objects is not None
            return Objects(annotated_objects(objects))
        case "yesno":
            return YesNo()
        case "grounding":
            return Grounding(encoding.against, words, tokenizer)
    return Function(name, import_outcome(name), encoding.answer)
