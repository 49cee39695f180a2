"""The view on a terminal: the caption in colours, a row per token, and what it all means in two lines."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.results.effects import effect_nats
from causal_attrib.views import coherence, drawing, refinement
from causal_attrib.views.token_style import token_style

# Signals that stand side by side on a terminal.
_ABREAST = 8
_VERDICT_STYLES = {"against the image": "bold red", "language prior": "dim", "no claim": "dim"}


def table(attribution: Attribution) -> Group:
    """A rich renderable of the attribution: print it with `rich.print` or `attribution.show()`."""
    limit, marks = drawing.scale(attribution), drawing.contradicted(attribution)
    colours = dict(zip((token.index for token in attribution.tokens), drawing.colour_values(attribution), strict=True))
    effects = [effect_nats(attribution.outcome, token.necessity) for token in attribution.tokens]
    has_effects = any(effect is not None for effect in effects)

    caption = Text()
    for text, token in drawing.pieces(attribution):
        caption.append(drawing.visible(text), _style(None if token is None else colours[token.index], limit))

    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("")
    rows.add_column("token", overflow="fold", min_width=5)
    headings = ["log-prob", "entropy", "sufficiency", "necessity", "causal\ncompleteness"]
    if has_effects:
        headings.insert(4, "effect\nin nats")
    for heading in headings:
        rows.add_column(heading, justify="right", no_wrap=True)
    if attribution.verdict is not None:
        rows.add_column("p(false)", justify="right", no_wrap=True)
        rows.add_column("verdict")
    for token, effect in zip(attribution.tokens, effects, strict=True):
        if attribution.refinement is not None and token.necessity is None:
            continue  # a long answer's words that were not opened; the files hold them
        is_marked = token.index in marks
        rows.add_row(
            Text("!" if is_marked else "", "bold red"),
            Text(drawing.visible(token.text), _style(colours[token.index], limit)),
            drawing.number(token.logprob, 2),
            drawing.number(token.entropy, 2),
            drawing.with_error(token.sufficiency, token.sufficiency_se),
            Text(drawing.number(token.necessity), "bold red" if is_marked else ""),
            *((Text(drawing.number(effect, 1), "bold red" if is_marked else ""),) if has_effects else ()),
            drawing.number(token.causal_completeness),
            *(() if attribution.verdict is None else _verdict(token)),
        )

    notes = [
        ("outcome  ", drawing.outcome_line(attribution)),
        ("model    ", drawing.model_line(attribution)),
        ("colours  ", f"{drawing.LEGEND}; full at {drawing.number(limit, 2)}"),
    ]
    if attribution.verdict is not None:
        if "p_false" in attribution.verdict:
            notes.append(("caption  ", drawing.caption_line(attribution)))
        notes.append(("verdict  ", attribution.verdict["note"]))
    if attribution.coherence is not None:
        notes.append(("coherence", f" {coherence.line(attribution.coherence)}"))
    if attribution.sampling is not None:
        notes.append(("draws    ", drawing.sampling_line(attribution.sampling)))
    if attribution.refinement is not None:
        notes.append(("words    ", f"{refinement.note(attribution.refinement)}; words without a score are left out"))
    return Group(
        caption,
        *_sentences(attribution),
        rows,
        *_signals(attribution),
        *(Text.assemble((name, "bold"), drawing.visible(line)) for name, line in notes),
    )


def _sentences(attribution: Attribution) -> list[Table]:
    """The table of sentences, where they were scored before words."""
    if attribution.refinement is None:
        return []
    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    text, *numbers = refinement.HEADINGS
    rows.add_column(text, overflow="fold")
    for heading in numbers:
        rows.add_column(heading, justify="right", no_wrap=True)
    for row in refinement.rows(attribution):
        rows.add_row(*map(Text, row))
    return [rows]


def _signals(attribution: Attribution) -> Iterator[Table]:
    """A row per token again, with a column for each signal; as many tables as they need width."""
    names = attribution.signal_names
    for first in range(0, len(names), _ABREAST):
        rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        rows.add_column("token", overflow="fold", min_width=5)
        for name in names[first : first + _ABREAST]:
            rows.add_column(name.replace("_", "\n"), justify="right", no_wrap=True)
        for token in attribution.tokens:
            values = [(token.signals or {})[name] for name in names[first : first + _ABREAST]]
            rows.add_row(Text(drawing.visible(token.text)), *(drawing.number(value) for value in values))
        yield rows


def _verdict(token: Token) -> tuple[str, Text]:
    return drawing.number(token.p_false, 2), Text(token.verdict or "–", _VERDICT_STYLES.get(token.verdict or "", ""))


def _style(value: float | None, limit: float) -> Style:
    if value is None:
        return Style(dim=True)
    return token_style(value / limit)
