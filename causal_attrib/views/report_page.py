"""The report: one HTML file with the picture, the captions, the maps and all numbers in it, and nothing to fetch.

Without scripts it is coloured text and a table; with them (its own, and by its Content-Security-Policy no other) words
show their maps and regions their words. A notebook shows the same page in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, cast

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.formats import HTML_ID
from causal_attrib.views import explanations as meaning
from causal_attrib.views import overlay, report_body
from causal_attrib.views.html_page import html_page, text
from causal_attrib.views.picture import data_uri, scored_picture, why_missing
from causal_attrib.views.report_data import ReportCaption, share_scales

if TYPE_CHECKING:
    from PIL import Image

    from causal_attrib.results.maps import Maps

# Pictures are shown, not archived.
_SIDE = 1600
_SIDE_IN_NOTEBOOK = 800
# Characters of a caption beside which the card has to follow the reader.
_LONG = 500
# Map values that one page holds, over all its captions; each takes 4/3 of a byte.
_CELLS = 1_500_000


def report(
    attributions: Attribution | Sequence[Attribution],
    maps: Maps | None | Sequence[Maps | None] = None,
    picture: ImageLike | None = None,
) -> str:
    """A whole HTML page on one or several captions of one picture. `Attribution.load_all` reads it again.

    Args:
        attributions: one, or several to be shown side by side.
        maps: of the only caption, or one (or None) for each caption.
        picture: the image file, as path or bytes, if it is no longer where it was when it was scored.

    Raises:
        InputError: no caption or captions of several pictures, or maps or a picture that do not belong to them.
    """
    attributions = [attributions] if isinstance(attributions, Attribution) else list(attributions)
    captions = _captions(attributions, maps)
    records = [attribution.to_dict() for attribution in attributions]
    return _page(captions, picture, _SIDE, "report", {HTML_ID: records[0] if len(records) == 1 else records})


def report_bytes(
    attribution: Attribution, maps: Maps | None = None, picture: ImageLike | None = None, *, format: str = "html"
) -> bytes:
    """The report as a file: html, or a figure of caption, picture and maps as png, pdf or svg."""
    if format == "html":
        return report(attribution, maps, picture).encode()
    # matplotlib takes its time to import.
    from causal_attrib.views.figure_page import figure_bytes

    return figure_bytes(attribution, maps, picture, format)


def notebook(attribution: Attribution, maps: Maps | None = None) -> str:
    """The report in a frame of its own, so that neither its style nor its script meets the notebook's."""
    page = _page(_captions([attribution], maps), None, _SIDE_IN_NOTEBOOK, "embedded", {})
    style = "width:100%;height:40rem;border:0;resize:vertical;overflow:auto"
    return f'<iframe sandbox="allow-scripts" title="COPO report" style="{style}" srcdoc="{escape(page)}"></iframe>'


def _captions(attributions: list[Attribution], maps: Maps | None | Sequence[Maps | None]) -> list[ReportCaption]:
    if not attributions:
        raise InputError("A report is of at least one caption; give an attribution.")
    if len({attribution.image.get("sha256") for attribution in attributions}) > 1:
        raise InputError("The captions are of different pictures; make one report for each picture.")
    of_each: list[Maps | None]
    if maps is None:
        of_each = [None] * len(attributions)
    else:
        of_each = list(maps) if isinstance(maps, (list, tuple)) else [cast("Maps", maps)]
    if len(of_each) != len(attributions):
        raise InputError(
            f"There are {len(attributions)} captions and {len(of_each)} maps; give one, or None, for each."
        )
    captions = [ReportCaption(attribution, own) for attribution, own in zip(attributions, of_each, strict=True)]
    share_scales(captions)
    return captions


def _page(
    captions: list[ReportCaption], picture: ImageLike | None, side: int, kind: str, data: dict[str, object]
) -> str:
    pixels = scored_picture(captions[0].attribution.image, picture)
    count, first = len(captions), captions[0].attribution
    chosen = next((name for name in meaning.SHOWN if any(name in each.colourings for each in captions)), None)
    title = Path(first.image.get("path") or "A picture").name
    each = [(caption, place, count, chosen) for place, caption in enumerate(captions)]
    body = f"""<main class="{"several" if count > 1 else "single"}">
{report_body.opening(captions)}
<div class="look">
{_figure(captions, pixels, side)}
</div>
<div class="reading">
{report_body.switcher(captions, chosen)}
<div class="captions">
{"".join(report_body.article(*one) for one in each)}
</div>
{_card(captions)}
</div>
<div class="tables">
{"".join(report_body.coherence(*one[:3]) for one in each)}
{"".join(report_body.sentences(*one[:3]) for one in each)}
{"".join(report_body.table(*one) for one in each)}
{report_body.notes(captions)}
{"".join(report_body.signals(*one) for one in each)}
</div>
</main>
<footer>
{report_body.foot(captions)}
</footer>
<p id="status" class="unseen" role="status"></p>"""
    return html_page(
        body,
        kind="COPO report",
        title=title,
        window=first.caption[:80] or title,
        styles=["report.css"],
        scripts=["report.js", "report_maps.js", "report_events.js"],
        data={**data, "copo-report": [caption.record(_CELLS // count) for caption in captions]},
        own_style=f":root {{ --ratio: {_ratio(captions, pixels):.4f} }}\n",
        classes=f"{kind}{' long' if any(len(one.attribution.caption) > _LONG for one in captions) else ''}",
    )


def _ratio(captions: list[ReportCaption], pixels: Image.Image | None) -> float:
    """Width by height of the picture, or of what is shown in its place."""
    if pixels is not None:
        return pixels.width / pixels.height
    image = captions[0].attribution.image
    return image["width"] / image["height"] if image.get("width") and image.get("height") else 1.0


def _figure(captions: list[ReportCaption], pixels: Image.Image | None, side: int) -> str:
    image = captions[0].attribution.image
    with_maps = any(caption.maps is not None for caption in captions)
    if pixels is None and not with_maps:
        return f'<p class="missing">{text(why_missing(image))}</p>'
    if pixels is None:
        # An empty drawing, for the map to lie on.
        shown = '<svg class="picture" role="img" aria-label="no picture"></svg>'
        told = f'<p class="missing">{text(why_missing(image))}</p>'
    else:
        name = escape(Path(image.get("path") or "the scored picture").name)
        shown, told = f'<img class="picture" alt="{name}" src="{data_uri(pixels, side)}">', ""
    if with_maps:
        shown += '<canvas aria-hidden="true"></canvas><span class="spot" hidden></span>'
    key = f"""<div class="key map-key">
<p id="map-name">Point at a word to see what in the picture speaks for it.</p>
<div class="ramp signed"></div>
<div class="ticks"><span class="low"></span><span class="mid">0</span><span class="high"></span></div>
<p class="note">{overlay.LEGEND}</p>
<p class="note" id="map-what"></p>
<label class="own"><input type="checkbox" id="own-scale"> Each map on its own scale</label>
</div>"""
    return f"""<figure>
<div class="stage" id="stage">{shown}</div>
<figcaption>{told}{key if with_maps else ""}</figcaption>
</figure>"""


def _card(captions: list[ReportCaption]) -> str:
    terms = "".join(
        f'<div class="fact"><dt>{meaning.SHOWN[name]}</dt><dd class="means">{definition}</dd></div>'
        for name, definition in meaning.DEFINITIONS.items()
        if any(name in caption.colourings for caption in captions)
    )
    with_maps = any(caption.maps is not None for caption in captions)
    click = " Click a place in the picture to light the words it supports." if with_maps else ""
    return f"""<section class="card" id="card" aria-label="Details">
<div class="resting">
<dl class="facts terms">{terms}</dl>
<p class="hint">Point at a word for its numbers; a click pins it.{click} <span class="keys">With the keyboard: \
<kbd>←</kbd> <kbd>→</kbd> move, <kbd>Enter</kbd> pins, <kbd>Esc</kbd> lets go.</span></p>
</div>
<div class="detail" hidden></div>
</section>"""
