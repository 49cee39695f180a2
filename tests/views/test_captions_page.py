"""The page on many captions: what it counts, worked out by hand, and the list in a real browser."""

import time

import pytest

from causal_attrib import Attribution, Token
from causal_attrib.results.caption_files import Scored
from causal_attrib.views.captions_data import count_captions
from causal_attrib.views.captions_page import captions_page

G, P, U, A = "grounded", "language prior", "undecided", "against the image"


def scored(number, words, image, p_false=0.5, path=None, sha256=None):
    """A caption of words with their verdicts, one token each."""
    tokens, start = [], 0
    for index, (word, verdict) in enumerate(words):
        text = word if index == 0 else f" {word}"
        judged = {} if verdict is None else {"evidence": 1.5, "p_false": 0.25, "verdict": verdict}
        tokens.append(Token(index, text, index, index, start, start + len(text), -1.0, 1.0, necessity=0.125, **judged))
        start += len(text)
    attribution = Attribution(
        "".join(token.text for token in tokens),
        tokens,
        image={"path": path or f"{image}.png", "sha256": sha256 or image, "width": 8, "height": 8},
        model={"id": "tiny"},
        outcome={"name": "grounding", "meaning": "m", "value": number / 100},
        settings={"against": "colour", "mask": "zero", "level": "token", "estimator": "paired", "samples": 0},
        tool={"name": "copo", "version": "0"},
        verdict={"p_false": p_false, "claims": 2, "against": 1, "calibrated": True, "note": "calibrated by hand"},
    )
    batch = {"row": number, "rows": 4, "input": "a", "flags": "b"}
    return Scored(str(number), batch, attribution.to_dict())


FEW = [
    scored(0, [("a", None), ("dog", G), ("at", None), ("noon", A)], "p", 0.9),
    scored(1, [("two", G), ("dogs", P), ("at", None), ("noon", A)], "q", 0.2),
    scored(2, [("red", U), ("dog", A)], "p", 0.95),
    scored(3, [("noon", G)], "r", 0.1),
]


def test_what_is_counted_by_hand():
    found = count_captions(FEW)
    assert (found.total, found.pictures, found.words) == (4, 3, 11)
    assert {kind: dict(counts) for kind, counts in found.by_type.items()} == {
        "object": {G: 1, P: 1, A: 1},
        "number": {G: 1},
        "colour": {U: 1},
        "other content word": {A: 2, G: 1},
    }
    # "noon" stands in three pictures and against two of them; "dog" is of one picture only.
    [noon] = found.against
    assert (noon.word, noon.times, noon.images) == ("noon", 3, 3)
    assert noon.against.value == pytest.approx(200 / 3)
    assert noon.against.low == 0 and noon.against.high == 100
    # The most doubtful caption of each picture.
    assert [number for number, _ in found.in_doubt] == [2, 1, 3]
    assert found.rows[0][:6] == ["0", "p.png", "a dog at noon", 0.9, 0.0, 1]
    assert found.rows[0][6][1] == [2, 5, 0, 1.5, 0.25, 0.125]
    few = count_captions(FEW, limit=2)
    assert (few.total, len(few.rows), [number for number, _ in few.in_doubt]) == (4, 2, [1])


def test_of_words_as_often_against_the_image_the_larger_share_is_first():
    often = [scored(0, [("noon", A)], "p"), scored(1, [("noon", G), ("zebra", A)], "q"), scored(2, [("noon", G)], "r")]
    found = count_captions([*often, scored(3, [("zebra", G)], "s")])
    assert [(one.word, one.times) for one in found.against] == [("zebra", 2), ("noon", 3)]


def test_of_several_notes_each_says_how_many_captions_it_is_of():
    other = scored(4, [("noon", G)], "s")
    other.record["verdict"]["note"] = "outside"
    assert "Verdicts: calibrated by hand." in captions_page(count_captions(FEW), "x")
    text = captions_page(count_captions([*FEW, other]), "x")
    assert "Verdicts (4 of the captions): calibrated by hand." in text
    assert "Verdicts (1 of the captions): outside." in text


def test_on_a_phone_every_verdict_has_its_number_in_sight(opened):
    page = opened(captions_page(count_captions(FEW), "x"), viewport={"width": 390, "height": 844})
    assert all(box.evaluate("it => it.scrollWidth <= it.clientWidth") for box in page.locator(".scroll").all())
    heads = [head for head in page.locator(".kinds thead th:visible").all_inner_texts()]
    assert [head.replace("\n", " ") for head in heads] == ["kind", G, P, U, A]


def test_a_file_without_verdicts_is_counted_too():
    record = {name: value for name, value in FEW[0].record.items() if name != "verdict"}
    plain = [
        {key: token[key] for key in token if key not in ("evidence", "p_false", "verdict")}
        for token in record["tokens"]
    ]
    found = count_captions([Scored("0", FEW[0].batch, {**record, "tokens": plain})])
    assert found.p_false == [] and found.against == [] and found.rows[0][3] is None
    assert "score it with --verdict" in captions_page(found, "x")


def test_the_list_is_searched_sorted_filtered_and_opened(opened):
    hostile = scored(
        4, [("<img", None), ("src=x", None), ("onerror=alert(1)>", None), ("noon", A)], "</script><b>", 0.99
    )
    page = opened(captions_page(count_captions([*FEW, hostile]), "scores <1>.parquet"))
    rows = page.locator(".row")
    assert page.locator("h1").inner_text() == "scores <1>.parquet" and page.locator("#view img").count() == 0
    # The most doubtful first; what stands against the image is marked.
    assert [text.splitlines()[-1] for text in rows.all_inner_texts()][1:] == [
        "red dog",
        "a dog at noon",
        "two dogs at noon",
        "noon",
    ]
    assert rows.nth(2).locator(".w3").all_inner_texts() == ["noon"]
    page.get_by_label("Search").fill("DOG noon")
    assert page.locator("#count").inner_text() == "2 captions" and rows.count() == 2
    page.get_by_label("Search").fill("")
    page.get_by_label("Sort by").select_option("order")
    assert rows.first.inner_text().splitlines()[-1] == "a dog at noon"
    page.get_by_label("With a word that is").select_option("language prior")
    assert [text.splitlines()[-1] for text in rows.all_inner_texts()] == ["two dogs at noon"]
    page.get_by_label("With a word that is").select_option("anything")
    # Its own view, by a click, from the keyboard, and by its address.
    rows.first.click()
    detail = page.locator("#detail")
    assert detail.locator(".text").inner_text() == "a dog at noon"
    assert [cell.strip() for cell in detail.locator("tbody tr").nth(1).inner_text().split("\t")] == [
        *("dog", "grounded", "1.500", "0.250", "0.125")
    ]
    page.locator("#view").press("ArrowDown")
    assert detail.locator(".text").inner_text() == "two dogs at noon" and page.url.endswith("#caption=1")
    page.locator("button.word", has_text="noon").click()
    assert sorted(text.splitlines()[-1] for text in rows.all_inner_texts()) == [
        "<img src=x onerror=alert(1)> noon",
        "a dog at noon",
        "two dogs at noon",
    ]
    page.locator(".thumb").nth(1).click()
    assert detail.locator(".text").inner_text() == "red dog"


def test_ten_thousand_captions_stay_fluid(opened):
    many = [
        scored(n, [(f"dog{n}", G), ("at", None), ("noon", A if n % 3 else G)], f"p{n % 500}", n / 10_000)
        for n in range(10)
    ]
    found = count_captions(many)
    found.rows = [
        [str(n), "p.png", f"dog{n} at noon", (n % 100) / 100, 0.5, 0, many[0] and found.rows[0][6]]
        for n in range(10_000)
    ]
    found.total = 10_000
    found.in_doubt = []
    page = opened(captions_page(found, "many"))
    # Only what is in sight is in the document.
    assert page.locator(".row").count() < 60 and "10,000 captions" in page.locator("#count").inner_text()
    spent = page.evaluate(
        """async () => {
            const view = document.getElementById("view"), frame = () => new Promise(requestAnimationFrame);
            const began = performance.now();
            for (let step = 0; step < 30; step++) { view.scrollTop = step * 13000; await frame(); await frame(); }
            return performance.now() - began;
        }"""
    )
    assert page.locator(".row").count() < 60
    assert page.locator(".row").first.get_attribute("aria-setsize") == "10000"
    assert spent < 30 * 250  # a quarter of a second a jump, on a machine that others share
    began = time.monotonic()
    page.get_by_label("Search").fill("dog9999")
    assert page.locator("#count").inner_text() == "1 captions" and time.monotonic() - began < 3
