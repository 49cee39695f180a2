"""The report as a file: what is in it, what may run in it, and that it loads again."""

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from causal_attrib import Attribution, InputError, Token, views

VOID = {"meta", "img", "br", "input"}


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


def test_the_page_carries_everything_with_it(sunset):
    html = sunset.to_bytes("html").decode()
    page = Page(html)
    (image,) = page.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert html.count("base64,") == 1
    assert not re.search(r"""https?:|src=["'](?!data:)|href|@import|url\(""", html)
    for fact in ("what <it> meant", "1,234 forwards", "0.250 ± 0.016", "mask", "copo 0.1.0"):
        assert fact in page.text
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_without_scripts_it_is_coloured_text_with_tooltips(sunset):
    page = Page(sunset.to_bytes("html").decode())
    assert 'dog <b>[red]⏎sun"set</script>' in page.text
    dog, red, newline, false = (span for span in page.all("span") if "t" in (span.get("class") or "").split())
    assert dog["class"] == "t blue l20 first last"
    assert false["class"] == "t bad first last"
    assert dog["title"].splitlines() == [
        "log-probability -0.500",
        "entropy 1.000",
        "sufficiency 0.250 ± 0.016",
        "necessity 0.750",
        "causal completeness 0.350",
    ]
    assert "unscored" in newline["class"] and "necessity –" in newline["title"]


def test_only_its_own_script_and_style_may_run(sunset):
    html = sunset.to_bytes("html").decode()
    page = Page(html)
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    allowed = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert allowed["default-src"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert allowed[rule] == f"'sha256-{digest}'"
    assert [script.get("type") for script in page.all("script")] == ["application/json", "application/json", None]
    for _, attributes in page.tags:
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)


def test_a_notebook_shows_the_report_in_a_frame(sunset):
    (frame,) = Page(views.notebook(sunset)).all("iframe")
    assert frame["sandbox"] == "allow-scripts"
    page = Page(frame["srcdoc"])
    assert 'dog <b>[red]⏎sun"set</script>' in page.text
    assert page.all("img")


def test_several_captions_stand_side_by_side_and_load_again(sunset, tmp_path):
    other = dataclasses.replace(sunset, caption="dog", tokens=sunset.tokens[:1], generated=True)
    path = tmp_path / "two.html"
    path.write_text(views.report([sunset, other]), encoding="utf-8")
    page = Page(path.read_text(encoding="utf-8"))
    assert [article["aria-label"] for article in page.all("article")] == ["Caption 1", "Caption 2"]
    assert "Caption 2, written by the model" in page.text
    assert len(page.all("img")) == 1
    assert Attribution.load_all(path) == [sunset, other]


def test_the_same_attribution_is_the_same_page(scene):
    assert views.report(*scene) == views.report(*scene)


def test_a_picture_that_moved_is_given_by_hand(sunset, picture_path):
    data = picture_path.read_bytes()
    picture_path.unlink()
    assert Page(views.report(sunset, picture=data)).all("img")
    with pytest.raises(InputError, match="not the one that was scored"):
        views.report(sunset, picture=Path(__file__).parents[2] / "examples" / "park.png")


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


def test_the_page_says_which_words_carry_the_caption_and_which_do_harm(scene):
    attribution, _ = scene
    # By hand: dog 0.2625 carries it; the second token of ball is clearly negative; "a" and "and" claim nothing.
    text = Page(views.report(attribution)).text
    assert "Carried most by “dog”. Better without “ball”." in text
    assert "“ball” Without it the outcome rises by 0.500: better without it." in text
    false = Token(0, "dog", 1, 0, 2, 5, necessity=-0.4)
    twice = Attribution("a dog and a dog", [false, Token(1, " dog", 1, 1, 11, 15, causal_completeness=0.3)])
    assert "Carried most by “dog” (2nd). Better without “dog” (1st)." in Page(views.report(twice)).text
    assert "No word stands out." in Page(views.report(Attribution("", []))).text
