"""What a user's code does with the public API, as a type checker sees it."""

import numpy as np
from PIL import Image

import causal_attrib
from causal_attrib import VLM, Attribution, Encoding, InputError, Maps, Token


def words(path: str, model: VLM | None = None) -> list[str]:
    vlm = causal_attrib.load() if model is None else model
    other = causal_attrib.load("folder", dtype="float32", device="cpu", allow_pickle=False)
    encoding: Encoding = vlm.encode(path, None, "a dog")
    ids: tuple[int, ...] = vlm.describe(Image.open(path), "Describe this image.")
    scored: Attribution = causal_attrib.score(path, "a dog", model=vlm, mask="zero", level="word", samples=0)
    again = causal_attrib.score(Image.open(path), ids, model=other, outcome="module:function", batch_size=4)
    array = causal_attrib.score(np.zeros((8, 8, 3), np.uint8), model=vlm, engine="plain", verdict=True)
    frame = scored.to_frame()
    tokens: list[Token] = [token for token in again if token.necessity is not None and token.necessity > 0]
    first: Token = scored[0]
    part: Attribution = scored["dog"]
    array.save("scores.json")
    read: Attribution = Attribution.load("scores.json")
    many: list[Attribution] = Attribution.load_all("scores.html")
    number: float | None = read.words()[0].logprob
    print(frame, first, part, many, number, encoding.response, scored.verdict, causal_attrib.__version__)
    return [token.text for token in tokens]


def places(path: str) -> Maps:
    maps: Maps = causal_attrib.saliency(path, "a dog", method="occlusion", words=["dog"], regions="grid:8")
    pixels = causal_attrib.saliency(path, "a dog", method="gradient", level="pixel", reduce="norm", of="token")
    proved: Maps = causal_attrib.prove(maps["dog"], path, baseline="blur", orders=19)
    height, width = maps.at_size(640, 480)[0].shape
    maps.save("maps.safetensors")
    loaded: Maps = Maps.load("maps.safetensors")
    figure = loaded.plot(path)
    figure.savefig("maps.png")
    print(len(maps), maps.labels, proved.proofs, height, width, pixels.values_THW.dtype)
    return loaded


def reasoned(path: str) -> float:
    found = causal_attrib.coherence(path, "<think> a dog </think> <answer> yes </answer>", question="A dog?", seed=1)
    record: dict[str, object] = found.to_dict()
    print(record, found.channels["image_to_answer"])
    return found.aggregate


def main() -> None:
    try:
        print(words("park.png"), places("park.png"), reasoned("park.png"))
    except InputError as error:
        print(error)
