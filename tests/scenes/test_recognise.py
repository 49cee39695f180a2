"""What the bundled model knows, and what it does not."""

import io
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

import causal_attrib
from causal_attrib.scenes import render, sample_scene
from causal_attrib.scenes.recognise import is_scene
from causal_attrib.scenes.world import PLACES, STYLES
from tests.conftest import PARK

PHOTOGRAPH = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


@pytest.mark.parametrize("style", STYLES)
def test_scenes_of_any_style_size_and_format_are_known(style):
    rng = np.random.default_rng(3)
    seen = set()
    for index in range(80):
        scene = sample_scene(rng, style=style)
        seen.add((scene.place, scene.time))
        picture = render(scene, size=(96, 200)[index % 2])[0]
        if index % 4 < 2:
            sink = io.BytesIO()
            picture.save(sink, "JPEG", quality=70)
            picture = Image.open(sink)
        assert is_scene(picture), scene
    assert len(seen) > 2 * len(PLACES)


def test_others_are_not():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8))
    photograph = Image.open(PHOTOGRAPH)
    grey = [Image.new("RGB", (96, 96), (level,) * 3) for level in range(0, 256, 5)]
    for picture in (noise, photograph, photograph.resize((300, 300)), Image.open(PARK).resize((200, 150)), *grey):
        assert not is_scene(picture)


def test_who_shows_the_bundled_model_a_photograph_is_told(bundled):
    said = "this picture is none, so its scores mean little"
    with pytest.warns(UserWarning, match=said):
        result = causal_attrib.score(PHOTOGRAPH, "a dog", model=bundled, level="word", verdict=True)
    assert not result.verdict["calibrated"] and result.verdict["note"].startswith("not calibrated for this picture")
    with pytest.warns(UserWarning, match=said):
        causal_attrib.saliency(PHOTOGRAPH, "a dog", model=bundled, method="gradient_x_input")
