"""From a `Scene` to pixels and exact object masks.

Everything random in a picture (texture, horizon, stars, sensor noise) comes from `scene.seed` and never depends on
the objects. So when an object changes, no pixel outside its old and new mask changes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from causal_attrib.scenes.stickers import StickerSet, bundled
from causal_attrib.scenes.world import GRID, Scene, Sticker

NATIVE_SIZE = 96  # pixels; what the bundled model sees

SKY = {
    "day": ((120, 180, 240), (200, 225, 250)),
    "sunset": ((120, 70, 120), (250, 150, 70)),
    "night": ((8, 10, 35), (30, 35, 80)),
}
LIGHT = {"day": (1.0, 1.0, 1.0), "sunset": (1.0, 0.78, 0.62), "night": (0.45, 0.5, 0.7)}
GROUND = {
    "grass": (85, 150, 60),
    "beach": (225, 200, 140),
    "water": (50, 110, 170),
    "snow": (232, 238, 245),
    "road": (105, 105, 110),
    "floor": (150, 105, 70),
}
WALL = (205, 190, 165)


def _texture(rng: np.random.Generator, cells: int, size: int) -> np.ndarray:
    """Smooth random values in 0..1. They are drawn on a fixed grid, so every size shows the same texture."""
    coarse = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BILINEAR))[..., None]


def _background(scene: Scene, size: int) -> np.ndarray:
    """Sky, horizon and ground as float RGB."""
    rng = np.random.default_rng(scene.seed)
    horizon = rng.uniform(0.2, 0.35)
    fine, coarse = _texture(rng, 48, size), _texture(rng, 16, size)
    stars = rng.random((NATIVE_SIZE, NATIVE_SIZE)) > 0.985
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = axis[:, None, None], axis[None, :, None]
    light = np.array(LIGHT[scene.time])

    top, bottom = (np.array(colour, dtype=np.float32) for colour in SKY[scene.time])
    depth = np.clip(y / horizon, 0, 1)
    sky = np.broadcast_to(top * (1 - depth) + bottom * depth, (size, size, 3))

    ground = np.array(GROUND[scene.place]) + 40 * (fine - 0.5) * np.array([0.8, 1.2, 0.8]) + 25 * (coarse - 0.5)
    if scene.place == "water":
        ground = ground + 22 * np.sin(60 * y + 12 * coarse)
    elif scene.place == "road":
        stripe = (np.abs(y - (horizon + 1) / 2) < 0.02) & ((6 * x) % 1 < 0.5)
        ground = np.where(stripe, 230.0, ground)
    elif scene.place == "floor":
        ground = ground - 18 * ((7 * x) % 1 < 0.06)
    ground = ground * light

    if scene.place == "floor":  # indoors: a wall whose window shows the sky
        wall = (np.array(WALL) + 12 * (coarse - 0.5)) * light
        window = (np.abs(x - 0.5) < 0.2) & (y < 0.8 * horizon) & (y > 0.15 * horizon)
        sky = np.where(window, sky, wall)
    elif scene.time == "night":
        nearest = np.arange(size) * NATIVE_SIZE // size
        sky = np.where(stars[nearest][:, nearest][..., None], 220.0, sky)
    return np.where(y < horizon, sky, ground)


def _paste(
    canvas: np.ndarray, masks: list[np.ndarray], sticker: Sticker, light: np.ndarray, stickers: StickerSet
) -> np.ndarray:
    """Draw one sticker onto the float canvas, take it away from the masks it covers, and return its own mask."""
    size = canvas.shape[0]
    mask = np.zeros((size, size), dtype=bool)
    if not sticker.visible:
        return mask
    left, top = round(sticker.x * size / GRID), round(sticker.y * size / GRID)
    side = round(sticker.size * size / GRID)
    picture = stickers.picture(sticker.style, sticker.cls, sticker.colour, side, sticker.flip)
    rows, columns = slice(max(top, 0), min(top + side, size)), slice(max(left, 0), min(left + side, size))
    picture = picture[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    alpha = picture[..., 3:].astype(np.float32) / 255
    canvas[rows, columns] = canvas[rows, columns] * (1 - alpha) + picture[..., :3] * light * alpha
    for other in masks:
        other[rows, columns] &= picture[..., 3] < 255
    mask[rows, columns] = picture[..., 3] > 0
    return mask


def render(scene: Scene, size: int = NATIVE_SIZE, stickers: StickerSet | None = None) -> tuple[Image.Image, np.ndarray]:
    """Draw a scene at `size` x `size` pixels.

    Returns the RGB picture (PIL) and one boolean mask per object, shape (objects, size, size): True wherever the
    object has any influence on the pixel. Every size shows the same composition.
    """
    stickers = stickers or bundled()
    canvas = _background(scene, size).astype(np.float32)
    # Stickers take on half of the light's tint, so that they stay recognisable at night.
    light = (np.array(LIGHT[scene.time]) * 0.5 + 0.5).astype(np.float32)
    masks: list[np.ndarray] = []
    for sticker in scene.objects:
        masks.append(_paste(canvas, masks, sticker, light, stickers))
    # Another stream than the texture's: texture and noise must not be copies of each other.
    noise = np.random.default_rng([scene.seed, 1]).standard_normal(canvas.shape, dtype=np.float32)
    pixels = np.clip(np.rint(canvas + 2 * noise), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels), np.array(masks, dtype=bool).reshape(len(masks), size, size)
