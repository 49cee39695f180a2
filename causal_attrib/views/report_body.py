"""The report's text as HTML: captions with their legend, the table of numbers, and what all of it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.results.effects import effect_nats
from causal_attrib.results.maps import PER_MAP
from causal_attrib.views import coherence as words
from causal_attrib.views import drawing, refinement
from causal_attrib.views import explanations as meaning
from causal_attrib.views.headline import findings, reasons
from causal_attrib.views.report_data import VERDICT_CLASSES, Colouring, ReportCaption

_COLUMNS = ("logprob", "entropy", "sufficiency", "necessity", "causal_completeness")
_SHORT = {"logprob": "log-prob"}
_EFFECT = "effect in nats"
# Signals that stand side by side on a page 1,280 wide.
_ABREAST = 8
_WORDS = ' class="words"'
_NO_SCRIPTS = "Scripts do not run here: the words keep this colouring, and the table below has all numbers."
# A caption is set the larger the shorter it is: up to so many characters, in this size.
_SIZES = ((90, "large"), (300, "medium"))


def opening(captions: list[ReportCaption]) -> str:
    """What the page opens with: what each caption comes to, and why a reader is warned of words."""
    told = []
    for place, caption in enumerate(captions, 1):
        attribution = caption.attribution
        title = f"<b>Caption {place}.</b> " if len(captions) > 1 else ""
        said = " ".join(
            f'<span class="{VERDICT_CLASSES.get(one.kind, "")}">{escape(one.text)}</span>'
            for one in findings(attribution)
        )
        whole = ""
        if attribution.verdict is not None and "p_false" in attribution.verdict:
            whole = f'<p class="whole">The caption is {escape(drawing.caption_line(attribution))}.</p>'
        why = "".join(f"<li><b>{escape(word)}</b> {escape(reason)}</li>" for word, reason in reasons(attribution))
        told.append(f'<p class="said">{title}{said}</p>{whole}{f"<ul>{why}</ul>" if why else ""}')
    return f"""<section class="opening" aria-label="What it comes to">
{"".join(told)}
<noscript><p class="note">{_NO_SCRIPTS}</p></noscript>
</section>"""


def switcher(captions: list[ReportCaption], chosen: str | None) -> str:
    """The radio group that says which score colours the words."""
    names = [name for name in meaning.SHOWN if any(name in caption.colourings for caption in captions)]
    if chosen is None:
        return ""
    choices = "".join(
        f'<label><input type="radio" name="score" value="{name}"{" checked" if name == chosen else ""}>'
        f"<span>{meaning.SHOWN[name]}</span></label>"
        for name in names
    )
    return f'<fieldset class="switch"><legend>Colour the words by</legend>{choices}</fieldset>'


def article(caption: ReportCaption, place: int, count: int, chosen: str | None) -> str:
    """One caption as coloured text, with its legend and its outcome."""
    attribution = caption.attribution
    colouring = caption.colourings.get(chosen or "")
    name = f"Caption {place + 1}" if count > 1 else "Caption"
    written = ", written by the model" if attribution.generated else ""
    size = next((size for most, size in _SIZES if len(attribution.caption) <= most), "small")
    answers = "".join(
        f'<span class="t">{escape(drawing.visible(caption.answer_labels[i]))}</span>' for i in caption.answers
    )
    asked = (("Question", attribution.question), ("Answer", attribution.answer))
    told = "".join(f"<dt>{what}</dt><dd>{_bdi(text)}</dd>" for what, text in asked if text is not None)
    return f"""<article class="caption" data-caption="{place}" aria-label="{name}">
<h2>{name}{written}</h2>
<p class="text {size}" dir="auto">{"".join(_run(caption, colouring))}</p>
{f'<p class="answers">Map of the whole answer: {answers}</p>' if answers else ""}
{_key(colouring)}
<dl class="asked">{told}<dt>Outcome</dt><dd>{escape(drawing.visible(drawing.outcome_line(attribution)))}</dd></dl>
</article>"""


def table(caption: ReportCaption, place: int, count: int, chosen: str | None) -> str:
    """All numbers of one caption, a row per unit; sorted by the page's script."""
    title = "Numbers" if count == 1 else f"Numbers of caption {place + 1}"
    return f"""<section class="numbers" data-caption="{place}">
<h2 id="numbers-{place}">{title}</h2>
{_grid(caption, f"numbers-{place}", _columns(caption.attribution), chosen)}
</section>"""


def notes(captions: list[ReportCaption]) -> str:
    """What is to be known of the numbers of all captions: each once."""
    of_each = [caption.attribution for caption in captions]
    told = [f"Verdicts: {escape(one.verdict['note'])}." for one in of_each if one.verdict is not None]
    if any(_effects(one) for one in of_each):
        told.append("The effect in nats is the change of the outcome's log-odds where the word is hidden.")
    return f'<p class="note">{" ".join(dict.fromkeys(told))}</p>' if told else ""


def signals(caption: ReportCaption, place: int, count: int, chosen: str | None) -> str:
    """The signals of one caption, in as many tables as they need width; empty where none were asked for."""
    attribution, names = caption.attribution, caption.attribution.signal_names
    if not names:
        return ""
    title = "Signals" if count == 1 else f"Signals of caption {place + 1}"
    each = math.ceil(len(names) / math.ceil(len(names) / _ABREAST))
    of_name = {name: [(token.signals or {}).get(name) for token in attribution.tokens] for name in names}
    columns = [_Column(name, values, [drawing.number(value) for value in values]) for name, values in of_name.items()]
    parts = [columns[first : first + each] for first in range(0, len(names), each)]
    tables = "\n".join(_grid(caption, f"signals-{place}", part, chosen) for part in parts)
    opened = " open" if len(names) <= _ABREAST else ""
    return f"""<section class="signals" data-caption="{place}">
<details{opened}><summary><h2 id="signals-{place}">{title} ({len(names)})</h2></summary>
{tables}
</details>
</section>"""


def sentences(caption: ReportCaption, place: int, count: int) -> str:
    """The sentences of a caption that were scored before its words; empty where they were not."""
    attribution = caption.attribution
    if attribution.refinement is None:
        return ""
    title = "Sentences" if count == 1 else f"Sentences of caption {place + 1}"
    headings = "".join(f'<th scope="col">{heading}</th>' for heading in refinement.HEADINGS)
    rows = "\n".join(
        f"<tr><td>{_bdi(text)}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for text, *cells in refinement.rows(attribution)
    )
    note = refinement.note(attribution.refinement)
    empty = " Words without a score are empty in the table of words." if refinement.leaves_out(attribution) else ""
    return f"""<section class="sentences" data-caption="{place}">
<h2 id="sentences-{place}">{title}</h2>
<div class="scroll" role="region" aria-labelledby="sentences-{place}" tabindex="0">
<table>
<thead><tr>{headings}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<p class="note">{note[0].upper()}{note[1:]}.{empty}</p>
</section>"""


def coherence(caption: ReportCaption, place: int, count: int) -> str:
    """The channels of a reasoned answer, each with what it means; empty where they were not asked for."""
    record = caption.attribution.coherence
    if record is None:
        return ""
    title = "Coherence" if count == 1 else f"Coherence of caption {place + 1}"
    rows = "\n".join(
        f'<div class="channel"><dt>{name}</dt><dd><b>{drawing.number(record["hardened"][channel])}</b> '
        f"<span>(without hardening {drawing.number(record['channels'][channel])})</span></dd>"
        f'<dd class="means">{words.MEANINGS[channel]}</dd></div>'
        for channel, name in words.CHANNELS.items()
    )
    return f"""<section class="coherence" aria-labelledby="coherence-{place}">
<h2 id="coherence-{place}">{title}: {drawing.number(record["aggregate"])}</h2>
<dl class="channels">
{rows}
</dl>
<p class="note">{" ".join(filter(None, (words.NOTE, words.single_tokens(record))))}</p>
</section>"""


def foot(captions: list[ReportCaption]) -> str:
    """Settings and provenance of every caption and its maps."""
    parts = []
    for place, caption in enumerate(captions):
        facts = _provenance(caption.attribution)
        if caption.maps is not None:
            facts |= {"maps": f"{caption.maps.method}, level {caption.maps.level}, target {caption.maps.target}"}
            settings = caption.maps.settings.items()
            facts |= {f"maps, {name}": value for name, value in settings if value is not None and name not in PER_MAP}
        told = "\n".join(f"<dt>{escape(name)}</dt><dd>{_bdi(str(value))}</dd>" for name, value in facts.items())
        title = f"<h3>Caption {place + 1}</h3>" if len(captions) > 1 else ""
        parts.append(f"{title}<dl>\n{told}\n</dl>")
    return f"<details><summary>Settings and provenance</summary>\n{''.join(parts)}\n</details>"


def _run(caption: ReportCaption, colouring: Colouring | None) -> list[str]:
    """The text of the caption: the space before a word stays uncoloured, a line break is marked and made."""
    html, at, tokens = [], 0, caption.attribution.tokens
    for text, token in drawing.pieces(caption.attribution):
        shown = text.lstrip(" ") or text
        html.append(text[: len(text) - len(shown)])
        body = escape(drawing.visible(shown)) + "<br>" * text.count("\n")
        if token is not None:
            colour = colouring.classes[at] if colouring else "unscored"
            # Room is left around a word, and none between its tokens.
            first = at == 0 or tokens[at - 1].word != token.word
            last = at + 1 == len(tokens) or tokens[at + 1].word != token.word
            edges = ("first" if first else "", "last" if last else "")
            classes = " ".join(filter(None, ("t", colour, _mark(caption, token), *edges)))
            body = f'<span class="{classes}" title="{escape(_tooltip(token))}">{body}</span>'
            at += 1
        html.append(body)
    return html


def _mark(caption: ReportCaption, token: Token) -> str:
    return "bad" if token.index in caption.marks else ""


def _tooltip(token: Token) -> str:
    """For where scripts do not run."""
    return "\n".join(f"{meaning.HEADINGS[name]} {meaning.written(token, name)}" for name in _COLUMNS)


def _key(colouring: Colouring | None) -> str:
    """The legend. Where there is nothing to explain it is hidden, and the script may need it later."""
    hidden = " hidden" if colouring is None else ""
    colouring = colouring or Colouring((), (), "signed", 0.0, "")
    limit = drawing.number(colouring.limit, 2)
    swatches = " ".join(f'<span class="chip {of}">{verdict}</span>' for verdict, of in VERDICT_CLASSES.items())
    return f"""<div class="key {colouring.kind}"{hidden}>
<p class="swatches">{swatches}</p>
<div class="bar"><div class="ramp {colouring.kind}"></div>
<div class="ticks"><span class="low">{f"-{limit}" if colouring.kind == "signed" else ""}</span>\
<span class="mid">0</span><span class="high">{limit}</span></div></div>
<p class="note">{escape(colouring.note)}</p>
</div>"""


@dataclass(frozen=True)
class _Column:
    """A column of numbers: what a row shows, and what it is sorted by."""

    heading: str
    values: Sequence[float | None]
    cells: Sequence[str]
    is_text: bool = False


def _columns(attribution: Attribution) -> list[_Column]:
    """What is known of each unit, signals apart."""
    tokens, columns = attribution.tokens, []

    def add(name: str) -> None:
        values = [getattr(token, name) for token in tokens]
        columns.append(
            _Column(
                _SHORT.get(name, meaning.HEADINGS[name]), values, [meaning.written(token, name) for token in tokens]
            )
        )

    if attribution.verdict is not None:
        # The first that one looks for.
        verdicts = [token.verdict or "–" for token in tokens]
        columns.append(_Column("verdict", [token.evidence for token in tokens], verdicts, is_text=True))
        add("p_false")
        add("evidence")
    for name in _COLUMNS[:-1]:
        add(name)
    effects = _effects(attribution)
    if effects:
        columns.append(_Column(_EFFECT, effects, [drawing.number(effect, 2) for effect in effects]))
    add(_COLUMNS[-1])
    return columns


def _effects(attribution: Attribution) -> list[float | None]:
    """The effects in nats; none where the outcome has none."""
    effects = [effect_nats(attribution.outcome, token.necessity) for token in attribution.tokens]
    return effects if any(effect is not None for effect in effects) else []


def _grid(caption: ReportCaption, title: str, columns: Sequence[_Column], chosen: str | None) -> str:
    """A table with a row per unit, which on a narrow screen becomes a list; each cell says what it is there."""
    colouring = caption.colourings.get(chosen or "")
    classes = colouring.classes if colouring else ["unscored"] * len(caption.attribution)
    headings = "".join(
        f'<th scope="col"{_WORDS if column.is_text else ""}>{escape(column.heading).replace("_", "_<wbr>")}</th>'
        for column in columns
    )
    rows = "\n".join(
        _row(caption, token, at, of, columns)
        for at, (token, of) in enumerate(zip(caption.attribution.tokens, classes, strict=True))
    )
    return f"""<div class="scroll" role="region" aria-labelledby="{title}" tabindex="0">
<table class="units">
<thead><tr><th scope="col" aria-sort="ascending">#</th><th scope="col">{caption.unit}</th>{headings}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>"""


def _row(caption: ReportCaption, token: Token, at: int, colour: str, columns: Sequence[_Column]) -> str:
    cells = "".join(
        f'<td{_WORDS if column.is_text else ""}{_value(column.values[at])} data-label="{escape(column.heading)}">'
        f"{escape(column.cells[at])}</td>"
        for column in columns
    )
    mark = f' <abbr title="{caption.warning}">!</abbr>' if token.index in caption.marks else ""
    classes = " ".join(filter(None, ("chip", colour, _mark(caption, token))))
    # A token that goes on with a word.
    on = at > 0 and caption.attribution.tokens[at - 1].word == token.word
    dot = '<span class="goes-on">·</span>' if on else ""
    name = f'{dot}<bdi class="{classes}">{escape(caption.shown(token))}</bdi>{mark}'
    return f'<tr data-unit="{at}"><td data-value="{at}">{at + 1}</td><th scope="row">{name}</th>{cells}</tr>'


def _value(value: float | None) -> str:
    return "" if value is None else f' data-value="{value!r}"'


def _provenance(attribution: Attribution) -> dict[str, object]:
    image, tool = attribution.image, attribution.tool
    facts = {
        "prompt": attribution.prompt,
        "question": attribution.question,
        "answer": attribution.answer,
        "caption": "written by the model" if attribution.generated else "given",
        "picture": ", ".join(str(image[key]) for key in ("path", "width", "height", "sha256") if image.get(key)),
        "outcome": drawing.outcome_line(attribution),
        "model": drawing.model_line(attribution),
        "revision": attribution.model.get("revision"),
        "made by": f"{tool.get('name', 'copo')} {tool.get('version', '')}".strip(),
    }
    facts |= attribution.settings
    return {name: value for name, value in facts.items() if value not in (None, "")}


def _bdi(text: str) -> str:
    return f"<bdi>{escape(drawing.visible(text))}</bdi>"
