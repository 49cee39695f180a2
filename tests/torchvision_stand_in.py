"""Stands for torchvision, without which transformers prepares no picture for some models: resizing, padding, norming.

The image processor itself is transformers' own: the sizes, tiles and tokens that a picture becomes are the real ones,
and only how pixels between pixels are made is torch's.
"""

import enum
import importlib
import sys
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
import transformers as tf
from transformers import image_processing_backends, processing_utils
from transformers.image_utils import PILImageResampling


class InterpolationMode(enum.Enum):
    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


_MODES = {
    PILImageResampling.NEAREST: InterpolationMode.NEAREST,
    PILImageResampling.BILINEAR: InterpolationMode.BILINEAR,
    PILImageResampling.BICUBIC: InterpolationMode.BICUBIC,
    PILImageResampling.LANCZOS: InterpolationMode.LANCZOS,
}


def _resize(image, size, interpolation=InterpolationMode.BILINEAR, antialias=True, **_):
    batch = image if image.dim() == 4 else image[None]
    mode = "bicubic" if interpolation in (InterpolationMode.BICUBIC, InterpolationMode.LANCZOS) else "bilinear"
    resized = torch.nn.functional.interpolate(batch.float(), tuple(size), mode=mode, antialias=antialias)
    if not image.is_floating_point():
        resized = resized.round().clamp(0, 255)
    return (resized if image.dim() == 4 else resized[0]).to(image.dtype)


def _normalize(image, mean, std, inplace=False):
    mean, std = (torch.as_tensor(value, dtype=image.dtype).view(-1, 1, 1) for value in (mean, std))
    return (image - mean) / std


def _pad(image, padding, fill=0, padding_mode="constant"):
    left, top, right, bottom = padding
    assert padding_mode == "constant"
    value = fill[0] if isinstance(fill, (list, tuple)) else fill  # Llama 4 names one for each channel, all alike
    return torch.nn.functional.pad(image, (left, right, top, bottom), value=value)


def _crop(image, top, left, height, width):
    return image[..., top : top + height, left : left + width]


def _grayscale_to_rgb(image):
    return image if image.shape[-3] != 1 else image.expand(*image.shape[:-3], 3, *image.shape[-2:])


def _pil_to_tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


functional = ModuleType("torchvision.transforms.v2.functional")
vars(functional).update(
    InterpolationMode=InterpolationMode,
    resize=_resize,
    normalize=_normalize,
    pad=_pad,
    crop=_crop,
    grayscale_to_rgb=_grayscale_to_rgb,
    pil_to_tensor=_pil_to_tensor,
)


def _modules():
    made = {name: ModuleType(name) for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2")}
    made["torchvision.transforms.v2"].functional = functional
    return made | {functional.__name__: functional}


@contextmanager
def stood_in(folder, name, *more):
    """While it lasts, transformers has the image processor and processor of `folder`; then all is as it was.

    Yields: the classes, of the image processor and of `more`.
    """
    stands = _modules()
    sys.modules.update(stands)
    names = (f"{name}ImageProcessor", *more)
    places = (tf, processing_utils.transformers_module)
    before = [(place, each, getattr(place, each)) for place in places for each in names]
    package = f"transformers.models.{folder}"
    try:
        files = [importlib.import_module(f"{package}.image_processing_{folder}")]
        files += [importlib.import_module(f"{package}.processing_{folder}")] if more else []
        found = [next(getattr(file, each) for file in files if hasattr(file, each)) for each in names]
        image_processing_backends.tvF = functional
        image_processing_backends.pil_torch_interpolation_mapping = _MODES
        for place in places:
            for each, one in zip(names, found, strict=True):
                setattr(place, each, one)
        yield found
    finally:
        for module in stands:
            sys.modules.pop(module, None)
        for place, each, value in before:
            setattr(place, each, value)
