"""The view on a terminal: the caption in colours, a row per token, and what it all means in two lines."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from causal_attrib.attribution import Attribution, Token
from causal_attrib.views import drawing


def table(attribution: Attribution) -> Group:
    """A rich renderable of the attribution: print it with `rich.print` or `attribution.show()`."""
    limit = drawing.scale(attribution)

    caption = Text()
    for text, token in drawing.pieces(attribution):
        caption.append(drawing.visible(text), _style(token, limit))

    rows = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    rows.add_column("")
    rows.add_column("token", overflow="fold", min_width=5)
    for heading in ("log-prob", "entropy", "sufficiency", "necessity", "causal\ncompleteness"):
        rows.add_column(heading, justify="right", no_wrap=True)
    for token in attribution.tokens:
        rows.add_row(
            Text("!" if drawing.is_contradicted(token) else "", "bold red"),
            Text(drawing.visible(token.text), _style(token, limit)),
            drawing.number(token.logprob, 2),
            drawing.number(token.entropy, 2),
            drawing.with_error(token.sufficiency, token.sufficiency_se),
            Text(drawing.number(token.necessity), "bold red" if drawing.is_contradicted(token) else ""),
            drawing.number(token.causal_completeness),
        )

    notes = [
        ("outcome  ", drawing.outcome_line(attribution)),
        ("model    ", drawing.model_line(attribution)),
        ("colours  ", f"{drawing.LEGEND}; full at {drawing.number(limit, 2)}"),
    ]
    return Group(caption, rows, *(Text.assemble((name, "bold"), drawing.visible(line)) for name, line in notes))


def _style(token: Token | None, limit: float) -> Style:
    value = None if token is None else drawing.colour_value(token)
    if value is None:
        return Style(dim=True)
    strength = abs(value) / limit
    if strength < 0.02:
        return Style()
    end = drawing.BLUE if value > 0 else drawing.RED
    red, green, blue = (round(255 + strength * (part - 255)) for part in end)
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"
    return Style(color=ink, bgcolor=f"rgb({red},{green},{blue})")
