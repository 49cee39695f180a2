"""Figures: what they draw is what was scored, nothing is read as a formula, and the same figure is the same file."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

from causal_attrib import Attribution, InputError, Token
from causal_attrib.views import drawing, overlay, plot_maps, plot_page
from causal_attrib.views.figure import hex_colour


def bars(axes):
    return [
        (round(bar.get_x() + bar.get_width() / 2), bar.get_height(), to_hex(bar.get_facecolor()))
        for bar in axes.patches
    ]


def said_by(code):
    """What a fresh Python prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def saved(plot, format):
    sink = io.BytesIO()
    plot.savefig(sink, format=format)
    return sink.getvalue()


def test_bars_are_necessity_blue_if_needed_and_red_if_harmful(scene):
    attribution, _ = scene
    picture, effects, nats = attribution.plot().axes
    assert picture.images
    blue, red = hex_colour(drawing.BLUE), hex_colour(drawing.RED)
    assert bars(effects) == [
        (0, 0.01, blue), (1, 0.5, blue), (2, 0.0, blue), (3, 0.25, blue), (4, -0.5, red)
    ]  # fmt: skip
    assert [bar[1] for bar in bars(nats)] == [-0.1, -0.5, -0.2, -0.3, -4.0]
    sufficiency, completeness = (line for line in effects.lines if len(line.get_xdata()) == 5)
    assert {tuple(sufficiency.get_ydata()), tuple(completeness.get_ydata())} == {
        (0.0, 0.25, 0.0, 0.125, 0.0),
        (0.0035, 0.2625, 0.0, 0.13125, 0.0),
    }


def test_tokens_stand_below_and_harmful_ones_are_red(scene):
    attribution, _ = scene
    plot = attribution.plot()
    plot.draw_without_rendering()
    labels = plot.axes[-1].get_xticklabels()
    assert [label.get_text() for label in labels] == ["a", "dog", "and", "ba", "ll"]
    assert [label.get_fontweight() for label in labels] == ["normal"] * 4 + ["bold"]


def test_the_standard_error_is_drawn(sunset):
    plot = sunset.plot()
    (errors,) = (bar for axes in plot.axes for bar in axes.collections)
    (low, high) = errors.get_segments()[0][:, 1]
    assert (low, high) == (0.25 - 0.015625, 0.25 + 0.015625)


def test_a_long_caption_goes_on_in_further_lines_on_one_scale():
    tokens = [Token(at, " x", 1, at, 2 * at, 2 * at + 2, necessity=at / 100) for at in range(70)]
    axes = Attribution(" x" * 70, tokens).plot().axes
    assert sum(len(each.patches) for each in axes) == 70
    assert len(axes) == 3
    assert len({each.get_ylim() for each in axes}) == 1


@pytest.mark.filterwarnings("ignore:Glyph")  # matplotlib's fonts have no sign for an escape character
@pytest.mark.parametrize("text", ["$x^", "$\\frac{1}{$", "a_b^c", "<script>", "\n", "\x1b[0m", "", "%"])
def test_any_text_can_be_drawn(text):
    token = Token(0, text, 1, 0, 0, len(text), necessity=0.5)
    plot = Attribution(text, [token]).plot()
    assert saved(plot, "svg").startswith(b"<?xml")
    if text == "$x^":
        assert plot.axes[0].get_xticklabels()[0].get_text() == text


def test_an_attribution_without_scores_has_a_figure():
    assert saved(Attribution("", []).plot(), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("format", ["pdf", "svg", "png"])
def test_the_same_figure_is_the_same_file(scene, format):
    attribution, maps = scene
    few = dataclasses.replace(attribution, tokens=attribution.tokens[:2])
    assert saved(few.plot(), format) == saved(few.plot(), format)
    assert saved(plot_maps(maps["dog"]), format) == saved(plot_maps(maps["dog"]), format)


def test_the_page_has_the_caption_the_scores_and_the_maps(scene):
    attribution, maps = scene
    proofs = ({"verdict": "beats chance", "curves": {"deletion": [0.0, -1.0, -2.0], "insertion": [-2.0, -1.0, 0.0]}},)
    plot = plot_page(attribution, dataclasses.replace(maps["dog"], proofs=proofs))
    caption, *rest = plot.axes
    said = [text.get_text() for text in caption.texts]
    assert said[:7] == ["a", "dog", "and", "ba", "ll", "Carried most by “dog”. Better without “ball”.", said[6]]
    # Only "dog" and "ba" have a colour: function words and what is contradicted have none.
    assert len(caption.patches) == 2
    (curves,) = (axes for axes in rest if axes.get_legend() is not None)
    assert [list(line.get_ydata()) for line in curves.lines] == [[0.0, -1.0, -2.0], [-2.0, -1.0, 0.0]]
    assert saved(plot, "pdf").startswith(b"%PDF")


def test_a_verdict_has_the_colour_of_the_page(sunset):
    tokens = [dataclasses.replace(token, verdict="against the image") for token in sunset]
    judged = dataclasses.replace(sunset, tokens=tokens, verdict={"note": "", "calibrated": False})
    boxes = [patch for patch in plot_page(judged).axes[0].patches]
    assert {to_hex(box.get_facecolor()) for box in boxes} == {hex_colour(drawing.RED)}
    labels = judged.plot().axes[-1].get_xticklabels()
    assert {to_hex(label.get_bbox_patch().get_facecolor()) for label in labels} == {hex_colour(drawing.RED)}


def test_journals_take_the_fonts(scene):
    attribution, _ = scene
    data = saved(attribution.plot(), "pdf")
    assert data.startswith(b"%PDF")
    assert b"/Type3" not in data and b"/CIDFontType2" in data


def test_map_panels_are_overlays_on_one_scale(scene):
    _, maps = scene
    plot = plot_maps(maps)
    picture, *panels = plot.axes[: len(maps) + 1]
    assert picture.get_title() == "the picture"
    assert [axes.get_title() for axes in panels] == ["a", "dog", "and", "ba", "ll"]
    from PIL import Image

    expected = overlay.overlay(Image.open(maps.image["path"]).convert("RGB"), maps)
    for axes, image in zip(panels, expected, strict=True):
        assert np.array_equal(axes.images[0].get_array(), np.asarray(image))
    bar = plot.axes[-1]
    assert [label.get_text() for label in bar.get_yticklabels()] == ["−2", "0", "2"]


def test_a_scale_for_each_map_is_told_on_each_map(scene):
    _, maps = scene
    panels = plot_maps(maps["ba"], own_scale=True).axes
    assert panels[1].get_title() == "ba (±1)"


def test_a_map_that_failed_its_proof_is_marked(scene):
    _, maps = scene
    proofs = ({"verdict": "beats chance"}, {"verdict": "does not beat chance"})
    titles = [axes.get_title() for axes in plot_maps(dataclasses.replace(maps[:2], proofs=proofs)).axes[1:3]]
    assert titles == ["a", "dog\n(does not beat chance)"]


def test_maps_without_their_picture_are_drawn_on_white(scene):
    _, maps = scene
    lost = dataclasses.replace(maps, image={"path": "gone.png", "sha256": "00", "width": 8, "height": 4})
    (panel, _) = plot_maps(lost["dog"]).axes
    assert panel.images[0].get_array().shape == (4, 8, 3)
    assert tuple(panel.images[0].get_array()[2, 4]) == (255, 255, 255)


def test_bad_requests_are_refused(scene):
    _, maps = scene
    with pytest.raises(InputError, match="no map"):
        plot_maps(maps[:0])
    with pytest.raises(InputError, match="0 columns"):
        plot_maps(maps, columns=0)


def test_a_notebook_shows_a_figure_without_pyplot(scene):
    attribution, _ = scene
    assert attribution.plot()._repr_png_().startswith(b"\x89PNG")
    imports = "import sys; from causal_attrib.views import figure_maps, figure_scores"
    assert said_by(f"{imports}; print('matplotlib.pyplot' in sys.modules)") == "False"


def test_views_need_neither_torch_nor_matplotlib_to_be_imported():
    code = "import sys, causal_attrib.views; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    assert said_by(code) == "[]"
