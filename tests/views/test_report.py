"""HTML: one line for notebooks, one page for browsers."""

import re
from html.parser import HTMLParser

import pytest

from causal_attrib import Attribution

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks that every tag is closed, and collects what is shown."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_in_a_notebook_a_caption_is_coloured_text_with_tooltips(sunset):
    page = Page(sunset._repr_html_())
    assert page.text == 'dog <b>[red]⏎sun"set</script>'
    dog, red, newline, false = page.all("span")
    assert "rgba(33,102,172," in dog["style"]
    assert "rgba(178,24,43,0.750)" in false["style"]
    assert "wavy" in false["style"] and "wavy" not in dog["style"]
    assert dog["title"].splitlines() == [
        "dog",
        "log-prob -0.500",
        "entropy 1.000",
        "sufficiency 0.250 ± 0.016",
        "necessity 0.750",
        "causal completeness 0.350",
    ]
    assert "necessity –" in newline["title"]


def test_the_page_carries_everything_with_it(sunset):
    html = sunset.to_bytes("html").decode()
    page = Page(html)
    (image,) = page.all("img")
    assert image["src"].startswith("data:image/jpeg;base64,")
    assert html.count("base64") == 1
    assert not re.search(r"""https?:|src=["'](?!data:)|href|@import|url\(""", html)
    assert [script["type"] for script in page.all("script")] == ["application/json"]
    for fact in ("what <it> meant", "1,234 forwards", "0.250 ± 0.016", "mask", "copo 0.1.0"):
        assert fact in page.text
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_the_page_loads_again(sunset, tmp_path):
    sunset.save(tmp_path / "page.html")
    assert Attribution.load(tmp_path / "page.html") == sunset


@pytest.mark.parametrize("change", ["missing", "other", "none"])
def test_a_picture_that_is_not_the_scored_one_is_not_shown(sunset, picture_path, change):
    if change == "missing":
        picture_path.unlink()
    elif change == "other":
        picture_path.write_bytes(b"another picture")
    else:
        sunset.image["path"] = None
    page = Page(sunset.to_bytes("html").decode())
    assert not page.all("img")
    assert ("was not a file" if change == "none" else "no longer there or is another one by now") in page.text


def test_the_empty_attribution_has_a_page():
    Page(Attribution("", []).to_bytes("html").decode())
