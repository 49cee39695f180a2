"""The view in a notebook: light HTML that is read where styles are stripped, and the whole report in a frame."""

from __future__ import annotations

import sys
from html import escape

from causal_attrib.results.attribution import Attribution
from causal_attrib.views import drawing
from causal_attrib.views.headline import findings
from causal_attrib.views.report_page import notebook
from causal_attrib.views.token_table import columns_of

# Rows of the table; of a longer caption the first are shown.
_MOST_ROWS = 60
_CELL = "padding:0 .6em;text-align:right"


def inline(attribution: Attribution) -> str:
    """The caption in colours, what it comes to, and its numbers: no script, no frame, no style sheet.

    What is contradicted is underlined and bold as well, since GitHub strips styles.
    """
    shown, columns = columns_of(attribution)
    told = "".join(f"<b>{escape(finding.text)}</b> " for finding in findings(attribution))
    heads = "".join(f'<th style="{_CELL}">{escape(column.name)}</th>' for column in columns)
    rows = "".join(
        f"<tr>{''.join(_cell(str(column.cells[at]), column.is_text) for column in columns)}</tr>"
        for at in range(min(len(shown), _MOST_ROWS))
    )
    left = f"<p>{len(shown) - _MOST_ROWS} more rows: to_frame() has all.</p>" if len(shown) > _MOST_ROWS else ""
    outcome = escape(drawing.visible(drawing.outcome_line(attribution)))
    return (
        f'<div><p style="font-size:1.3em;line-height:1.7">{_caption(attribution)}</p><p>{told}</p>'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{left}"
        f"<p><small>outcome: {outcome}. <code>.show()</code> opens the report.</small></p></div>"
    )


def in_notebook() -> bool:
    """Whether a kernel is running this."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def show_in_notebook(attribution: Attribution) -> None:
    """The report in a frame of its own."""
    from IPython.display import HTML, display

    display(HTML(notebook(attribution)))


def _cell(text: str, is_text: bool) -> str:
    style = "padding:0 .6em;text-align:left" if is_text else _CELL
    return f'<td style="{style}">{escape(text)}</td>'


def _caption(attribution: Attribution) -> str:
    limit, marks = drawing.scale(attribution), drawing.marked(attribution)
    values = dict(zip((token.index for token in attribution), drawing.colour_values(attribution), strict=True))
    html = []
    for text, token in drawing.pieces(attribution):
        bare = text.lstrip(" ")
        body = escape(drawing.visible(bare))
        if token is not None:
            tint = drawing.VERDICTS.get(token.verdict or "") if attribution.verdict is not None else None
            value = values[token.index] or 0.0
            if tint is not None:
                body = _tinted(body, tint.colour, 0.6 * tint.strength)
            elif attribution.verdict is None and value:
                body = _tinted(body, drawing.BLUE, 0.6 * value / limit)
            if token.index in marks:
                body = f"<b><u>{body}</u></b>"
        html.append(escape(text[: len(text) - len(bare)]) + body)
    return "".join(html)


def _tinted(body: str, colour: tuple[int, int, int], strength: float) -> str:
    red, green, blue = colour
    return f'<span style="background-color:rgba({red},{green},{blue},{strength:.2f})">{body}</span>'
