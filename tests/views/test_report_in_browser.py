"""The report in a real browser: what a reader points at, clicks and types."""

import pytest

from causal_attrib import views
from tests.views.browser import FULL, lit, pixel, pressed, word

# -- pointing --


def test_pointing_at_a_word_shows_its_map_and_its_numbers(opened, scene):
    page = opened(views.report(*scene))
    stage, card = page.locator("#stage"), page.locator("#card")
    assert "grey" not in stage.get_attribute("class")
    assert "Point at a word" in card.inner_text()

    word(page, "dog").hover()
    assert "grey" in stage.get_attribute("class")
    # Canvases keep colours multiplied by their opacity, so the last bits of a pale one are lost.
    assert pixel(page, 0, 0) == pytest.approx([33, 102, 172, FULL], abs=2)  # full blue: 2 of 2
    assert pixel(page, 3, 3) == pytest.approx([178, 24, 43, FULL / 4], abs=3)  # red: -0.5 of 2
    assert pixel(page, 1, 1)[3] == 0
    assert page.locator("#map-name").inner_text() == "Map of dog"
    text = card.inner_text()
    for told in (
        "token 2 of 5",
        "0.263",
        "0.500",
        "falls by 0.500",
        "0.250",
        "-0.500",
        "61 %",
        "1.000",
        "upper left (2)",
    ):
        assert told in text
    assert page.locator("tr.on").inner_text().split()[:2] == ["2", "dog"]

    word(page, "ll").hover()
    assert "better without it" in card.inner_text()
    page.mouse.move(5, 5)
    assert "grey" not in stage.get_attribute("class")
    assert "Point at a word" in card.inner_text()


def test_each_map_can_have_its_own_scale_and_the_legend_says_so(opened, scene):
    page = opened(views.report(*scene))
    high = page.locator(".map-key .high")
    word(page, "ba").click()
    assert high.inner_text() == "2" and pixel(page, 3, 3)[3] == pytest.approx(FULL / 2, abs=2)
    page.get_by_label("Each map on its own scale").check()
    assert high.inner_text() == "1" and pixel(page, 3, 3)[3] == pytest.approx(FULL, abs=1)


def test_a_row_of_the_table_is_as_good_as_its_word(opened, scene):
    page = opened(views.report(*scene))
    page.locator("tbody tr").nth(3).click()
    assert pressed(page) == ["ba"]
    assert page.locator("#map-name").inner_text() == "Map of ba"


# -- clicking the picture --


def test_a_click_on_the_picture_lights_the_words_it_supports(opened, scene):
    page = opened(views.report(*scene))
    stage, card = page.locator("#stage"), page.locator("#card")
    side = stage.bounding_box()["width"]
    stage.click(position={"x": 0.9 * side, "y": 0.9 * side})
    assert lit(page) == ["ba", "ll"]
    assert "red" in word(page, "dog").get_attribute("class")
    assert card.locator(".lit-words").inner_text().split() == ["ba", "1", "ll", "0.25"]
    assert page.locator(".spot").is_visible()
    stage.click(position={"x": 0.1 * side, "y": 0.1 * side})
    assert lit(page) == ["dog"]
    stage.click(position={"x": 0.5 * side, "y": 0.1 * side})
    assert lit(page) == []
    assert "hardly any effect" in card.inner_text()
    page.keyboard.press("Escape")
    assert not page.locator(".spot").is_visible()
    assert "l20" in word(page, "dog").get_attribute("class")


# -- the keyboard --


def test_everything_can_be_done_from_the_keyboard(opened, scene):
    page = opened(views.report(*scene))
    page.get_by_role("radio", checked=True).focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "a"
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#map-name").inner_text() == "Map of dog"
    page.keyboard.press("Enter")
    assert pressed(page) == ["dog"]
    assert "dog" in page.get_by_role("status").inner_text()
    page.keyboard.press("End")
    word(page, "ba").hover()
    assert page.locator("#map-name").inner_text() == "Map of dog"
    page.keyboard.press("Escape")
    assert pressed(page) == []

    page.locator("#stage").focus()
    for key in ("ArrowRight",) * 5 + ("ArrowDown",) * 5:
        page.keyboard.press(key)
    assert lit(page) == ["ba", "ll"]
    assert "ba, ll" in page.get_by_role("status").inner_text()


# -- scores and the table --


def test_the_switch_colours_by_another_score_and_changes_the_legend(opened, scene):
    page = opened(views.report(*scene))
    key = page.locator(".caption .key")
    assert "l20" in word(page, "dog").get_attribute("class").split()
    # .2625, the most of a content word that is not contradicted; the scale has no other end.
    assert (key.locator(".high").inner_text(), key.locator(".low").inner_text()) == ("0.26", "")
    page.get_by_role("radio", name="log-probability").check()
    assert word(page, "ll").get_attribute("class").split()[:2] == ["t", "bad"]
    assert {"amber", "l20"} <= set(word(page, "ll").get_attribute("class").split())
    assert (key.locator(".high").inner_text(), key.locator(".low").inner_text()) == ("4.00", "")
    assert "less likely" in key.inner_text()
    assert word(page, "ll").get_attribute("aria-label") == "ll, log-probability -4.000"


def test_the_table_sorts(opened, sunset):
    page = opened(views.report(sunset))

    def column(place):
        return [row.split("\t")[place] for row in page.locator("tbody").inner_text().splitlines()]

    heading = page.get_by_role("columnheader", name="necessity")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert column(5) == ["0.750", "0.000", "-0.500", "–"]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert column(5) == ["-0.500", "0.000", "0.750", "–"]
    assert page.locator("th[aria-sort]").count() == 1
    page.get_by_role("columnheader", name="token").get_by_role("button").click()
    assert column(1)[-1] == 'sun"set !'
    page.get_by_role("columnheader", name="#").get_by_role("button").click()
    assert column(0) == ["1", "2", "3", "4"]
