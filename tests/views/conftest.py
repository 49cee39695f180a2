import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from causal_attrib import Attribution, Token
from causal_attrib.results.maps import Maps


@pytest.fixture
def picture_path(tmp_path):
    path = tmp_path / "dusk <1>.png"
    Image.new("RGBA", (40, 20), (255, 0, 0, 128)).save(path)
    return path


@pytest.fixture
def sunset(picture_path):
    """A true word, a false one, a token without scores, and all that HTML and rich would read as markup."""
    tokens = [
        Token(0, "dog", 7, 0, 0, 3, -0.5, 1.0, 0.25, 0.015625, 0.75, 0.35),
        Token(1, " <b>[red]", 8, 1, 3, 12, -0.5, 1.0, 0.0, 0.0, 0.0, 0.0),
        Token(2, "\n", 9, 1, 12, 13),
        Token(3, 'sun"set', 10, 2, 13, 20, -4.0, 2.0, 0.0, 0.0, -0.5, 0.0),
    ]
    return Attribution(
        'dog <b>[red]\nsun"set</script>',
        tokens,
        image={"path": str(picture_path), "sha256": hashlib.sha256(picture_path.read_bytes()).hexdigest()},
        model={"id": "bundled", "dtype": "float32", "device": "cpu"},
        outcome={"name": "grounding", "value": 0.5, "meaning": "what <it> meant"},
        cost={"forwards": 1234, "positions": 56789, "seconds": 1.25},
        settings={"mask": "zero", "samples": None},
        tool={"name": "copo", "version": "0.1.0"},
    )


@pytest.fixture
def scene(tmp_path):
    """A picture of 64 x 64, a caption of it, and a map per word on a grid of 4 x 4.

    "dog" has its place in the upper left cell and "ball" in the lower right one, which speaks against "dog".
    """
    path = tmp_path / "scene.png"
    Image.new("RGB", (64, 64), (40, 160, 60)).save(path)
    image = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "width": 64, "height": 64}
    model = {"id": "bundled", "dtype": "float32"}
    tokens = [
        Token(0, "a", 5, 0, 0, 1, -0.1, 0.2, 0.0, None, 0.01, 0.0035),
        Token(1, " dog", 6, 1, 1, 5, -0.5, 1.0, 0.25, None, 0.5, 0.2625),
        Token(2, " and", 7, 2, 5, 9, -0.2, 0.5, 0.0, None, 0.0, 0.0),
        Token(3, " ba", 8, 3, 9, 12, -0.3, 0.4, 0.125, None, 0.25, 0.13125),
        Token(4, "ll", 9, 3, 12, 14, -4.0, 0.1, 0.0, None, -0.5, 0.0),
    ]
    attribution = Attribution(
        "a dog and ball",
        tokens,
        image=image,
        model=model,
        outcome={"name": "grounding", "value": 0.5},
        settings={"level": "token", "lambda_s": 0.35, "lambda_n": 0.35},
        tool={"name": "copo", "version": "0.1.0"},
    )
    values_THW = np.zeros((5, 4, 4), np.float32)
    values_THW[1, 0, 0], values_THW[1, 3, 3] = 2.0, -0.5
    values_THW[3, 3, 3], values_THW[4, 3, 3] = 1.0, 0.25
    maps = Maps(
        values_THW,
        [token.text for token in tokens],
        [(token.index,) for token in tokens],
        "occlusion",
        "region",
        "logprob",
        caption=attribution.caption,
        image=image,
        model=model,
        settings={"fill": "mean"},
    )
    return attribution, maps


@pytest.fixture
def judged(scene):
    """The scene with verdicts: a true word, one that the picture contradicts, and two that claim nothing."""
    attribution, _ = scene
    kinds = {0: (0.0, None, "no claim"), 1: (3.0, 0.01, "grounded"), 2: (0.0, None, "no claim")}
    kinds[3] = (-6.0, 0.97, "against the image")
    tokens = [
        dataclasses.replace(token, **dict(zip(("evidence", "p_false", "verdict"), kinds[token.word], strict=True)))
        for token in attribution
    ]
    verdict = {"note": "not calibrated", "calibrated": False, "p_false": 0.97, "claims": 2, "against": 1}
    return dataclasses.replace(attribution, tokens=tokens, verdict=verdict)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, driven by playwright; skips where either is not installed."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Opens HTML as a file; at the end nothing may have been fetched and nothing complained about."""
    contexts, faults, may_complain = [], [], []

    def opened(html, *, complains=False, **options):
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "offline": True} | options)
        contexts.append(context)
        may_complain.append(complains)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or faults.append(request.url))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert any(may_complain) or faults == []
