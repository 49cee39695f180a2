"""The reports of the site's gallery: python site/gallery.py FOLDER"""

import sys
from pathlib import Path

import causal_attrib
from causal_attrib import views

PARK = Path(__file__).parents[1] / "examples" / "park.png"
TRUE = "a dog and a red frisbee on the grass at noon"
FALSE = "a dog and a red frisbee on the grass at sunset"


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    vlm = causal_attrib.load(device="cpu")

    def scored(caption, **more):
        return causal_attrib.score(PARK, caption, model=vlm, **more)

    maps = causal_attrib.saliency(PARK, FALSE, model=vlm)
    pages = {
        "false": views.report(scored(FALSE, verdict=True), maps),
        "several": views.report([scored(one, verdict=True) for one in (TRUE, FALSE, "a cat on the grass at noon")]),
        "question": views.report(scored(TRUE, question="Is there a frisbee?", answer="yes", outcome="yesno")),
    }
    for name, page in pages.items():
        (folder / f"{name}.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
