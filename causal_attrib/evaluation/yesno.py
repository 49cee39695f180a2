"""Is a reply a yes or a no? Harnesses disagree, so each way of reading has a name.

official     POPE's script (Li et al., 2023, "Evaluating Object Hallucination in Large Vision-Language Models"): no if
             one of the words No, no, not stands before the first period, else yes. An empty reply is a yes, and so is
             "There isn't a dog".
words        the one of yes and no that is among the words of the reply, if only one of them is
exact        the whole reply is yes or no, in any case of letters; "Yes." is neither
first-token  the first word is yes or no
logprob      the likelier of the first tokens yes and no, from the reply's `logprob_yes` and `logprob_no`

Only `official` always decides. The others leave a reply undecided, and what that counts as is for the caller to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from causal_attrib.errors import InputError
from causal_attrib.words.yes_no import said, words_of

PARSERS = ("official", "words", "exact", "first-token", "logprob")


@dataclass(frozen=True)
class Reply:
    """What a model said to a question: text, or the log-probabilities of yes and no as its first word, or both.

    `key` says which question it is a reply to, `image` which image, where the file tells; `where` is its place in it.
    """

    text: str | None = None
    logprobs: tuple[float, float] | None = None
    key: str | None = None
    image: str | None = None
    where: str = ""


def parse(reply: Reply, parser: str = "official") -> bool | None:
    """True for yes, False for no, None if the parser cannot tell.

    >>> [parse(Reply("Yes, there is no doubt."), name) for name in ("official", "words", "exact", "first-token")]
    [False, None, None, True]
    >>> parse(Reply(logprobs=(-0.2, -1.9)), "logprob")
    True
    """
    if parser not in PARSERS:
        raise InputError(f"There is no parser {parser!r}; choose one of {', '.join(PARSERS)}.")
    if parser == "logprob":
        return _likelier(reply)
    if reply.text is None:
        raise InputError(
            f"{reply.where} has no text, which the parser {parser} reads; give it, or use --parser logprob."
        )
    return _READERS[parser](reply.text)


def says_yes(text: str) -> bool:
    """Whether "yes" is among the words of a reply: where it is not, the official parser's yes is a mere default."""
    return "yes" in said(text)


def _official(text: str) -> bool:
    words = text.split(".")[0].replace(",", "").split(" ")
    return not {"No", "not", "no"} & set(words)


def _by_words(text: str) -> bool | None:
    found = set(said(text))
    return None if len(found) != 1 else found == {"yes"}


def _exact(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(text.strip().lower())


def _first(text: str) -> bool | None:
    return {"yes": True, "no": False}.get(next(iter(words_of(text)), ""))


def _likelier(reply: Reply) -> bool | None:
    if reply.logprobs is None:
        raise InputError(
            f"{reply.where} has no 'logprob_yes' and 'logprob_no', which the parser logprob reads; add them."
        )
    yes, no = reply.logprobs
    return None if yes == no else yes > no


_READERS = {"official": _official, "words": _by_words, "exact": _exact, "first-token": _first}
