"""Processors for still images, built without torchvision.

Image processors of transformers come in two makes, PIL and torchvision. The PIL one is taken wherever there is one, so
that a picture becomes the same numbers on every machine. Video processors need torchvision, and a processor that has a
slot for one cannot be built without it; here the slot stays empty, since we show a model still images only.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import transformers
from transformers import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    ProcessorMixin,
    processing_utils,
)
from transformers.image_processing_utils import BaseImageProcessor
from transformers.models.pixtral import image_processing_pil_pixtral
from transformers.models.smolvlm import processing_smolvlm

from causal_attrib.errors import InputError
from causal_attrib.vlm.torchvision import remedy, torchvision_state

_ABSENT = object()


class ImageAndTokenizer:
    """The processor of a model that transformers has none for, such as ViT-GPT2: the text holds no image tokens."""

    chat_template = None

    def __init__(self, image_processor: BaseImageProcessor, tokenizer: PreTrainedTokenizerBase):
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    def __call__(self, text: str, images: Any, return_tensors: str = "pt", add_special_tokens: bool = True) -> dict:
        pixels = self.image_processor(images, return_tensors=return_tensors)
        words = self.tokenizer(text, return_tensors=return_tensors, add_special_tokens=add_special_tokens)
        return {"pixel_values": pixels["pixel_values"], **words}


def load_processor(source: str, config: PreTrainedConfig, **hub: Any) -> ProcessorMixin | ImageAndTokenizer:
    """The processor of a model: an instance of transformers' own class, whose image tokens are therefore its own.

    Args:
        source: local folder or hub id; all in `processor_config.json` or in a file for each part, as older ones are.
        config: of the model.
        hub: as `from_pretrained` takes it (`revision`, `trust_remote_code`, `local_files_only`).

    Raises:
        InputError: pictures for this model can be prepared by torchvision only, or it takes no still images.
    """
    try:
        with still_images_only():
            processor = AutoProcessor.from_pretrained(source, config=config, **hub)
            if not isinstance(processor, ProcessorMixin):
                processor = ImageAndTokenizer(
                    _PilImageProcessor.from_pretrained(source, config=config, **hub),
                    AutoTokenizer.from_pretrained(source, config=config, **hub),
                )
    except (ImportError, ValueError) as error:
        if "torchvision" in str(error).lower() and torchvision_state() != "works":
            fault = "is not installed" if torchvision_state() == "absent" else "does not work beside this torch"
            raise InputError(
                f"Pictures for {config.model_type} models are prepared by torchvision, which {fault}; run {remedy()}."
            ) from error
        raise
    if getattr(processor, "image_processor", None) is None:
        raise InputError(f"The processor of {source} takes no still images; choose another model.")
    return forget_empty_slots(processor)


def forget_empty_slots(processor: ProcessorMixin | ImageAndTokenizer) -> ProcessorMixin | ImageAndTokenizer:
    """Make a processor without a video part one that can be saved and put into a trainer.

    transformers saves every part that it counts.
    """
    if isinstance(processor, ProcessorMixin):
        counted = processor.get_attributes()
        filled = [name for name in counted if getattr(processor, name, None) is not None]
        vars(processor)["get_attributes"] = lambda: filled
        if "video_processor" in counted and "video_processor" not in filled:
            # Overrides of both ask the video part for something (SmolVLM, Ernie 4.5 VL).
            for name in ("apply_chat_template", "save_pretrained"):
                vars(processor)[name] = functools.partial(getattr(ProcessorMixin, name), processor)
    return processor


class _PilImageProcessor:
    """Stands for `AutoImageProcessor`: the PIL class where there is one."""

    @staticmethod
    def from_pretrained(source: str, **options: Any) -> BaseImageProcessor:
        return AutoImageProcessor.from_pretrained(source, backend="pil", **options)


class _NoVideoProcessor:
    """Stands for `AutoVideoProcessor`: none."""

    @staticmethod
    def from_pretrained(source: str, **options: Any) -> None:
        return None


@contextmanager
def still_images_only() -> Iterator[None]:
    """While it lasts, transformers builds processors with an empty video slot; then all is as it was."""
    check = ProcessorMixin.check_argument_for_proper_class

    def check_all_but_video(self: ProcessorMixin, name: str, argument: object) -> Any:
        return None if name == "video_processor" and argument is None else check(self, name, argument)

    makers = processing_utils.MODALITY_TO_AUTOPROCESSOR_MAPPING._MAPPING_NAMES
    makers_before = dict(makers)
    pixtral = _pixtral_processor()
    changes = [
        (ProcessorMixin, "check_argument_for_proper_class", check_all_but_video),
        # SmolVLM spells out the number of frames of a video with it, and refuses to be built without.
        (processing_smolvlm, "num2words", processing_smolvlm.num2words or str),
        (transformers.models.pixtral, "PixtralProcessor", pixtral),
        # transformers imports itself anew while it is imported, so that there may be two of it.
        (transformers, "PixtralProcessor", pixtral),
        (processing_utils.transformers_module, "PixtralProcessor", pixtral),
    ]
    # A name that transformers has not looked up yet is not there, and looking it up may fail.
    before = [(place, name, vars(place).get(name, _ABSENT)) for place, name, _ in changes]
    try:
        makers["image_processor"] = (__name__, _PilImageProcessor.__name__)
        makers["video_processor"] = (__name__, _NoVideoProcessor.__name__)
        for place, name, value in changes:
            setattr(place, name, value)
        yield
    finally:
        makers.update(makers_before)
        for place, name, value in before:
            if value is _ABSENT:
                delattr(place, name)
            else:
                setattr(place, name, value)


def _pixtral_processor() -> type[ProcessorMixin]:
    """Pixtral's processor, of which transformers shows a dummy only where there is no torchvision.

    The file with the real one needs no more of torchvision than a function in the file of the torchvision image
    processor, and the file of the PIL one has the same function.
    """
    # Where transformers was imported before a broken torchvision was set aside, it shows no dummy, and raises.
    with suppress(ModuleNotFoundError, RuntimeError):
        if not getattr(transformers.PixtralProcessor, "is_dummy", False):
            return transformers.PixtralProcessor
    package = "transformers.models.pixtral"
    if f"{package}.processing_pixtral" not in sys.modules:
        sys.modules[f"{package}.image_processing_pixtral"] = image_processing_pil_pixtral
        try:
            importlib.import_module(f"{package}.processing_pixtral")
        finally:
            del sys.modules[f"{package}.image_processing_pixtral"]
    return sys.modules[f"{package}.processing_pixtral"].PixtralProcessor
