"""Is a picture one of the scenes that the bundled model knows? It has never seen any other, and says something all the
same.

It is decided by what the model's own vision tower makes of the picture, held against scenes in two ways: how far the
mean over patches lies from that of scenes, and how far the strangest patches lie from the nearest of 512 kinds of patch
that scenes are made of; both in standard deviations of scenes in each direction (Mahalanobis). The first tells other
pictures, the second strange things in the surroundings of a scene. What is known of scenes is in
`assets/scene_features.safetensors`, which `benchmarks/scene_features.py` writes; docs/bundled-model.md has the rates.

Things of known classes that are drawn in an unknown style pass both, and are misread. That shows elsewhere: an image
token of a sticker that was learnt is like the embedding of one class word, and that of another thing like several, or
half like one. `ambiguity` is the entropy of what the model's own word lens (`train.WordLens`) says of the most doubtful
patches (the maximum softmax probability of Hendrycks & Gimpel, arXiv 1610.02136, with the entropy in its place).
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from causal_attrib.scenes.world import CLASSES
from causal_attrib.vlm import VLM

FEATURES = Path(__file__).resolve().parent.parent / "assets" / "scene_features.safetensors"


# Of 64 patches, how many are the strangest: an object of medium size.
STRANGEST = 12
# How many are the most doubtful, and with what the lens reads them: what it begins its training with.
DOUBTFUL, SCALE, NONE = 4, 12.0, 3.0


def is_scene(picture: Image.Image, vlm: VLM) -> bool:
    """Whether the bundled model sees in a picture what it sees in scenes; one scene in a hundred is taken for none.

    Photographs are told apart. Of pictures that show stickers of a style or kind the model has never seen, in the
    surroundings of a scene, about four in ten pass.

    Args:
        vlm: the bundled model.
    """
    return recognised(picture, vlm)[0]


def recognised(picture: Image.Image, vlm: VLM) -> tuple[bool, bool]:
    """Whether it is a scene (`is_scene`), and whether it also shows known things only, in a style that is known.

    One scene in twenty is taken not to: what depends on it has to hold for all that passes.
    """
    # A scene is square, and the processor would make every picture so.
    if picture.width != picture.height:
        return False, False
    known, features_1PD = stored(), features([picture], vlm)
    (strangeness_2,) = strangeness(features_1PD, known)
    is_scene = bool((strangeness_2 <= known["threshold"]).all())
    return is_scene, is_scene and bool(ambiguity(features_1PD, vlm)[0] <= known["clear"])


@torch.no_grad()
def features(pictures: list[Image.Image], vlm: VLM) -> Tensor:
    """What the vision tower makes of the patches of B pictures: (B, P, D)."""
    pixels = vlm.processor.image_processor([picture.convert("RGB") for picture in pictures], return_tensors="pt")
    tower = vlm.model.model.vision_tower
    states_BPD = tower(pixels["pixel_values"].to(vlm.model.device, vlm.model.dtype)).last_hidden_state
    # The first state is of the whole picture, and no patch.
    return states_BPD[:, 1:].float().cpu()


def strangeness(features_BPD: Tensor, known: dict[str, Tensor]) -> Tensor:
    """Distances (B, 2) from scenes: of the mean over patches, and of the strangest patches from their nearest kind."""
    whole_B = ((features_BPD.mean(1) - known["mean"]) @ known["whitening"]).norm(dim=-1)
    patches_BPD = features_BPD @ known["patch_whitening"]
    nearest_BP = torch.cdist(patches_BPD, known["kinds"].expand(len(patches_BPD), -1, -1)).amin(-1)
    return torch.stack([whole_B, nearest_BP.topk(STRANGEST).values.mean(-1)], dim=-1)


@torch.no_grad()
def ambiguity(features_BPD: Tensor, vlm: VLM) -> Tensor:
    """Mean entropy (B,), in nats, of which class the most doubtful patches show, or none."""
    model = vlm.model
    words = [vlm.tokenizer(f" {name}", add_special_tokens=False).input_ids[0] for name in CLASSES]
    embedded_CD = F.normalize(model.get_input_embeddings().weight[words].float(), dim=-1)
    weight = next(model.model.multi_modal_projector.parameters())
    tokens_BPD = model.model.multi_modal_projector(features_BPD.to(weight.device, weight.dtype)).float()
    similar_BPC = SCALE * F.normalize(tokens_BPD, dim=-1) @ embedded_CD.T
    scores_BPC = F.pad(similar_BPC, (1, 0), value=NONE)
    entropy_BP = torch.special.entr(scores_BPC.softmax(-1)).sum(-1)
    return entropy_BP.topk(DOUBTFUL).values.mean(-1).cpu()


@functools.cache
def stored() -> dict[str, Tensor]:
    """mean (D,) and whitening (D, D) of whole scenes, patch_whitening (D, D) and, whitened, kinds (K, D) of their
    patches, threshold (2,), and clear (), the largest ambiguity of a scene whose things are known."""
    return load_file(FEATURES)
