"""The report in a real browser: what it must never run, and how it stands on every screen and on paper."""

import contextlib
import dataclasses
import hashlib
from pathlib import Path

import pytest
from PIL import Image

from causal_attrib import Attribution, Token, views
from causal_attrib.choices import SIGNALS
from causal_attrib.results.maps import Maps
from tests.views.browser import FULL, pixel, pressed, word

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

# -- safety --


def hostile(scene):
    attack = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    attribution, maps = scene
    tokens = [Token(0, attack, 1, 0, 0, len(attack), necessity=0.5)]
    attribution = dataclasses.replace(
        attribution, caption=attack, tokens=tokens, prompt=attack, question=attack, answer=attack, model={"id": attack},
        outcome={"name": attack, "meaning": attack}, settings={attack: attack}, tool={"name": attack},
    )  # fmt: skip
    of_it = {"labels": (attack, attack), "tokens": ((0,), ()), "caption": attack, "model": {"id": attack}}
    maps = dataclasses.replace(
        maps, values_THW=maps.values_THW[:2], foil=attack, target="foil", settings={attack: attack},
        proofs=({attack: attack}, {}), **of_it,
    )  # fmt: skip
    return attack, attribution, maps


def test_text_stays_text(opened, scene):
    attack, attribution, maps = hostile(scene)
    page = opened(views.report([attribution, attribution], [maps, maps]))
    page.locator(".text .t").first.click()
    page.locator("#stage").click()
    page.locator(".answers .t").first.click()
    page.locator("summary").first.click()
    assert page.evaluate("window.hacked") is None
    assert attack in page.locator(".text").first.inner_text()
    assert page.locator("img").count() == 1


def test_a_script_that_got_in_does_not_run(opened, scene):
    html = views.report(*scene).replace(
        "</main>", "<script>window.hacked=1</script><b onclick=window.hacked=1>x</b></main>"
    )
    page = opened(html, complains=True)
    page.get_by_text("x", exact=True).click()
    assert page.evaluate("window.hacked") is None
    word(page, "dog").hover()
    assert page.locator("#map-name").inner_text() == "Map of dog"


# -- long, many, small, dark, printed --


def long_caption(scene, count=200):
    attribution, maps = scene
    tokens = [
        Token(at, f" w{at}", at, at, 0, 0, -0.5, 1.0, 0.1, None, (at % 9 - 4) / 10, at / 1000) for at in range(count)
    ]
    starts = [sum(len(token.text) for token in tokens[:at]) for at in range(count + 1)]
    tokens = [dataclasses.replace(t, char_start=starts[t.index], char_end=starts[t.index + 1]) for t in tokens]
    caption = "".join(token.text for token in tokens)
    values_THW = [[[at / count, -1.0], [0.0, 0.0]] for at in range(count)]
    groups = [(at,) for at in range(count)]
    labels = [token.text for token in tokens]
    kept = {"image": maps.image, "model": maps.model, "caption": caption}
    return (
        dataclasses.replace(attribution, caption=caption, tokens=tokens),
        Maps(values_THW, labels, groups, "occlusion", "region", "logprob", **kept),
    )


def test_two_hundred_tokens(opened, scene):
    page = opened(views.report(*long_caption(scene)))
    assert page.locator(".text .t").count() == 200
    last = word(page, "w199")
    last.scroll_into_view_if_needed()
    last.hover()
    assert pixel(page, 0, 0)[3] == pytest.approx(FULL * 199 / 200, abs=2)
    # Picture and card are in sight wherever the reader is in the caption.
    for part in ("#stage", "#card"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900
    # Over the tables it does not stay.
    page.locator(".numbers tbody tr").last.scroll_into_view_if_needed()
    box = page.locator("#stage").bounding_box()
    assert box["y"] + box["height"] <= page.locator(".numbers").bounding_box()["y"]


def test_several_captions_stand_side_by_side_and_each_has_its_maps(opened, scene):
    attribution, maps = scene
    swapped = dataclasses.replace(maps, values_THW=maps.values_THW[:, ::-1])
    html = views.report([attribution, attribution, attribution], [maps, swapped, None])
    page = opened(html)
    first, second, _ = (page.locator(".caption").nth(place).bounding_box() for place in range(3))
    assert first["y"] == second["y"] and first["x"] + first["width"] <= second["x"]
    word(page, "dog", 0).hover()
    assert pixel(page, 0, 0)[3] == pytest.approx(FULL, abs=1)
    word(page, "dog", 1).hover()
    assert (
        pixel(page, 0, 3)[3] == pytest.approx(FULL, abs=1)
        and "Caption 2, token 2" in page.locator("#card").inner_text()
    )
    word(page, "dog", 2).hover()
    assert "grey" not in page.locator("#stage").get_attribute("class")
    narrow = opened(html, **PHONE)
    first, second = (narrow.locator(".caption").nth(place).bounding_box() for place in range(2))
    assert first["x"] == second["x"] and first["y"] + first["height"] <= second["y"]


def test_on_a_phone_nothing_is_wider_than_the_screen_and_the_word_stays_in_sight(opened, scene):
    page = opened(views.report(*long_caption(scene)), **PHONE)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    tapped = word(page, "w120")
    tapped.tap()
    assert pressed(page) == ["w120"]
    page.wait_for_timeout(100)
    picture, sheet, box = (each.bounding_box() for each in (page.locator("#stage"), page.locator("#card"), tapped))
    assert picture["y"] + picture["height"] <= box["y"] and box["y"] + box["height"] <= sheet["y"]
    assert sheet["y"] + sheet["height"] == pytest.approx(844, abs=1)
    page.get_by_label("Close details").tap()
    assert pressed(page) == []


CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => [0, 1, 2].map((i) => (top[3] ?? 1) * top[i] + (1 - (top[3] ?? 1)) * under[i]);
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const own = (element) => parse(getComputedStyle(element).backgroundColor);
  const ground = (element) => element ? over(own(element), ground(element.parentElement)) : [255, 255, 255];
  return [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
      && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((element) => {
      const [text, back] = [parse(getComputedStyle(element).color), ground(element)].map(light);
      const contrast = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
      return [contrast, element.className, element.textContent.slice(0, 20)];
    }).sort((a, b) => a[0] - b[0])[0];
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(opened, scene, scheme):
    """WCAG 2.2, success criterion 1.4.3 (AA): a contrast of 4.5 to 1, on every colour a word can have."""
    attribution, maps = scene
    page = opened(views.report(attribution, maps), color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 24)"
    assert dark == (scheme == "dark")
    page.locator("summary").click()
    assert page.evaluate(CONTRAST)[0] >= 4.5
    for name in ("necessity", "entropy", "log-probability"):  # full blue and red; full amber
        page.get_by_role("radio", name=name).check()
        word(page, "ll").hover()
        assert page.evaluate(CONTRAST)[0] >= 4.5
    page.locator("#stage").click(position={"x": 20, "y": 20})
    assert page.evaluate(CONTRAST)[0] >= 4.5


def test_it_prints_with_its_settings_and_without_its_controls(opened, scene):
    page = opened(views.report(*scene), color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".switch").is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_by_text("lambda_s").is_visible()
    assert page.locator("tbody tr").last.is_visible()
    assert page.evaluate(CONTRAST)[0] >= 4.5
    assert page.pdf().startswith(b"%PDF")


def test_the_page_opens_with_the_verdict_and_is_coloured_by_it(opened, judged, scene):
    page = opened(views.report(judged, scene[1]))
    opening = page.locator(".opening")
    assert opening.locator(".said").inner_text() == "The picture bears out “dog”. It speaks against “ball”."
    # exp(6) = 403, to two digits 400.
    assert "“ball” The image divides the probability of the word by 400." in opening.locator("li").inner_text()
    assert "false with a probability of 97 %" in opening.locator(".whole").inner_text()
    assert opening.bounding_box()["y"] < page.locator("#stage").bounding_box()["y"]
    assert page.get_by_role("radio", checked=True).get_attribute("value") == "verdict"
    assert "grounded" in word(page, "dog").get_attribute("class")
    assert {"against", "bad"} <= set(word(page, "ba").get_attribute("class").split())
    assert page.locator(".caption .swatches").is_visible() and not page.locator(".caption .ramp").is_visible()
    word(page, "ba").hover()
    assert "against the image" in page.locator("#card h2").inner_text()
    page.get_by_role("radio", name="necessity").check()
    assert page.locator(".caption .ramp").is_visible() and not page.locator(".caption .swatches").is_visible()


@pytest.fixture
def signalled(judged):
    """The judged scene with an outcome in nats, and with every signal that one picture has."""
    names = [name for name in SIGNALS if not name.endswith("_other")]
    tokens = [
        dataclasses.replace(token, signals={name: -12.3456 - at - token.index for at, name in enumerate(names)})
        for token in judged
    ]
    signals = {"columns": {name: {"pool": "sum"} for name in names}, "left_out": {}}
    return dataclasses.replace(
        judged, tokens=tokens, signals=signals, outcome={"name": "grounding", "value": 0.5, "scale": 5}
    )


def test_no_column_is_cut_off(opened, signalled):
    page = opened(views.report([signalled, signalled]))
    for many in page.get_by_text(f"({len(signalled.signal_names)})").all():
        many.click()
    headings = page.locator(".units").first.get_by_role("columnheader").all_inner_texts()
    assert headings[2:] == [
        *("verdict", "p(false)", "evidence", "log-prob", "entropy", "sufficiency", "necessity"),
        *("effect in nats", "causal completeness"),
    ]
    # 5 (logit(.5) - logit(0)): the outcome is rounded to 0 at 1e-12.
    assert page.locator(".units").first.locator('td[data-label="effect in nats"]').nth(1).inner_text() == "138.16"
    of_signals = page.locator('.signals[data-caption="0"] .units')
    told = [name for table in of_signals.all() for name in table.get_by_role("columnheader").all_inner_texts()[2:]]
    assert told == list(signalled.signal_names)
    for width in (1280, 1440, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        for table in page.locator(".scroll").all():
            assert table.evaluate("it => it.scrollWidth <= it.clientWidth")
            assert table.get_by_role("columnheader").last.is_visible()
    # Each table sorts by itself, and a row of it is as good as the word.
    last = of_signals.last.get_by_role("columnheader").last
    last.get_by_role("button").click()
    assert last.get_attribute("aria-sort") == "descending"
    of_signals.last.locator("tbody tr").nth(1).click()
    assert pressed(page) == ["dog"] and page.locator("tr.on").count() == 1 + of_signals.count()


def test_on_a_phone_a_table_is_a_list_with_all_numbers(opened, signalled):
    page = opened(views.report(signalled), **PHONE)
    page.locator(".signals summary").tap()
    for table in page.locator(".scroll").all():
        assert table.evaluate("it => it.scrollWidth <= it.clientWidth")
    row = page.locator(".numbers tbody tr").nth(3)
    cells = {cell.get_attribute("data-label"): cell for cell in row.locator("td[data-label]").all()}
    assert list(cells)[:3] == ["verdict", "p(false)", "evidence"] and cells["p(false)"].inner_text() == "0.970"
    # Each says what it is, and nothing runs over the edge or into another.
    boxes = [cell.bounding_box() for cell in cells.values()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            assert one["y"] + one["height"] <= other["y"] + 1 or one["x"] + one["width"] <= other["x"] + 1
    shown = page.evaluate("it => getComputedStyle(it, '::before').content", cells["necessity"].element_handle())
    assert shown == '"necessity"'


def test_rows_of_a_table_stay_whole_on_paper(opened, scene):
    """In Chromium's PDF no row begins on one page and ends on the next, and each page of it has the headings."""
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed: pip install pypdfium2")
    page = opened(views.report(long_caption(scene, 60)[0]))
    # Rows of several lines and of different heights, so that the end of a page would go through one.
    page.locator(".numbers tbody th").evaluate_all(
        "all => all.forEach((it, at) => { it.innerHTML = `begin${at}.${'<br>'.repeat(1 + at % 7)}end${at}.`; })"
    )
    with contextlib.closing(pdfium.PdfDocument(page.pdf(format="A4"))) as document:
        texts = [leaf.get_textpage().get_text_bounded() for leaf in document]
    on = {end: [{at for at in range(60) if f"{end}{at}." in text} for text in texts] for end in ("begin", "end")}
    assert on["begin"] == on["end"] and sorted(at for rows in on["end"] for at in rows) == list(range(60))
    with_rows = [text for text, rows in zip(texts, on["end"], strict=True) if rows]
    assert len(with_rows) > 4 and all("necessity" in text for text in with_rows)


def test_a_page_has_one_scale_and_nothing_covers_an_outcome(opened, scene):
    attribution, maps = scene
    faint = [dataclasses.replace(token, causal_completeness=0.105 * bool(token.index == 1)) for token in attribution]
    other = dataclasses.replace(attribution, tokens=faint)
    half = dataclasses.replace(maps, values_THW=maps.values_THW / 2)
    page = opened(views.report([attribution, other], [maps, half]))
    # .105 of .2625 is 8 of 20 steps; by its own scale it would have all.
    assert "l20" in word(page, "dog", 0).get_attribute("class") and "l8" in word(page, "dog", 1).get_attribute("class")
    assert {key.inner_text() for key in page.locator(".caption .high").all()} == {"0.26"}
    word(page, "dog", 1).hover()
    assert pixel(page, 0, 0)[3] == pytest.approx(FULL / 2, abs=2)
    card = page.locator("#card").bounding_box()
    for outcome in page.locator(".asked").all():
        box = outcome.bounding_box()
        assert box["y"] + box["height"] <= card["y"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened, judged, scene, scheme):
    """The checks of axe-core (WCAG 2.2 A and AA, and its best practices)."""
    package = pytest.importorskip("axe_playwright_python", reason="pip install axe-playwright-python")
    page = opened(views.report([judged, scene[0]], [scene[1], None]), color_scheme=scheme)
    page.evaluate((Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    word(page, "dog", 0).click()
    found = page.evaluate("axe.run()")
    assert found["passes"] and [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]] == []


def test_without_scripts_nothing_is_there_that_does_nothing(opened, scene):
    page = opened(views.report(*scene), java_script_enabled=False)
    assert "Scripts do not run here" in page.locator(".opening").inner_text()
    for dead in (".switch", ".hint", ".map-key"):
        assert not page.locator(dead).is_visible()
    assert page.locator("img.picture").is_visible() and page.locator(".caption .ramp").is_visible()


def test_without_scripts_caption_and_table_are_there(opened, scene):
    page = opened(views.report(*scene), java_script_enabled=False)
    assert page.locator(".text").inner_text() == "a dog and ball"
    assert word(page, "dog").get_attribute("title").startswith("log-probability -0.500")
    assert page.locator("tbody tr").count() == 5


def test_without_maps_or_picture_or_scores_nothing_fails(opened, scene):
    attribution, maps = scene
    word(opened(views.report(attribution)), "dog").click()
    gone = {**attribution.image, "sha256": "00"}
    lost = dataclasses.replace(attribution, image=gone), dataclasses.replace(maps, image=gone)
    page = opened(views.report(*lost))
    assert "no longer there" in page.locator("figcaption").inner_text()
    word(page, "dog").hover()
    assert pixel(page, 0, 0)[3] == pytest.approx(FULL, abs=1)
    bare = Attribution("a", [Token(0, "a", 1, 0, 0, 1)])
    word(opened(views.report(bare)), "a").click()
    opened(views.report(Attribution("", [])))


def test_captions_with_different_scores(opened, scene):
    attribution, _ = scene
    sure, needed = (
        dataclasses.replace(
            attribution, tokens=[dataclasses.replace(token, **dict.fromkeys(names)) for token in attribution]
        )
        for names in (
            ("necessity", "sufficiency", "causal_completeness"),
            ("logprob", "entropy", "causal_completeness"),
        )
    )
    page = opened(views.report([sure, needed]))
    keys = page.locator(".caption .key")
    assert [keys.nth(at).is_visible() for at in (0, 1)] == [False, True]
    assert "unscored" in word(page, "dog", 0).get_attribute("class")
    page.get_by_role("radio", name="entropy").check()
    assert [keys.nth(at).is_visible() for at in (0, 1)] == [True, False]
    assert "unscored" in word(page, "dog", 1).get_attribute("class")


@pytest.mark.parametrize("size", [(40, 10), (10, 40)])
def test_a_picture_keeps_its_proportions_and_the_map_covers_it(opened, scene, tmp_path, size):
    attribution, maps = scene
    path = tmp_path / "strip.png"
    Image.new("RGB", size).save(path)
    image = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    strip = dataclasses.replace(attribution, image=image), dataclasses.replace(maps, image=image)
    page = opened(views.report(*strip))
    picture, canvas = (page.locator(part).bounding_box() for part in ("img.picture", "#stage canvas"))
    assert picture["width"] / picture["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    assert picture == canvas
    assert picture["height"] <= 0.62 * 900 + 1


def test_the_frame_of_a_notebook_answers_to_the_pointer(opened, scene):
    attribution, _ = scene
    frame = opened(f"<!DOCTYPE html><p>A notebook</p>{views.notebook(attribution)}").frame_locator("iframe")
    frame.locator(".text .t").get_by_text("dog", exact=True).hover()
    assert "falls by 0.500" in frame.locator("#card").inner_text()
