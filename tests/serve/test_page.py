"""The page in a real browser."""

import re

import pytest

from tests.conftest import FALSE
from tests.views.conftest import browser  # noqa: F401

LONG = 60_000  # milliseconds, on a machine that does other things too


@pytest.fixture
def page(browser, server):  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(LONG)
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda request: request.url.startswith((server[0], "blob:", "data:")) or faults.append(request.url)
    )
    page.goto(server[0])
    yield page
    context.close()
    assert faults == []


def report(page):
    return page.frame_locator("#report")


def test_a_picture_is_dropped_and_a_caption_scored(page, park):
    page.evaluate(
        """async (bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "park.png", {type: "image/png"}));
          document.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        list(park.read_bytes()),
    )
    assert page.locator("#preview").is_visible()
    page.get_by_label("Caption").fill(FALSE)
    page.get_by_label("Show where in the picture").check()
    page.get_by_role("button", name="Score").click()
    page.get_by_text("Done.").wait_for()
    row = report(page).locator("tbody tr").nth(1)
    assert "grounded" in row.inner_text()
    row.hover()
    # The map of the word is over the picture.
    report(page).locator("#map-name").get_by_text("Map of dog").wait_for()
    assert "against the image" in report(page).locator("tbody tr").last.inner_text()

    # Another reference is a click away.
    page.get_by_label("Held against").select_option("blur")
    page.locator("#error, #status").get_by_text(re.compile("Done|blur")).first.wait_for()
    page.locator("#shown li").first.wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert download.value.suggested_filename == "scores.json"


def test_what_goes_wrong_is_told(page, tmp_path):
    page.get_by_role("button", name="Score").click()
    assert "There is no picture yet" in page.locator("#error").inner_text()
    broken = tmp_path / "a.png"
    broken.write_bytes(b"no picture")
    page.set_input_files("#file", broken)
    page.get_by_role("button", name="Score").click()
    page.locator("#error").get_by_text("is not an image").wait_for()
    assert page.locator("#stop").is_hidden() and page.locator("#report").is_hidden()


def test_it_fits_a_phone_and_the_dark(page, park):
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.set_input_files("#file", park)
    page.get_by_role("button", name="Score").click()
    page.get_by_text("The model wrote").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == "rgb(19, 21, 24)"
