"""Screenshots of all pages, to be looked at before a release: desktop, phone, dark and print.

make shots        # build/shots/*.png; needs playwright, pypdfium2 and a Chromium
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import torch
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

import causal_attrib
from causal_attrib import views
from causal_attrib.serve.app import Service, make_app
from causal_attrib.serve.limits import Limits
from causal_attrib.serve.listen import address, config_of, listen
from causal_attrib.serve.resident import Resident
from causal_attrib.views.training_log import TrainingRun
from causal_attrib.views.training_page import page as training_page
from causal_attrib_cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "examples" / "park.png"
CAPTION = "a dog and a red frisbee on the grass at sunset"
LONG = ", and ".join(["a dog on the grass", "a red frisbee", "a cat that sleeps", "two birds in the sky"] * 4)
SCREENS = {
    "desktop": {"viewport": {"width": 1280, "height": 900}},
    "wide": {"viewport": {"width": 1920, "height": 1080}},
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "no-scripts": {"viewport": {"width": 1280, "height": 900}, "java_script_enabled": False},
}


def pages(vlm: causal_attrib.VLM, folder: Path) -> dict[str, str]:
    def scored(caption: str, **how: object) -> causal_attrib.Attribution:
        return causal_attrib.score(PICTURE, caption, model=vlm, **how)

    judged = scored(CAPTION, verdict=True, signals="all")
    return {
        "verdict": views.report(judged, causal_attrib.saliency(PICTURE, CAPTION, model=vlm)),
        "plain": views.report(scored(CAPTION)),
        "several": views.report([judged, scored("a cat on the beach", verdict=True), scored("a dog", verdict=True)]),
        "long": views.report(scored(LONG, verdict=True)),
        **_of_captions(vlm, folder),
        "training": training_page([_run("copo", 0.002)]),
        "runs": training_page([_run("copo", 0.002), _run("grpo", 0.0)]),
    }


def _of_captions(vlm: causal_attrib.VLM, folder: Path) -> dict[str, str]:
    """The page of a file of captions, and of two: the second model is the first with its weights a little off."""
    _copo("scenes", folder / "scenes", "--count", 24, "--seed", 5)
    rows = [json.loads(line) for line in (folder / "scenes" / "captions.jsonl").read_text("utf-8").splitlines()]
    for number, row in enumerate(rows):
        row["image"] = str(folder / "scenes" / "images" / row["image"])
        row["caption"] += " with a cat" * (number % 3 == 0)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    other = causal_attrib.load(anew=True)
    with torch.no_grad():
        for weight in other.model.parameters():
            weight.mul_(1.03)
    other.model.save_pretrained(folder / "other")
    other.processor.save_pretrained(folder / "other")
    files = [folder / "before.parquet", folder / "after.parquet"]
    for file, model in zip(files, ("bundled", folder / "other"), strict=True):
        _copo("score", "--input", folder / "rows.jsonl", "--out", file, "--model", model, "--verdict", "--fresh")
    _copo("report", files[0], "--out", folder / "captions.html")
    _copo("report", *files, "--out", folder / "diff.html")
    return {name: (folder / f"{name}.html").read_text("utf-8") for name in ("captions", "diff")}


def _copo(*arguments: object) -> None:
    if app([str(argument) for argument in (*arguments, "--quiet")], standalone_mode=False):
        raise SystemExit(f"copo {arguments[0]} failed")


def _run(name: str, slope: float) -> TrainingRun:
    """A log as `copo train` writes it."""
    entries = [
        {
            "step": step, "loss": 0.01 / step, "reward": 0.4 + slope * step, "grad_norm": 1.0, "kl": step / 1e4,
            "copo/sufficiency": 0.1 + slope * step, "copo/necessity": 0.2, "completions/mean_length": 30 + step % 5,
            "seconds/sample": 2.0, "seconds/score": 1.0, "seconds/update": 1.5,
        }
        for step in range(1, 101)
    ]  # fmt: skip
    tokens = ["A", " dog", " lies", " on", " the", " grass", " beside", " a", " red", " frisbee", "."]
    added = [0.0, 0.8, 0.2, 0.0, 0.0, 0.5, -0.1, 0.0, -0.4, -0.7, 0.0]
    samples = [
        {"step": step, "prompt": "Describe this image.", "reference": "a dog on the grass", "reward": 0.5 + step / 300,
         "advantage": 0.25, "tokens": tokens, "added": added}
        for step in (1, 50, 100)
    ]  # fmt: skip
    recipe = {"method": name, "data": "rows.jsonl", "seed": "0", "learning_rate": "1e-5"}
    return TrainingRun(name, entries, samples, recipe)


@contextlib.contextmanager
def served(vlm: causal_attrib.VLM) -> Iterator[str]:
    """The address of `copo serve`, in this process."""
    limits = Limits()
    application = make_app(Service(Resident(vlm, limits), limits), None)
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(config_of(application, limits.seconds))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield address(listening, "127.0.0.1", None)
        finally:
            server.should_exit = True
            thread.join()


def shoot(page: Page, path: Path) -> None:
    page.screenshot(path=path, full_page=True)
    page.close()


def print_it(page: Page, path: Path) -> None:
    """A4 as PDF, and its first pages as pictures."""
    page.pdf(path=path, format="A4")
    page.close()
    with contextlib.closing(pypdfium2.PdfDocument(path)) as document:
        for number in range(min(3, len(document))):
            document[number].render(scale=1.5).to_pil().save(path.with_name(f"{path.stem}-{number + 1}.png"))


def shoot_served(browser: Browser, address: str, folder: Path) -> None:
    screens: dict[str, Any] = {name: options for name, options in SCREENS.items() if name != "no-scripts"}
    for screen, options in screens.items():
        page = browser.new_page(**options)
        page.goto(address)
        page.screenshot(path=folder / f"serve-empty-{screen}.png", full_page=True)
        page.set_input_files("#file", PICTURE)
        page.get_by_label("Caption").fill(CAPTION)
        page.get_by_label("Show where in the picture").check()
        page.get_by_role("button", name="Score").click()
        page.get_by_text("Done.").wait_for(timeout=120_000)
        page.frame_locator("#report").locator(".numbers").wait_for()
        # What was never in sight is not drawn.
        page.locator("#report").scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        shoot(page, folder / f"serve-{screen}.png")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    vlm = causal_attrib.load()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, html in pages(vlm, folder).items():
            path = folder / f"{name}.html"
            path.write_text(html, encoding="utf-8")
            for screen, options in SCREENS.items():
                page = browser.new_page(**options)
                page.goto(path.as_uri())
                shoot(page, folder / f"{name}-{screen}.png")
            page = browser.new_page()
            page.goto(path.as_uri())
            print_it(page, folder / f"{name}-print.pdf")
        with served(vlm) as address:
            shoot_served(browser, address, folder)
        browser.close()
    print(f"Wrote {len(list(folder.iterdir()))} files to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "shots"))
