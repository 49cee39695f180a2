"""What every page is made of: one head, one style, and a policy that lets it run its own script and no other.

A page holds all that it shows and fetches nothing. Its Content-Security-Policy takes pictures that are in the page, and
of styles and scripts those alone whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from causal_attrib.views import drawing


def html_page(
    body: str,
    *,
    kind: str,
    title: str,
    styles: Sequence[str],
    scripts: Sequence[str] = (),
    data: Mapping[str, object] | None = None,
    window: str | None = None,
    own_style: str = "",
    classes: str = "",
) -> str:
    """A whole page.

    Args:
        body: what stands below the heading, as HTML.
        kind: what page this is, above the heading.
        title: the heading, and of the window unless `window` is; any text.
        styles: files of `assets`, behind the one that all pages have.
        scripts: files of `assets`, which become one script.
        data: for the script, JSON by the id of its element.
        own_style: rules of this page alone.
        classes: of the body.
    """
    style = "".join(map(asset, ("base.css", *styles))) + own_style
    script = "".join(map(asset, scripts))
    allowed = f"default-src 'none'; img-src data:; style-src {_hash(style)}"
    if script:
        allowed += f"; script-src {_hash(script)}"
    elements = "".join(
        f'<script type="application/json" id="{name}">{_json(value)}</script>\n' for name, value in (data or {}).items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{allowed}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(title if window is None else window)}</title>
<style>{style}</style>
</head>
<body{f' class="{classes}"' if classes else ""}>
<header><p class="eyebrow">{kind}</p><h1><bdi>{text(title)}</bdi></h1></header>
{body}
{elements}{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def text(value: str) -> str:
    """Any text as HTML: no character of it is markup, and none is invisible."""
    return escape(drawing.visible(value))


def asset(name: str) -> str:
    """A file of `assets`."""
    return (resources.files("causal_attrib.views") / "assets" / name).read_text(encoding="utf-8")


def _json(value: object) -> str:
    # "<" would let a caption that holds "</script>" end the element.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", r"\u003c")


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
