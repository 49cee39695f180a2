"""What the bundled model's vision tower makes of scenes, and how well other pictures are told from them:

python benchmarks/scene_features.py --write [--pictures FOLDER ...] [--stickers FOLDER ...]

Writes causal_attrib/assets/scene_features.safetensors (what is known of the features of 3000 scenes, and the distances
that one in a hundred of 1500 others exceeds), and prints what share is taken for no scene: of fresh scenes, of the same
as JPEG, of scenes with stickers the model has never seen, and of the pictures in each folder, squeezed to a square:
by either way of looking, by the whole, and by the strangest patches; and of how many nothing is stated, since their
things are not clearly known ones. Scenes of --stickers are drawn with the CLASS.png pictures of each folder.
Without --write the asset is only measured; --write-clear writes the last threshold alone.
docs/bundled-model.md holds the result.
"""

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.cluster.vq import kmeans2, vq

import causal_attrib
from causal_attrib.scenes import CLASSES, STYLES, render, sample_scene
from causal_attrib.scenes.recognise import FEATURES, ambiguity, features, stored, strangeness
from causal_attrib.scenes.stickers import StickerSet, bundled, from_folder

SIZES = (96,) * 45 + (192,) * 4 + (512,)  # as in training
KINDS = 512


def scenes(count, seed, stickers=None, **world):
    rng = np.random.default_rng([seed, 77])
    for index in range(count):
        style = "custom" if stickers else str(rng.choice(STYLES))
        yield render(sample_scene(rng, style=style, **world), SIZES[index % len(SIZES)], stickers)[0]


def as_jpeg(picture):
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=70)
    return Image.open(sink)


def negative(picture):
    pixels = np.array(picture)
    pixels[..., :3] = 255 - pixels[..., :3]
    return Image.fromarray(pixels)


def features_of(pictures, vlm):
    pictures = list(pictures)
    return torch.cat([features(pictures[start : start + 64], vlm) for start in range(0, len(pictures), 64)])


def whitening(rows_ND):
    """What makes rows of no mean uncorrelated and of variance 1; a little variance is added in every direction."""
    spread_DD = torch.cov(rows_ND.double().T)
    spread_DD += 1e-4 * spread_DD.diagonal().mean() * torch.eye(len(spread_DD), dtype=torch.float64)
    return torch.linalg.cholesky(torch.linalg.inv(spread_DD))


def write(vlm):
    known_NPD = features_of(scenes(3000, 1), vlm)
    whole_ND, patches_MD = known_NPD.mean(1), known_NPD.flatten(0, 1)
    rough_DD = whitening(patches_MD)
    rough_MD = (patches_MD.double() @ rough_DD).numpy()
    centres_KD, _ = kmeans2(rough_MD[::5], KINDS, iter=15, minit="points", seed=0)
    kind_M, _ = vq(rough_MD, centres_KD)
    fine_DD = whitening(torch.from_numpy(rough_MD - centres_KD[kind_M]))
    known = {
        "mean": whole_ND.mean(0),
        "whitening": whitening(whole_ND),
        "patch_whitening": rough_DD @ fine_DD,
        "kinds": torch.from_numpy(centres_KD) @ fine_DD,
    }
    known = {name: value.float().contiguous() for name, value in known.items()}
    fresh_N2 = strangeness(features_of(scenes(1500, 2), vlm), known)
    # Each way of looking refuses one scene in two hundred.
    known["threshold"] = torch.quantile(fresh_N2, 0.995, dim=0)
    save(known)
    write_clear(vlm)


def write_clear(vlm):
    """The threshold of ambiguity that one scene in twenty exceeds, all of them of the two styles that were learnt."""
    ambiguity_N = ambiguity(features_of(scenes(1500, 2), vlm), vlm)
    save(stored() | {"clear": torch.quantile(ambiguity_N, 0.95)})


def save(known):
    save_file(known, FEATURES)
    FEATURES.chmod(0o644)
    stored.cache_clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--pictures", nargs="*", default=[], type=Path)
    parser.add_argument("--write-clear", action="store_true")
    parser.add_argument("--stickers", nargs="*", default=[], type=Path)
    arguments = parser.parse_args()
    vlm = causal_attrib.load(device="cpu")
    if arguments.write:
        write(vlm)
    elif arguments.write_clear:
        write_clear(vlm)

    stickers = bundled().pictures
    unseen = tuple(dict.fromkeys(cls for _, cls in stickers if cls not in CLASSES))
    odd = StickerSet(
        {("custom", cls): negative(picture) for (style, cls), picture in stickers.items() if style == "noto"}
    )
    groups = {
        "fresh scenes": scenes(1500, 3),
        "fresh scenes as JPEG": map(as_jpeg, scenes(500, 4)),
        "scenes of classes never seen": scenes(500, 5, classes=unseen, painted=()),
        "scenes of stickers in their negative": scenes(500, 6, odd, classes=CLASSES, painted=()),
        "flat grey": (Image.new("RGB", (96, 96), (level,) * 3) for level in range(0, 256, 5)),
    }
    for folder in arguments.stickers:
        stickers = from_folder(folder)
        groups[f"scenes of stickers in {folder.name}"] = scenes(500, 7, stickers, classes=stickers.classes, painted=())
    for folder in arguments.pictures:
        groups[folder.name] = (Image.open(path) for path in sorted(folder.glob("*.jpg")))
    for name, pictures in groups.items():
        features_NPD = features_of(pictures, vlm)
        refused_N2 = strangeness(features_NPD, stored()) > stored()["threshold"]
        unclear_N = refused_N2.any(1) | (ambiguity(features_NPD, vlm) > stored()["clear"])
        rates = [refused_N2.any(1), *refused_N2.T, unclear_N]
        print(f"| {name} | {len(refused_N2)} | " + " | ".join(f"{rate.float().mean():.1%}" for rate in rates) + " |")


if __name__ == "__main__":
    main()
