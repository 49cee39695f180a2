"""What a notebook shows of a result by itself: light, whole without styles, and no markup of a caption's own."""

import dataclasses
import sys
import types

from causal_attrib import views
from tests.views.test_report import Page


def test_it_is_light_and_is_read_where_styles_are_stripped(judged):
    html = judged._repr_html_()
    page = Page(html)
    assert len(html) < 10_000 and not {"script", "style", "iframe", "img"} & {tag for tag, _ in page.tags}
    assert "The picture bears out “dog”. It speaks against “ball”." in page.text
    # The false word is bold and underlined in the caption, both of its tokens.
    assert html.count("<b><u>") == 2
    # One row for each of the four words, with its verdict.
    assert len(page.all("tr")) == 1 + 4 and "against the image" in page.text


def test_a_caption_is_no_markup(sunset):
    page = Page(sunset._repr_html_())
    assert 'dog <b>[red]⏎sun"set</script>' in page.text
    assert "what <it> meant" in page.text


def test_a_long_caption_is_cut_in_the_table_and_says_so(sunset):
    tokens = [dataclasses.replace(sunset.tokens[0], index=at, word=at) for at in range(70)]
    html = dataclasses.replace(sunset, tokens=tokens)._repr_html_()
    assert "10 more rows" in html and html.count("<tr>") == 61


def test_show_opens_the_report_in_a_notebook_and_prints_elsewhere(sunset, monkeypatch, capsys):
    shown = []
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    display = types.SimpleNamespace(HTML=str, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    sunset.show()
    assert shown == [views.notebook(sunset)] and capsys.readouterr().out == ""
    shell.kernel = None
    sunset.show()
    assert len(shown) == 1 and "necessity" in capsys.readouterr().out
