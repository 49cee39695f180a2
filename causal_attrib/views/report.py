"""The views in a browser: one line of coloured text for notebooks, and one page that carries everything with it.

Both are plain HTML with nothing to fetch: no script, no font, no style sheet from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import io
from html import escape
from pathlib import Path

from PIL import Image, ImageOps

from causal_attrib.attribution import Attribution, Token
from causal_attrib.views import drawing

# Pictures are shown, not archived: this many pixels a side are enough to see what the caption speaks of.
_PICTURE_SIDE = 768


def inline_html(attribution: Attribution) -> str:
    """The caption as coloured text; hovering over a token tells all its numbers."""
    limit = drawing.scale(attribution)
    text = "".join(_span(text, token, limit) for text, token in drawing.pieces(attribution))
    return f'<div style="line-height:1.9;overflow-wrap:anywhere">{text}</div>'


def page(attribution: Attribution, data: str = "") -> str:
    """A whole HTML page. `data` is put in as it is: the element that lets the page be loaded again."""
    rows = "\n".join(_row(token) for token in attribution.tokens)
    asked = {"prompt": attribution.prompt, "question": attribution.question, "answer": attribution.answer}
    facts = {name: value for name, value in asked.items() if value is not None}
    facts |= {
        "caption": "written by the model" if attribution.generated else "given",
        "outcome": drawing.outcome_line(attribution),
        "model": drawing.model_line(attribution),
        "made by": f"{attribution.tool.get('name', 'copo')} {attribution.tool.get('version', '')}".strip(),
    }
    facts |= {f"{name}": value for name, value in attribution.settings.items() if value is not None}
    told = "\n".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    legend = f"{drawing.LEGEND}; full colour at {drawing.number(drawing.scale(attribution), 2)}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(attribution.caption[:80])}</title>
<style>{_STYLE}</style>
</head>
<body>
<figure>
{_picture(attribution.image)}
<figcaption>{inline_html(attribution)}</figcaption>
</figure>
<p class="note">{escape(legend)}. Hover over a word for its numbers.</p>
<table>
<thead><tr><th></th><th>token</th><th>log-prob</th><th>entropy</th><th>sufficiency</th><th>necessity</th>\
<th>causal completeness</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<dl>
{told}
</dl>
{data}
</body>
</html>
"""


_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem;
  background: Canvas; color: CanvasText; }
figure { margin: 0; }
img { max-width: 100%; min-width: 12rem; max-height: 24rem; image-rendering: auto; border-radius: 4px; }
figcaption { font-size: 1.35rem; margin: 1rem 0 0.5rem; }
.note { opacity: 0.75; font-size: 0.9rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto; }
th, td { text-align: right; padding: 0.15rem 0.75rem; border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
th:nth-child(2), td:nth-child(2) { text-align: left; white-space: pre-wrap; }
tr.contradicted td { color: #b2182b; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; font-size: 0.9rem; }
dt { opacity: 0.75; }
dd { margin: 0; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { tr.contradicted td { color: #f4a582; } }
@media print {
  body { margin: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def _span(text: str, token: Token | None, limit: float) -> str:
    shown = escape(drawing.visible(text))
    if token is None:
        return shown
    value = drawing.colour_value(token)
    colour = drawing.RED if value is not None and value < 0 else drawing.BLUE
    # Laid over the page with its strength as opacity, the same colour is right on white and on black.
    strength = 0 if value is None else 0.75 * abs(value) / limit
    style = f"background:rgba({colour[0]},{colour[1]},{colour[2]},{strength:.3f});border-radius:2px"
    if drawing.is_contradicted(token):
        style += ";text-decoration:underline wavy"
    return f'<span title="{escape(_tooltip(token))}" style="{style}">{shown}</span>'


def _tooltip(token: Token) -> str:
    lines = [
        drawing.visible(token.text),
        f"log-prob {drawing.number(token.logprob)}",
        f"entropy {drawing.number(token.entropy)}",
        f"sufficiency {drawing.with_error(token.sufficiency, token.sufficiency_se)}",
        f"necessity {drawing.number(token.necessity)}",
        f"causal completeness {drawing.number(token.causal_completeness)}",
    ]
    return "\n".join(lines)


def _row(token: Token) -> str:
    contradicted = drawing.is_contradicted(token)
    cells = [
        "!" if contradicted else "",
        drawing.visible(token.text),
        drawing.number(token.logprob),
        drawing.number(token.entropy),
        drawing.with_error(token.sufficiency, token.sufficiency_se),
        drawing.number(token.necessity),
        drawing.number(token.causal_completeness),
    ]
    opening = '<tr class="contradicted">' if contradicted else "<tr>"
    return opening + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _picture(image: dict) -> str:
    """The scored picture, inlined - if it is still where it was, and still the same."""
    name, path = "The scored picture", image.get("path")
    if path is None:
        return f'<p class="note">{name} was not a file, so it is not shown here.</p>'
    try:
        data = Path(path).read_bytes()
        if hashlib.sha256(data).hexdigest() != image.get("sha256"):
            raise ValueError("changed since")
        with Image.open(io.BytesIO(data)) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return f'<p class="note">{name}, {escape(path)}, is no longer there or is another one by now.</p>'
    shown = Image.new("RGB", upright.size, "white")
    shown.paste(upright, mask=upright.getchannel("A"))
    shown.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    sink = io.BytesIO()
    shown.save(sink, "JPEG", quality=88)
    inlined = base64.b64encode(sink.getvalue()).decode()
    return f'<img alt="{escape(Path(path).name)}" src="data:image/jpeg;base64,{inlined}">'
