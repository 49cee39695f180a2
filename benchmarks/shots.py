"""Screenshots of reports, to be looked at before a release: desktop, phone, dark and print.

make shots        # build/shots/*.png; needs playwright and a Chromium
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

import causal_attrib
from causal_attrib import views

ROOT = Path(__file__).resolve().parents[1]
CAPTION = "a dog and a red frisbee on the grass at sunset"
LONG = ", and ".join(["a dog on the grass", "a red frisbee", "a cat that sleeps", "two birds in the sky"] * 4)
SCREENS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "wide": {"viewport": {"width": 1920, "height": 1080}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "no-scripts": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}


def pages() -> dict[str, str]:
    vlm = causal_attrib.load()
    picture = ROOT / "examples" / "park.png"

    def scored(caption: str, **how: object) -> causal_attrib.Attribution:
        return causal_attrib.score(picture, caption, model=vlm, **how)

    judged = scored(CAPTION, verdict=True)
    return {
        "verdict": views.report(judged, causal_attrib.saliency(picture, CAPTION, model=vlm)),
        "plain": views.report(scored(CAPTION)),
        "several": views.report([judged, scored("a cat on the beach", verdict=True), scored("a dog", verdict=True)]),
        "long": views.report(scored(LONG, verdict=True)),
    }


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, html in pages().items():
            path = folder / f"{name}.html"
            path.write_text(html, encoding="utf-8")
            for screen, options in SCREENS.items():
                page = browser.new_page(**options)
                page.goto(path.as_uri())
                page.screenshot(path=folder / f"{name}-{screen}.png", full_page=True)
                page.close()
            page = browser.new_page()
            page.goto(path.as_uri())
            page.pdf(path=folder / f"{name}-print.pdf", format="A4")
            page.close()
        browser.close()
    print(f"Wrote {len(list(folder.iterdir()))} files to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "shots"))
