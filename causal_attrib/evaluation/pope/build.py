"""POPE's questions for your own images (Li et al., 2023, section 4.1).

Of each image, `per_image` objects that it has are asked for, and as many that it has not. What it has not is drawn

    random       from all objects of the set
    popular      as the object that most images of the set have
    adversarial  as the object that shares most images with the one just asked for

and never twice for one image. Where no object is left to rank, one is drawn at random. The positives are the same for
every strategy. Unlike the authors' script, positives are drawn rather than taken in the order of the file, everything
is seeded, ties are broken by name, and "an umbrella" has its article.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from causal_attrib.errors import InputError

STRATEGIES = ("random", "popular", "adversarial")


def build(
    objects: Mapping[str, Sequence[str]],
    strategy: str,
    *,
    images: int = 500,
    per_image: int = 3,
    seed: int = 0,
) -> list[dict]:
    """Questions in the format of POPE's files: `question_id`, `image`, `text` and `label`.

    `objects` lists what each image has. Images with fewer than `per_image` objects are passed over.

    >>> for row in build({"1.jpg": ["dog"], "2.jpg": ["dog"], "3.jpg": ["owl"]}, "popular", images=3, per_image=1):
    ...     print(row["image"], row["text"], row["label"])
    1.jpg Is there a dog in the image? yes
    1.jpg Is there an owl in the image? no
    2.jpg Is there a dog in the image? yes
    2.jpg Is there an owl in the image? no
    3.jpg Is there an owl in the image? yes
    3.jpg Is there a dog in the image? no
    """
    if strategy not in STRATEGIES:
        raise InputError(f"There is no strategy {strategy!r}; choose one of {', '.join(STRATEGIES)}.")
    if images < 1 or per_image < 1:
        raise InputError(f"{images} images with {per_image} objects each make no questions; give 1 or more of both.")
    if seed < 0:
        raise InputError(f"A seed cannot be {seed}; give 0 or more.")
    chosen = _choose(objects, images, per_image, random.Random(f"images {seed}"))
    everything = sorted(popularity(chosen.values()))
    rankings = co_occurrence(chosen.values()) if strategy == "adversarial" else {}
    popular = popularity(chosen.values()) if strategy == "popular" else Counter()
    positives, negatives = random.Random(f"positives {seed}"), random.Random(f"{strategy} {seed}")
    rows: list[dict] = []
    for image, present in chosen.items():
        asked: set[str] = set()
        for positive in positives.sample(present, per_image):
            absent = [name for name in everything if name not in present and name not in asked]
            if not absent:
                raise InputError(
                    f"Image {image!r} lacks fewer than {per_image} of the objects that the chosen images have; "
                    "ask for fewer per image, or for more images."
                )
            negative = pick(absent, rankings.get(positive, popular), negatives)
            asked.add(negative)
            rows += [_row(len(rows) + 1, image, positive, "yes"), _row(len(rows) + 2, image, negative, "no")]
    return rows


def popularity(images: Iterable[Sequence[str]]) -> Counter[str]:
    """How many images have each object."""
    return Counter(name for present in images for name in dict.fromkeys(present))


def co_occurrence(images: Iterable[Sequence[str]]) -> dict[str, Counter[str]]:
    """For each object, how many images it shares with each other one.

    >>> co_occurrence([["dog", "cat"], ["dog", "cat", "cow"]])["dog"]
    Counter({'cat': 2, 'cow': 1})
    """
    shared: dict[str, Counter[str]] = {}
    for present in images:
        names = list(dict.fromkeys(present))
        for name in names:
            shared.setdefault(name, Counter()).update(other for other in names if other != name)
    return shared


def pick(absent: Sequence[str], ranking: Counter[str], rng: random.Random) -> str:
    """The absent object that ranks highest, the first by name among equals; a random one if none has a rank."""
    best = max(ranking[name] for name in absent)
    return rng.choice(absent) if best == 0 else min(name for name in absent if ranking[name] == best)


def _choose(
    objects: Mapping[str, Sequence[str]], images: int, per_image: int, rng: random.Random
) -> dict[str, list[str]]:
    distinct = {image: list(dict.fromkeys(present)) for image, present in objects.items()}
    fit = [image for image, present in distinct.items() if len(present) >= per_image]
    if len(fit) < images:
        raise InputError(
            f"Only {len(fit)} of {len(objects)} images have {per_image} objects or more; ask for no more than that."
        )
    drawn = set(rng.sample(fit, images))
    return {image: distinct[image] for image in fit if image in drawn}


def _row(number: int, image: str, name: str, label: str) -> dict:
    article = "an" if name[0] in "aeiou" else "a"
    return {"question_id": number, "image": image, "text": f"Is there {article} {name} in the image?", "label": label}
