"""Which family a model belongs to."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.families.blip import Blip
from causal_attrib.vlm.families.blip2 import Blip2, Blip2Seq2Seq
from causal_attrib.vlm.families.florence2 import Florence2
from causal_attrib.vlm.families.fuyu import Fuyu
from causal_attrib.vlm.families.gemma3 import Gemma3
from causal_attrib.vlm.families.gemma3n import Gemma3n
from causal_attrib.vlm.families.gemma4 import Gemma4
from causal_attrib.vlm.families.generic import Generic, GenericSeq2Seq
from causal_attrib.vlm.families.git import Git
from causal_attrib.vlm.families.hunyuan_vl import HunYuanVL
from causal_attrib.vlm.families.idefics import Idefics
from causal_attrib.vlm.families.idefics3 import Idefics3
from causal_attrib.vlm.families.internvl import InternVL
from causal_attrib.vlm.families.janus import Janus
from causal_attrib.vlm.families.kosmos2 import Kosmos2
from causal_attrib.vlm.families.llava import Llava
from causal_attrib.vlm.families.llava_next import LlavaNext
from causal_attrib.vlm.families.llava_onevision import LlavaOnevision
from causal_attrib.vlm.families.mllama import Mllama
from causal_attrib.vlm.families.paligemma import PaliGemma
from causal_attrib.vlm.families.pixtral import Pixtral
from causal_attrib.vlm.families.qwen_vl import MRope, QwenVL
from causal_attrib.vlm.families.vision_encoder_decoder import VisionEncoderDecoder


def choose_family(model: PreTrainedModel, processor: Any) -> Family:
    """The family of a model, by its config."""
    family: type[Family]
    config = model.config
    match config.model_type:
        case "llava":
            family = Pixtral if config.vision_config.model_type == "pixtral" else Llava
        case "vipllava" | "deepseek_vl" | "deepseek_vl_hybrid":
            family = Llava
        case "janus":
            family = Janus
        case "mistral3":
            family = Pixtral
        case "llava_next" | "llava_next_video":
            family = LlavaNext
        case "llava_onevision":
            family = LlavaOnevision
        case "hunyuan_vl":
            family = HunYuanVL
        case "idefics":
            family = Idefics
        case "idefics3" | "smolvlm":
            family = Idefics3
        case "internvl":
            family = InternVL
        case "qwen2_vl" | "qwen2_5_vl" | "qwen3_vl" | "qwen3_vl_moe" | "qwen3_5" | "qwen3_5_moe":
            family = QwenVL
        case (
            "glm4v"
            | "glm4v_moe"
            | "glm46v"
            | "glmga"
            | "glm_ocr"
            | "ernie4_5_vl_moe"
            | "paddleocr_vl"
            | "qwen2_5_omni_thinker"
            | "qwen3_omni_moe_thinker"
            | "cohere_compass"
            | "cosmos3_edge"
        ):
            family = MRope
        case "paligemma":
            family = PaliGemma
        case "gemma3":
            family = Gemma3
        case "gemma3n":
            family = Gemma3n
        case "gemma4":
            family = Gemma4
        case "mllama":
            family = Mllama
        case "blip":
            family = Blip
        case "blip-2" | "instructblip":
            family = Blip2 if config.use_decoder_only_language_model else Blip2Seq2Seq
        case "git":
            family = Git
        case "fuyu":
            family = Fuyu
        case "kosmos-2" | "kosmos-2.5":
            family = Kosmos2
        case "florence2":
            family = Florence2
        case "vision-encoder-decoder":
            family = VisionEncoderDecoder
        case _:
            family = GenericSeq2Seq if config.is_encoder_decoder else Generic
    return family(model, processor)
