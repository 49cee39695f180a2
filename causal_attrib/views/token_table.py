"""The view on a terminal: the caption in colours, what it comes to, a row per token or word, and what it all means.

A row is what was hidden at once: a token, or a word where words or larger parts were. Verdicts are of words, so with
them a row is a word in any case, and its numbers are those that its verdict was reached by: log-probability and entropy
are summed over its tokens, necessity and sufficiency are their means. Where a row is a token, those that go on with a
word have a "·" before them.

Words stay whole. Where the terminal is too narrow for all columns, they are left out in the order of `_DROPPED`, or of
`_DROPPED_BESIDE_VERDICTS`, and a line says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rich.console import Group
from rich.style import Style
from rich.text import Text

from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.results.effects import effect_nats
from causal_attrib.views import coherence, drawing, refinement
from causal_attrib.views.headline import headline
from causal_attrib.views.narrow import Column, Narrowed
from causal_attrib.views.token_style import token_style

# What goes first stands first. The effect says in nats what necessity says in parts of the outcome.
_DROPPED = ("entropy", "log-prob", "effect in nats", "sufficiency", "causal completeness")
_DROPPED_BESIDE_VERDICTS = (
    *("sufficiency", "causal completeness", "entropy", "necessity", "log-prob", "effect in nats"),
    *("evidence in nats", "p(false)"),
)
# Signals that stand side by side on a terminal of 80 columns.
_ABREAST = 5


def table(attribution: Attribution) -> Group:
    """A rich renderable of the attribution: print it with `rich.print` or `attribution.show()`."""
    shown, columns = columns_of(attribution)
    rows = Narrowed(columns, _DROPPED if shown.verdict is None else _DROPPED_BESIDE_VERDICTS, "--json has all")
    notes = (Text.assemble((name, "bold"), drawing.visible(line)) for name, line in _notes(shown))
    return Group(
        _caption(attribution),
        Text(headline(attribution), "bold"),
        *_sentences(attribution),
        rows,
        *_signals(attribution),
        *notes,
    )


def columns_of(attribution: Attribution) -> tuple[Attribution, list[Column]]:
    """What a row is of, and the columns."""
    by_word = attribution.verdict is not None or attribution.settings.get("level", "token") != "token"
    shown = attribution.words() if by_word else attribution
    if attribution.refinement is not None:
        # Words of a long answer that were not opened; the files hold them.
        shown = replace(shown, tokens=[token for token in shown if token.necessity is not None])
    return shown, _columns(shown, by_word)


def _caption(attribution: Attribution) -> Text:
    style = _styles(attribution)
    caption = Text()
    for text, token in drawing.pieces(attribution):
        caption.append(drawing.visible(text), Style(dim=True) if token is None else style(token))
    return caption


def _styles(attribution: Attribution) -> Callable[[Token], Style]:
    """How each token is coloured: by its verdict where there is one, else by its causal completeness."""
    if attribution.verdict is not None:
        return lambda token: _OF_VERDICT.get(token.verdict or "", Style())
    limit, marks = drawing.scale(attribution), drawing.contradicted(attribution)
    values = dict(zip((token.index for token in attribution.tokens), drawing.colour_values(attribution), strict=True))

    def style(token: Token) -> Style:
        value = values[token.index]
        if token.index in marks:
            return _MARKED
        return Style(dim=True) if value is None else token_style(value / limit)

    return style


def _tinted(name: str, **more: Any) -> Style:
    tint = drawing.VERDICTS[name]
    return token_style(tint.strength, (tint.colour, tint.colour)) + Style(**more)


_MARKED = Style(color="red", bold=True, underline=True)
_OF_VERDICT = {
    "grounded": _tinted("grounded"),
    "against the image": _tinted("against the image", bold=True, underline=True),
    "language prior": _tinted("language prior"),
    "undecided": _tinted("undecided"),
}
_VERDICT_STYLES = {"against the image": "bold red", "language prior": "dim", "no claim": "dim"}


def _columns(shown: Attribution, by_word: bool) -> list[Column]:
    marks = drawing.marked(shown)
    style = _styles(shown)
    words = {token.index: token.word for token in shown}
    effects = [effect_nats(shown.outcome, token.necessity) for token in shown]

    def name(token: Token) -> Text:
        text = drawing.visible(token.text.strip() or token.text if by_word else token.text)
        goes_on = words.get(token.index - 1) == token.word
        return Text.assemble("·" if goes_on else "", (text, style(token)))

    def each(heading: str, digits: int, values: list[float | None], *, loud: bool = False) -> Column:
        styles = ["bold red" if loud and token.index in marks else "" for token in shown]
        return Column(
            heading, [Text(drawing.number(value, digits), of) for value, of in zip(values, styles, strict=True)]
        )

    columns = [
        Column("", [Text("!" if token.index in marks else "", "bold red") for token in shown], is_text=True),
        Column("word" if by_word else "token", list(map(name, shown)), is_text=True, folds=True),
    ]
    if shown.verdict is not None:
        verdicts = [token.verdict or "–" for token in shown]
        columns += [
            Column("verdict", [Text(told, _VERDICT_STYLES.get(told, "")) for told in verdicts], is_text=True),
            each("p(false)", 2, [token.p_false for token in shown]),
            each("evidence|in nats", 1, [token.evidence for token in shown]),
        ]
    columns += [
        each("log-prob", 2, [token.logprob for token in shown]),
        each("entropy", 2, [token.entropy for token in shown]),
        Column("sufficiency", [drawing.with_error(token.sufficiency, token.sufficiency_se) for token in shown]),
        each("necessity", 3, [token.necessity for token in shown], loud=True),
    ]
    if any(effect is not None for effect in effects):
        columns.append(each("effect|in nats", 1, effects, loud=True))
    return [*columns, each("causal|completeness", 3, [token.causal_completeness for token in shown])]


def _notes(attribution: Attribution) -> list[tuple[str, str]]:
    notes = [
        ("outcome  ", drawing.outcome_line(attribution)),
        ("model    ", drawing.model_line(attribution)),
    ]
    if attribution.verdict is None:
        notes.append(("colours  ", f"{drawing.LEGEND}; full at {drawing.number(drawing.scale(attribution), 2)}"))
    else:
        notes.append(("colours  ", drawing.VERDICT_LEGEND))
        if "p_false" in attribution.verdict:
            notes.append(("caption  ", drawing.caption_line(attribution)))
        notes.append(("verdict  ", attribution.verdict["note"]))
    if attribution.coherence is not None:
        notes.append(("coherence", f" {coherence.line(attribution.coherence)}"))
    if attribution.sampling is not None:
        notes.append(("draws    ", drawing.sampling_line(attribution.sampling)))
    if attribution.refinement is not None:
        notes.append(("words    ", f"{refinement.note(attribution.refinement)}; words without a score are left out"))
    return notes


def _sentences(attribution: Attribution) -> list[Narrowed]:
    """The table of sentences, where they were scored before words."""
    if attribution.refinement is None:
        return []
    cells = list(zip(*refinement.rows(attribution), strict=True)) or [()] * len(refinement.HEADINGS)
    text, *numbers = (
        Column(heading, list(map(Text, of)), is_text=not at, folds=not at)
        for at, (heading, of) in enumerate(zip(refinement.HEADINGS, cells, strict=True))
    )
    return [Narrowed([text, *numbers], (), "")]


def _signals(attribution: Attribution) -> Iterator[Narrowed]:
    """A row per token again, with a column for each signal; as many tables as they need width."""
    names = attribution.signal_names
    tokens = [Text(drawing.visible(token.text)) for token in attribution.tokens]
    for first in range(0, len(names), _ABREAST):
        columns = [
            Column(
                name.replace("_", "|"), [drawing.number((token.signals or {})[name]) for token in attribution.tokens]
            )
            for name in names[first : first + _ABREAST]
        ]
        yield Narrowed([Column("token", tokens, is_text=True, folds=True), *columns], (), "")
