"""A page on a file of captions, or on what changed between two: self-contained, with a list that stays fluid.

What is counted stands as text, tables and drawings, which need no script; the list of captions is drawn by one, a
screenful at a time, so that ten thousand of them scroll as a hundred do.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from causal_attrib.evaluation.intervals import Estimate
from causal_attrib.views.captions_data import TYPES, VERDICTS, Captions, bins_of
from causal_attrib.views.html_page import html_page, text
from causal_attrib.views.picture import data_uri, scored_picture

_THUMB = 160
# Of the list that stands where no script runs.
_WITHOUT_SCRIPT = 50
_STRETCHED = 'viewBox="0 0 {} {}" preserveAspectRatio="none"'
_CLASS = {"grounded": "v0", "language prior": "v1", "undecided": "v2", "against the image": "v3"}


def captions_page(captions: Captions, title: str) -> str:
    """The page on one file."""
    body = [
        _counts(captions),
        '<section class="charts">',
        _histogram("Probability that a caption says something false", captions.p_false, 0.0, 1.0),
        _histogram("Value of the outcome", captions.value, *_ends(captions.value)),
        "</section>",
        _by_type(captions),
        _against(captions),
        _thumbnails(captions),
    ]
    return _page(title, "Captions", "".join(body), captions.rows, captions.total)


def diff_page(found: Any, captions: Captions, title: str) -> str:
    """The page on what changed between two files.

    Args:
        found: the result of `batch.diff`.
        captions: of the second file, whose rows end in the change of p_false (None without verdicts).
    """
    facts = [("captions in both", found.captions), ("images", found.images), ("words", found.words)]
    body = [_facts(facts), "".join(f'<p class="note">{escape(note)}</p>' for note in found.warnings)]
    body.append("<section><h2>What changed, with 95 % intervals over images</h2>")
    body.append(
        _changes([(one.measure, one.words, one.first, one.second, one.change) for one in found.measures], "words")
    )
    body.append("</section>")
    if found.transitions is not None:
        body.append(_transitions(found.transitions))
    body.append(f"<section><h2>Words whose {escape(found.ranked_by)} changed most</h2>")
    body.append(_changes([(one.word, one.count, one.first, one.second, one.change) for one in found.changed], "times"))
    body.append("</section>")
    return _page(title, "What changed", "".join(body), captions.rows, captions.total)


def _page(title: str, kind: str, body: str, rows: list[list[Any]], total: int) -> str:
    of_all = "" if len(rows) == total else f" (the first {len(rows):,} of {total:,})"
    options = "".join(f'<option value="{place}">{name}</option>' for place, name in enumerate(VERDICTS))
    changed = '<option value="change">change of p(false)</option>' if rows and len(rows[0]) > 7 else ""
    return html_page(
        f"""<main>
{body}
<section class="list" aria-label="{kind}">
<h2>Captions{of_all}</h2>
<form class="tools" id="tools">
<label>Search <input type="search" id="search" placeholder="words, id or file"></label>
<label>Sort by <select id="sort"><option value="p">p(false)</option>{changed}
<option value="against">words against</option><option value="value">outcome</option>
<option value="order">order of the file</option></select></label>
<label>With a word that is <select id="verdict"><option value="">anything</option>{options}</select></label>
<output id="count"></output>
</form>
<noscript><p class="note">The list with search, sorting and each caption's words needs scripts; the first ones are
below.</p>{_plain_list(rows[:_WITHOUT_SCRIPT])}</noscript>
<div class="heads" aria-hidden="true"><span>p(false)</span><span class="k" id="other">outcome</span>
<span>caption</span></div>
<div class="view" id="view" tabindex="0" role="listbox" aria-label="Captions"><div id="space"></div></div>
<article id="detail" class="detail" aria-live="polite" hidden></article>
</section>
</main>
<footer><p class="note">Numbers are rounded to three digits; the file has all of them.</p></footer>""",
        kind="COPO report",
        title=title,
        styles=["captions.css"],
        scripts=["captions.js"],
        data={"copo-captions": {"rows": rows, "verdicts": VERDICTS}},
    )


def _counts(captions: Captions) -> str:
    facts: list[tuple[str, Any]] = [
        ("captions", captions.total),
        ("images", captions.pictures),
        ("words", captions.words),
    ]
    if captions.p_false:
        doubtful = sum(value > 0.5 for value in captions.p_false)
        facts.append(("captions more probably false than true", doubtful))
    told = f"Model {escape(', '.join(captions.models))}; outcome {escape(', '.join(captions.outcomes))}."
    # Which captions a note is of: where there are several, of how many.
    several = len(captions.notes) > 1
    notes = "".join(
        f"<p class='note'>Verdicts{f' ({count:,} of the captions)' if several else ''}: {escape(note)}.</p>"
        for note, count in captions.notes.items()
    )
    if not captions.p_false:
        missing = "The file has no verdicts; score it with --verdict to see which words the images bear out."
        notes = f"<p class='note'>{missing}</p>"
    return f"{_facts(facts)}<p>{told}</p>{notes}"


def _facts(facts: Sequence[tuple[str, Any]]) -> str:
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in facts)
        + "</dl>"
    )


def _ends(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(0.0, *values), max(1.0, *values)
    return low, high


def _histogram(title: str, values: Sequence[float], low: float, high: float) -> str:
    if not values:
        return ""
    counts = bins_of(values, low, high)
    most, wide = max(counts), 100 / len(counts)
    step = (high - low) / len(counts)
    bars = "".join(
        f'<rect x="{place * wide + 0.5:.2f}" y="{40 - 38 * count / most:.2f}" width="{wide - 1:.2f}" '
        f'height="{38 * count / most:.2f}">'
        f"<title>{low + place * step:.2f} to {low + (place + 1) * step:.2f}: {count:,} captions</title></rect>"
        for place, count in enumerate(counts)
    )
    return f"""<figure><figcaption>{title}</figcaption>
<svg class="bars" {_STRETCHED.format(100, 40)} role="img" aria-label="{title}: a histogram">{bars}</svg>
<div class="ticks"><span>{low:.3g}</span><span>at most {most:,} a bar</span><span>{high:.3g}</span></div></figure>"""


def _by_type(captions: Captions) -> str:
    if not captions.p_false:
        return ""
    rows = ""
    for kind in TYPES:
        counts = captions.by_type[kind]
        total = sum(counts.values())
        if not total:
            continue
        parts, at = "", 0.0
        for name in VERDICTS:
            wide = 100 * counts[name] / total
            parts += (
                f'<rect class="{_CLASS[name]}" x="{at:.3f}" y="0" width="{wide:.3f}" height="10">'
                f"<title>{name}: {counts[name]:,} ({wide:.1f} %)</title></rect>"
            )
            at += wide
        numbers = "".join(f"<td>{counts[name]:,}</td>" for name in VERDICTS)
        bar = f'<svg class="strip" {_STRETCHED.format(100, 10)} aria-hidden="true">{parts}</svg>'
        rows += f'<tr><th scope="row">{kind}</th><td>{total:,}</td><td class="wide">{bar}</td>{numbers}</tr>'
    heads = [f'<span class="dot {_CLASS[name]}"></span>{name}' for name in VERDICTS]
    table = _table(["kind", "words", "", *heads], rows)
    return f'<section class="kinds"><h2>Verdicts by kind of word</h2>{table}</section>'


def _against(captions: Captions) -> str:
    if not captions.against:
        return ""
    rows = ""
    for one in captions.against:
        word = escape(one.word)
        rows += (
            f'<tr><th scope="row"><button type="button" class="word" data-word="{word}">{word}</button></th>'
            f"<td>{one.times:,}</td><td>{one.images:,}</td><td>{_shown(one.against)}</td>"
            f'<td class="wide">{_interval(one.against, 0, 100)}</td></tr>'
        )
    return f"""<section><h2>Words most often against the image</h2>
<p class="note">Of the words of two images or more; a share of the places where the word stands, with a 95 % interval
over images. They are listed because they are at the top, so read each interval as that of a word picked by hand.</p>
{_table(("word", "times", "images", "against, %", ""), rows)}</section>"""


def _thumbnails(captions: Captions) -> str:
    shown = ""
    for number, image in captions.in_doubt:
        pixels = scored_picture(image)
        row = captions.rows[number]
        picture = (
            f'<img alt="" src="{data_uri(pixels, _THUMB)}">'
            if pixels is not None
            else '<span class="gone">not there</span>'
        )
        kind = "p false" if row[3] > 0.5 else "p"
        shown += (
            f'<button type="button" class="thumb" data-row="{number}">{picture}<span class="{kind}">{row[3]:.2f}</span>'
            f"<span>{text(row[2][:80])}</span></button>"
        )
    if not shown:
        return ""
    return f"""<section><h2>Pictures most in doubt</h2>
<p class="note">The caption of each that is most probably false, and how probably.</p>
<div class="thumbs">{shown}</div></section>"""


def _changes(rows: Sequence[tuple[str, int, float, float, Estimate]], counted: str) -> str:
    ends = [abs(end) for *_, change in rows for end in (change.low, change.high, change.value) if end is not None]
    most = max(ends, default=1.0) or 1.0
    listed = "".join(
        f'<tr><th scope="row">{escape(name).replace("_", "_<wbr>")}</th><td>{count:,}</td><td>{first:.3f}</td>'
        f"<td>{second:.3f}</td><td>{_shown(change, '+.3f')}</td>"
        f'<td class="wide">{_interval(change, -most, most)}</td></tr>'
        for name, count, first, second, change in rows
    )
    return _table(("", counted, "A", "B", "B &minus; A", ""), listed)


def _transitions(moved: dict[tuple[str, str], int]) -> str:
    names = [name for name in (*VERDICTS, "no claim") if any(name in pair for pair in moved)]
    most = max(moved.values(), default=1)
    rows = ""
    for first in names:
        counts = [moved.get((first, second), 0) for second in names]
        cells = "".join(f'<td class="heat h{round(10 * count / most)}">{count:,}</td>' for count in counts)
        rows += f'<tr><th scope="row">{first} in A</th>{cells}</tr>'
    heads = [f"{name} in B" for name in names]
    return f"<section><h2>Verdicts of words</h2>{_table(['', *heads], rows)}</section>"


def _table(heads: Sequence[str], rows: str) -> str:
    """A table that scrolls sideways where it has no room; an empty head is that of a drawing."""
    cells = "".join(f'<th scope="col">{head}</th>' if head else '<td class="drawing"></td>' for head in heads)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'


def _interval(estimate: Estimate, low: float, high: float) -> str:
    """A line from end to end, and a dot for the value; a rule where zero is."""

    def at(value: float) -> float:
        return 2 + 96 * (value - low) / (high - low)

    if estimate.value is None:
        return ""
    line = ""
    if estimate.low is not None and estimate.high is not None:
        line = f'<line x1="{at(estimate.low):.2f}" x2="{at(estimate.high):.2f}" y1="5" y2="5"/>'
    zero = f'<line class="zero" x1="{at(0):.2f}" x2="{at(0):.2f}" y1="0" y2="10"/>' if low <= 0 <= high else ""
    dot = f'<rect x="{at(estimate.value) - 0.75:.2f}" y="1.5" width="1.5" height="7"/>'
    return f'<svg class="interval" {_STRETCHED.format(100, 10)} aria-hidden="true">{zero}{line}{dot}</svg>'


def _shown(estimate: Estimate, digits: str = ".1f") -> str:
    if estimate.value is None:
        return "&ndash;"
    if estimate.low is None or estimate.high is None:
        return format(estimate.value, digits)
    return f'{estimate.value:{digits}} <span class="ends">[{estimate.low:{digits}}, {estimate.high:{digits}}]</span>'


def _plain_list(rows: Sequence[list[Any]]) -> str:
    listed = "".join(
        f"<tr><td>{'' if row[3] is None else format(row[3], '.2f')}</td><td>{text(row[2])}</td></tr>" for row in rows
    )
    heads = "<thead><tr><th>p(false)</th><th>caption</th></tr></thead>"
    return f"<table class='plain'>{heads}<tbody>{listed}</tbody></table>"
