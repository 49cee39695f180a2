"""Tiny models of architectures that have no tests of their own elsewhere: each builds the model and its processor."""

import pytest
import torch
import transformers as tf
from tokenizers import models, normalizers
from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeThinkerConfig

from tests.tiny_parts import (
    CLIP,
    MROPE,
    PIXTRAL,
    SIGLIP,
    SQUARE,
    TOWER,
    add_tokens,
    clip_images,
    stills_only,
    text_config,
)
from tests.tokenizers_of_kinds import byte_level, metaspace
from tests.torchvision_stand_in import stood_in

LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
# A tower that learns places on a grid.
PLACED = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pos_emb_height": 8,
    "pos_emb_width": 8,
}
LFM2 = {"model_type": "lfm2", "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 32}


def ids(tokenizer, *tokens):
    return tokenizer.convert_tokens_to_ids(list(tokens))


def _see_clearly(model):
    """What a random tower gives of two pictures is next to alike, and would hardly be seen."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "multi_modal_projector" in name and weight.dim() == 2:
                weight.normal_(0, 0.3)


# -- inputs of their own along the row --------------------------------------------------------------------------------


def idefics():
    tokenizer = add_tokens(byte_level(), "<fake_token_around_image>")
    text = text_config(tokenizer)
    text.pop("num_key_value_heads")
    config = tf.IdeficsConfig(
        **text,
        vision_config={
            "embed_dim": 32,
            "image_size": 56,
            "intermediate_size": 64,
            "patch_size": 14,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        },
        cross_layer_interval=1,
        alpha_initializer="ones",
    )
    images = tf.IdeficsImageProcessorPil(image_size=56)
    return tf.IdeficsForVisionText2Text(config), tf.IdeficsProcessor(images, tokenizer, image_size=56), None


def fuyu():
    tokenizer = metaspace(named={})
    # As in its checkpoint: a mark goes before whatever a text begins with, and patches are words like others.
    parts, vocabulary = tokenizer.backend_tokenizer, tokenizer.get_vocab()
    pieces = [*sorted(vocabulary, key=vocabulary.get), "|SPEAKER|", "|NEWLINE|"]
    likely = {"|SPEAKER|", "|NEWLINE|", "<0x04>"}
    parts.model = models.Unigram([(piece, 0.0 if piece in likely else -1.0) for piece in pieces], 3, True)
    parts.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    parts.pre_tokenizer = None
    config = tf.FuyuConfig(
        patch_size=30,
        image_token_id=ids(tokenizer, "|SPEAKER|")[0],
        text_config={
            "model_type": "persimmon",
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 2048,
            "hidden_act": "relu2",
            "qk_layernorm": True,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
    )
    images = tf.FuyuImageProcessorPil(size={"height": 90, "width": 90})
    return tf.FuyuForCausalLM(config), tf.FuyuProcessor(images, tokenizer), None


def kosmos2_5():
    tokenizer = metaspace(named={"image_token": "<slot>", "boi_token": "<image>", "eoi_token": "</image>"})
    text = {
        "vocab_size": len(tokenizer),
        "embed_dim": 64,
        "layers": 2,
        "ffn_dim": 128,
        "attention_heads": 4,
        "max_position_embeddings": 512,
        "dropout": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {
        "hidden_size": 32,
        "patch_embed_hidden_size": 768,
        "intermediate_size": 64,
        "head_dim": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = tf.Kosmos2_5Config(text_config=text, vision_config=vision, latent_query_num=8)
    processor = tf.Kosmos2_5Processor(tf.Kosmos2_5ImageProcessorPil(), tokenizer, 8)
    processor.images_kwargs = processor.images_kwargs | {"max_patches": 16}  # of 4096, which take a second each time
    return tf.Kosmos2_5ForConditionalGeneration(config), processor, None


def ernie4_5_vl():
    named = {
        f"{kind}{part}_token": f"<|{kind}{part}|>" for kind in ("image", "video") for part in ("", "_start", "_end")
    }
    tokenizer = byte_level(named=named)
    config = tf.Ernie4_5_VLMoeConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 4,
            "intermediate_size": 64,
            "patch_size": 14,
        },
        text_config=text_config(
            tokenizer,
            rope_parameters=MROPE | {"mrope_section": [3, 3, 2]},
            moe_intermediate_size=[32, 32],
            moe_num_experts=4,
            moe_k=2,
        ),
        **{f"{name}_id": getattr(tokenizer, f"{name}_id") for name in named},
    )
    images = tf.Ernie4_5_VLMoeImageProcessorPil(patch_size=14, size={"shortest_edge": 56**2, "longest_edge": 112**2})
    processor = stills_only("Ernie4_5_VLMoeProcessor", images, tokenizer, None)
    model = tf.Ernie4_5_VLMoeForConditionalGeneration(config)
    return model, processor, "<|image_start|><|image|><|image_end|>"


def glm4v(name="Glm4v", *, vision=None, **text):
    tokenizer = add_tokens(byte_level(named={"image_token": "<|image|>", "video_token": "<|video|>"}))
    add_tokens(tokenizer, *GLM)
    start, end, film_start, film_end = ids(tokenizer, *GLM)
    config = getattr(tf, f"{name}Config")(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "out_hidden_size": 64,
            "intermediate_size": 64,
            **(vision or {}),
        },
        text_config=text_config(tokenizer, rope_parameters=MROPE | {"partial_rotary_factor": 1.0}, **text),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        image_start_token_id=start,
        image_end_token_id=end,
        video_start_token_id=film_start,
        video_end_token_id=film_end,
    )
    images = tf.Glm4vImageProcessorPil(patch_size=14, size={"shortest_edge": 2 * 56**2, "longest_edge": 2 * 112**2})
    processor = stills_only("Glm4vProcessor", images, tokenizer, None)
    model = getattr(tf, f"{name}ForConditionalGeneration")(config)
    return model, processor, "<|begin_of_image|><|image|><|end_of_image|>"


GLM = ("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>")


def glm4v_moe():
    return glm4v(
        "Glm4vMoe",
        moe_intermediate_size=32,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_shared_experts=1,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
    )


def glm_ocr():
    return glm4v("GlmOcr", head_dim=16)


def paddleocr_vl():
    tokenizer = byte_level(named={"image_token": "<|IMAGE_PLACEHOLDER|>"})
    add_tokens(tokenizer, "<|IMAGE_START|>", "<|IMAGE_END|>", "<|VIDEO|>")
    config = tf.PaddleOCRVLConfig(
        vision_config=TOWER | {"image_size": 112},
        text_config=text_config(tokenizer, rope_parameters=MROPE, head_dim=16),
        image_token_id=tokenizer.image_token_id,
        video_token_id=ids(tokenizer, "<|VIDEO|>")[0],
        vision_start_token_id=ids(tokenizer, "<|IMAGE_START|>")[0],
        vision_end_token_id=ids(tokenizer, "<|IMAGE_END|>")[0],
    )
    images = tf.PaddleOCRVLImageProcessorPil(size={"shortest_edge": 56**2, "longest_edge": 112**2})
    processor = tf.PaddleOCRVLProcessor(images, tokenizer)
    model = tf.PaddleOCRVLForConditionalGeneration(config)
    return model, processor, "<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>"


def qwen3_vl_moe():
    return _qwen3("Qwen3VLMoe", {"deepstack_visual_indexes": [0, 1]}, moe_intermediate_size=32, num_experts=4)


def qwen3_5():
    return _qwen3("Qwen3_5", {}, **LINEAR)


def _qwen3(name, vision, **text):
    tokenizer = byte_level(named={"image_token": "<|image_pad|>"})
    add_tokens(tokenizer, "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    config = getattr(tf, f"{name}Config")(
        text_config=text_config(
            tokenizer,
            head_dim=16,
            rope_parameters=MROPE | {"mrope_interleaved": True, "partial_rotary_factor": 1.0},
            **text,
        ),
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "patch_size": 16,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            **vision,
        },
        image_token_id=ids(tokenizer, "<|image_pad|>")[0],
        video_token_id=ids(tokenizer, "<|video_pad|>")[0],
        vision_start_token_id=ids(tokenizer, "<|vision_start|>")[0],
        vision_end_token_id=ids(tokenizer, "<|vision_end|>")[0],
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64**2, "longest_edge": 128**2})
    processor = stills_only("Qwen3VLProcessor", images, tokenizer, None)
    model = getattr(tf, f"{name}ForConditionalGeneration")(config)
    return model, processor, "<|vision_start|><|image_pad|><|vision_end|>"


OMNI = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}


def qwen2_5_omni():
    tokenizer = byte_level(named=OMNI)
    config = tf.Qwen2_5OmniThinkerConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        audio_config={
            "num_mel_bins": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 32,
            "output_dim": 64,
        },
        text_config=text_config(tokenizer, rope_parameters=MROPE),
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        audio_token_index=tokenizer.audio_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
        audio_start_token_id=tokenizer.audio_bos_token_id,
        audio_end_token_id=tokenizer.audio_eos_token_id,
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=14, size={"shortest_edge": 56**2, "longest_edge": 112**2})
    sound = tf.WhisperFeatureExtractor(feature_size=16)
    processor = stills_only("Qwen2_5OmniProcessor", images, None, sound, tokenizer)
    model = tf.Qwen2_5OmniThinkerForConditionalGeneration(config)
    return model, processor, "<|vision_bos|><|IMAGE|><|vision_eos|>"


def qwen3_omni_moe():
    tokenizer = byte_level(named=OMNI)
    config = Qwen3OmniMoeThinkerConfig(
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        audio_config={
            "num_mel_bins": 16,
            "encoder_layers": 1,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 32,
            "output_dim": 64,
            "downsample_hidden_size": 8,
        },
        text_config=text_config(
            tokenizer,
            head_dim=16,
            rope_parameters=MROPE | {"mrope_interleaved": True},
            moe_intermediate_size=32,
            num_experts=4,
            num_experts_per_tok=2,
        ),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        audio_token_id=tokenizer.audio_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
        audio_start_token_id=tokenizer.audio_bos_token_id,
        audio_end_token_id=tokenizer.audio_eos_token_id,
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64**2, "longest_edge": 128**2})
    sound = tf.WhisperFeatureExtractor(feature_size=16)
    processor = stills_only("Qwen3OmniMoeProcessor", images, None, sound, tokenizer)
    model = tf.Qwen3OmniMoeThinkerForConditionalGeneration(config)
    return model, processor, "<|vision_bos|><|IMAGE|><|vision_eos|>"


def hunyuan_vl():
    named = {"image_token": "<image>", "image_start_token": "<img_start>", "image_end_token": "<img_end>"}
    tokenizer = byte_level(named=named)
    config = tf.HunYuanVLConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "patch_size": 16,
            "max_image_size": 128,
            "text_hidden_size": 64,
            "out_hidden_size": 64,
        },
        text_config=text_config(
            tokenizer,
            head_dim=16,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2, 2]},
        ),
        image_token_id=tokenizer.image_token_id,
        im_start_id=tokenizer.image_start_token_id,
        im_end_id=tokenizer.image_end_token_id,
    )
    images = tf.HunYuanVLImageProcessorPil(size={"shortest_edge": 64**2, "longest_edge": 128**2})
    processor = tf.HunYuanVLProcessor(images, tokenizer)
    return tf.HunYuanVLForConditionalGeneration(config), processor, "<img_start><image><img_end>"


# -- one tower, one decoder -------------------------------------------------------------------------------------------


def vipllava():
    tokenizer = metaspace()
    config = tf.VipLlavaConfig(
        vision_config=CLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_index=tokenizer.image_token_id,
        vision_feature_layers=[-1, -2],
        vision_feature_layer=[-1, -2],
    )
    processor = tf.LlavaProcessor(
        clip_images(), tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return tf.VipLlavaForConditionalGeneration(config), processor, "<image>"


def aria():
    tokenizer = byte_level()
    config = tf.AriaConfig(
        vision_config=TOWER | {"model_type": "idefics3_vision", "image_size": 980, "patch_size": 140},
        text_config=text_config(tokenizer, moe_num_experts=4, moe_topk=2, moe_num_shared_experts=1),
        image_token_index=tokenizer.image_token_id,
        projector_patch_to_query_dict={49: 4},
    )
    processor = tf.AriaProcessor(tf.AriaImageProcessorPil(), tokenizer, size_conversion={980: 4})
    return tf.AriaForConditionalGeneration(config), processor, "<image>"


def idefics2():
    tokenizer = add_tokens(byte_level(named={"image_token": "<image>", "image_boundary_token": "<fake>"}))
    images = tf.Idefics2ImageProcessorPil(size={"shortest_edge": 56, "longest_edge": 112})
    processor = tf.Idefics2Processor(images, tokenizer, image_seq_len=4)
    config = tf.Idefics2Config(
        vision_config=TOWER | {"image_size": 112},
        perceiver_config={
            "hidden_size": 64,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 4,
            "resampler_head_dim": 16,
            "num_key_value_heads": 2,
        },
        text_config=text_config(tokenizer, model_type="mistral", head_dim=16),
        image_token_id=tokenizer.image_token_id,
    )
    return tf.Idefics2ForConditionalGeneration(config), processor, "<image>"


def got_ocr2():
    tokenizer = byte_level(named={})
    add_tokens(tokenizer, "<img>", "</img>", "<imgpad>", "<|im_start|>", "<|im_end|>")
    config = tf.GotOcr2Config(
        vision_config={
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            # Its processor makes 256 tokens of every picture.
            "image_size": 64,
            "patch_size": 1,
            "window_size": 4,
            "global_attn_indexes": [],
            "mlp_dim": 64,
        },
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_index=ids(tokenizer, "<imgpad>")[0],
    )
    images = tf.GotOcr2ImageProcessorPil(size={"height": 64, "width": 64})
    return tf.GotOcr2ForConditionalGeneration(config), tf.GotOcr2Processor(images, tokenizer), "<img><imgpad></img>"


def ovis2():
    tokenizer = byte_level()
    marks = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    add_tokens(tokenizer, "<IMG_ATOM>", *marks)
    config = tf.Ovis2Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "vocab_size": 32,
            "hidden_stride": 1,
        },
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_id=ids(tokenizer, "<IMG_ATOM>")[0],
        visual_indicator_token_ids=ids(tokenizer, *marks),
        vocab_size=len(tokenizer),
        hidden_size=64,
    )
    images = tf.Ovis2ImageProcessorPil(size=SQUARE)
    processor = tf.Ovis2Processor(images, tokenizer, image_seq_length=16)
    return tf.Ovis2ForConditionalGeneration(config), processor, "<image>"


def deepseek_vl():
    tokenizer = byte_level()
    config = tf.DeepseekVLConfig(
        vision_config=SIGLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_id=tokenizer.image_token_id,
    )
    images = tf.DeepseekVLImageProcessorPil(size=SQUARE)
    processor = tf.DeepseekVLProcessor(images, tokenizer, num_image_tokens=16)
    return tf.DeepseekVLForConditionalGeneration(config), processor, "<image>"


def janus():
    tokenizer = byte_level(named={"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"})
    config = tf.JanusConfig(
        vision_config=TOWER | {"mlp_ratio": 2.0, "projection_dim": 64, "num_image_tokens": 16, "depth": 2},
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 16,
            "latent_channels": 8,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "num_patches": 4,
            "projection_dim": 64,
            "image_token_embed_dim": 64,
        },
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_id=tokenizer.image_token_id,
    )
    images = tf.JanusImageProcessorPil(size=SQUARE)
    processor = tf.JanusProcessor(images, tokenizer, num_image_tokens=16)
    return tf.JanusForConditionalGeneration(config), processor, "<image>"


def chameleon():
    named = {"image_token": "<image>", "boi_token": "<racm3:break>", "eoi_token": "<eoss>", "sep_token": "<sep>"}
    tokenizer = byte_level(named=named)
    codes = [f"IMGIMG{letter}Z" for letter in "ABCDEFGH"]
    tokenizer.add_tokens(codes)
    config = tf.ChameleonConfig(
        **text_config(tokenizer),
        vq_config={
            "embed_dim": 8,
            "num_embeddings": 8,
            "latent_channels": 8,
            "resolution": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
        },
        vocabulary_map={**dict(zip(codes, ids(tokenizer, *codes), strict=True)), "<image>": tokenizer.image_token_id},
    )
    images = tf.ChameleonImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor = tf.ChameleonProcessor(images, tokenizer, image_seq_length=64)
    return tf.ChameleonForConditionalGeneration(config), processor, None


def lighton_ocr():
    named = {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
    tokenizer = byte_level(named=named)
    config = tf.LightOnOcrConfig(
        vision_config=PIXTRAL,
        text_config=text_config(tokenizer, model_type="qwen3", head_dim=16),
        image_token_id=tokenizer.image_token_id,
        spatial_merge_size=2,
    )
    images = tf.PixtralImageProcessorPil(size={"longest_edge": 112}, patch_size=14)
    processor = stills_only("LightOnOcrProcessor", images, tokenizer, patch_size=14, spatial_merge_size=2)
    return tf.LightOnOcrForConditionalGeneration(config), processor, "[IMG]"


def video_llama_3():
    tokenizer = byte_level(named={"image_token": "<image>", "video_token": "<video>"})
    config = tf.VideoLlama3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "patch_size": 14,
        },
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
    )
    images = tf.VideoLlama3ImageProcessorPil(size={"shortest_edge": 28**2, "longest_edge": 56**2})
    processor = stills_only("VideoLlama3Processor", images, tokenizer, None)
    return tf.VideoLlama3ForConditionalGeneration(config), processor, "<image>"


def qianfan_ocr():
    named = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    tokenizer = byte_level(named=named)
    config = tf.QianfanOCRConfig(
        vision_config=TOWER | {"image_size": [56, 56], "patch_size": [14, 14]},
        text_config=text_config(tokenizer, model_type="qwen3", head_dim=16),
        image_token_id=ids(tokenizer, "<IMG_CONTEXT>")[0],
    )
    images = tf.GotOcr2ImageProcessorPil(size=SQUARE)
    processor = tf.QianfanOCRProcessor(images, tokenizer, image_seq_length=4)
    return tf.QianfanOCRForConditionalGeneration(config), processor, "<image>"


def glm46v():
    return glm4v("Glm46V", vision={"model_type": "glm4v_vision"}, model_type="glm4v_text")


def qwen3_5_moe():
    return _qwen3(
        "Qwen3_5Moe",
        {},
        **LINEAR,
        moe_intermediate_size=32,
        num_experts=4,
        num_experts_per_tok=2,
        shared_expert_intermediate_size=32,
    )


def exaone4_5():
    tokenizer = byte_level(named={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"})
    add_tokens(tokenizer, "<vision>", "</vision>")
    config = tf.Exaone4_5_Config(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "num_key_value_heads": 2,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        text_config=text_config(
            tokenizer, model_type="exaone4", sliding_window=8, layer_types=["sliding_attention", "full_attention"]
        ),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=14, size={"shortest_edge": 56**2, "longest_edge": 112**2})
    processor = stills_only("Exaone4_5_Processor", images, tokenizer, None)
    return tf.Exaone4_5_ForConditionalGeneration(config), processor, "<vision><|image_pad|></vision>"


def llava_next_video():
    tokenizer = metaspace(named={"image_token": "<image>", "video_token": "<video>"})
    pinpoints = [[56, 112], [112, 56], [112, 112]]
    config = tf.LlavaNextVideoConfig(
        vision_config=CLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        image_grid_pinpoints=pinpoints,
    )
    images = tf.LlavaNextImageProcessorPil(size={"shortest_edge": 56}, crop_size=SQUARE, image_grid_pinpoints=pinpoints)
    processor = stills_only(
        "LlavaNextVideoProcessor",
        None,
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    return tf.LlavaNextVideoForConditionalGeneration(config), processor, "<image>"


def deepseek_vl_hybrid():
    tokenizer = byte_level()
    config = tf.DeepseekVLHybridConfig(
        vision_config=SIGLIP,
        high_res_vision_config={
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 128,
            "patch_size": 16,
            "window_size": 4,
            "global_attn_indexes": [1],
            "mlp_dim": 64,
        },
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_id=tokenizer.image_token_id,
    )
    images = tf.DeepseekVLHybridImageProcessorPil(size=SQUARE, high_res_size={"height": 128, "width": 128})
    processor = tf.DeepseekVLHybridProcessor(images, tokenizer, num_image_tokens=16)
    return tf.DeepseekVLHybridForConditionalGeneration(config), processor, "<image>"


def cosmos3_edge():
    tokenizer = byte_level(named={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"})
    add_tokens(tokenizer, "<|vision_start|>", "<|vision_end|>")
    config = tf.Cosmos3EdgeConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_patches": 64,
        },
        text_config=text_config(tokenizer, head_dim=16, rope_parameters=MROPE),
        projector_hidden_size=64,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_start_token_id=ids(tokenizer, "<|vision_start|>")[0],
        vision_end_token_id=ids(tokenizer, "<|vision_end|>")[0],
    )
    images = tf.Cosmos3EdgeImageProcessorPil(size={"shortest_edge": 64**2, "longest_edge": 128**2})
    processor = stills_only("Cosmos3EdgeProcessor", images, tokenizer, None)
    return tf.Cosmos3EdgeForConditionalGeneration(config), processor, "<|vision_start|><|image_pad|><|vision_end|>"


def hyperclovax():
    tokenizer = byte_level(named={"image_token": "<|IMAGE_PAD|>", "video_token": "<|VIDEO_PAD|>"})
    config = tf.HyperCLOVAXVisionV2Config(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        text_config=text_config(tokenizer, model_type="hyperclovax", head_dim=16),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=14, size={"shortest_edge": 56**2, "longest_edge": 112**2})
    processor = stills_only("HyperCLOVAXVisionV2Processor", images, tokenizer, None)
    return tf.HyperCLOVAXVisionV2ForConditionalGeneration(config), processor, "<|IMAGE_PAD|>"


def cohere_compass():
    tokenizer = byte_level(named={"image_token": "<|IMAGE_PAD|>", "video_token": "<|VIDEO_PAD|>"})
    add_tokens(tokenizer, "<|VISION_START|>", "<|VISION_END|>")
    start, end = ids(tokenizer, "<|VISION_START|>", "<|VISION_END|>")
    kinds = ["sliding_attention", "full_attention"]
    config = tf.CohereCompassConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        text_config=text_config(
            tokenizer,
            sliding_window=8,
            layer_types=kinds,
            rope_parameters=dict.fromkeys(kinds, MROPE | {"mrope_interleaved": True}),
        ),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    images = tf.CohereCompassImageProcessorPil(patch_size=16, size={"shortest_edge": 64**2, "longest_edge": 128**2})
    processor = stills_only("CohereCompassProcessor", images, tokenizer, None)
    model = tf.CohereCompassForConditionalGeneration(config)
    return model, processor, "<|VISION_START|><|IMAGE_PAD|><|VISION_END|>"


def lfm3_vl():
    tokenizer = byte_level(named={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"})
    add_tokens(tokenizer, "<|vision_start|>", "<|vision_end|>")
    start, end = ids(tokenizer, "<|vision_start|>", "<|vision_end|>")
    config = tf.Lfm3VlConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "layer_types": ["conv", "full_attention"],
        },
        text_config=LFM2 | text_config(tokenizer, num_hidden_layers=3),
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_start_token_id=start,
        vision_end_token_id=end,
        projector_hidden_size=64,
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64**2, "longest_edge": 128**2})
    processor = stills_only("Lfm3VlProcessor", images, tokenizer, None)
    return tf.Lfm3VlForConditionalGeneration(config), processor, "<|vision_start|><|image_pad|><|vision_end|>"


def deepseek_ocr2():
    tokenizer = byte_level()
    config = tf.DeepseekOcr2Config(
        vision_config={
            # It has 256 queries for a whole picture whatever the config says, and 144 for a tile.
            "sam_config": {
                "hidden_size": 32,
                "output_channels": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": 256,
                "patch_size": 4,
                "window_size": 8,
                "global_attn_indexes": [],
                "mlp_dim": 64,
                "downsample_channels": [16, 32],
            },
            "encoder_config": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 2,
            },
        },
        text_config=text_config(
            tokenizer,
            n_routed_experts=4,
            n_shared_experts=1,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            mlp_layer_types=["dense", "sparse"],
        ),
        image_token_id=tokenizer.image_token_id,
    )
    images = tf.DeepseekOcr2ImageProcessorPil(size={"height": 256, "width": 256}, tile_size=192)
    processor = tf.DeepseekOcr2Processor(images, tokenizer, patch_size=4)
    return tf.DeepseekOcr2ForConditionalGeneration(config), processor, "<image>"


def mistral_large4():
    tokenizer = byte_level(named={"image_token": "[IMG]"})
    add_tokens(tokenizer, "[IMG_BREAK]", "[IMG_END]")
    config = tf.MistralLarge4Config(
        vision_config=PIXTRAL,
        text_config=text_config(
            tokenizer,
            num_key_value_heads=4,
            head_dim=16,
            qk_rope_head_dim=16,
            qk_nope_head_dim=16,
            v_head_dim=16,
            kv_lora_rank=16,
            index_head_dim=16,
            # Each token sees eight before it. Heads are clipped at 0: with few of them tokens tie, and padding decides.
            index_n_heads=16,
            index_topk=8,
            moe_intermediate_size=32,
            n_routed_experts=4,
            num_experts_per_tok=2,
        ),
        image_token_index=tokenizer.image_token_id,
    )
    images = tf.PixtralImageProcessorPil(size={"longest_edge": 112}, patch_size=14)
    processor = stills_only("PixtralProcessor", images, tokenizer, patch_size=14, spatial_merge_size=2)
    return tf.MistralLarge4ForConditionalGeneration(config), processor, "[IMG]"


def glm5_next():
    tokenizer = byte_level(named={"image_token": "<|image|>", "video_token": "<|video|>"})
    marks = ["<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"]
    image_start, image_end, video_start, video_end = ids(add_tokens(tokenizer, *marks), *marks)
    config = tf.Glm5NextConfig(
        text_config=text_config(
            tokenizer,
            num_key_value_heads=4,
            layer_types=["linear_attention", "indexed_attention"],
            mlp_layer_types=["dense", "sparse"],
            indexer_types=["full", "full"],
            kv_lora_rank=16,
            q_lora_rank=16,
            v_head_dim=16,
            qk_nope_head_dim=16,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            index_topk=64,
            index_kpool=4,
            index_head_dim=16,
            index_n_heads=16,
            linear_head_dim=16,
            linear_num_heads=4,
            hc_mult=2,
        ),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "image_size": 112,
            "projection_intermediate_size": 64,
        },
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        image_start_token_id=image_start,
        image_end_token_id=image_end,
        video_start_token_id=video_start,
        video_end_token_id=video_end,
    )
    images = tf.Glm5NextImageProcessorPil(patch_size=14, size={"shortest_edge": 56**2, "longest_edge": 112**2})
    processor = stills_only("Glm5NextProcessor", images, tokenizer, None)
    model = tf.Glm5NextForConditionalGeneration(config)
    return model, processor, "<|begin_of_image|><|image|><|end_of_image|>"


def dots3_note():
    tokenizer = add_tokens(byte_level(named={"image_token": "<|imgpad|>"}), "<|video_pad|>", "<|audio_comp_pad|>")
    video, audio = ids(tokenizer, "<|video_pad|>", "<|audio_comp_pad|>")
    latent = {"q_lora_rank": 16, "kv_lora_rank": 16, "head_dim": 32, "qk_nope_head_dim": 16, "v_head_dim": 16}
    config = tf.Dots3NoteConfig(
        text_config=text_config(
            tokenizer,
            **latent,
            **{f"swa_{name}": value for name, value in latent.items()},
            swa_num_attention_heads=4,
            swa_num_key_value_heads=4,
            num_key_value_heads=4,
            qk_rope_head_dim=16,
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            shared_experts_intermediate_size=32,
            index_topk=8,
            index_head_dim=16,
            index_n_heads=16,
            sliding_window=8,
            layer_types=["indexed_attention", "sliding_attention"],
        ),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "mlp_layer_types": ["dense", "dense"],
            "adapter_in_dim": 32,
            "adapter_out_dim": 64,
        },
        audio_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "adapter_input_size": 32,
            "adapter_out_dim": 64,
            "feature_size": 16,
            "downsample_hidden_size": 8,
        },
        image_token_id=tokenizer.image_token_id,
        video_token_id=video,
        audio_token_id=audio,
    )
    size = {"shortest_edge": 56**2, "longest_edge": 112**2}
    images = tf.Qwen2VLImageProcessorPil(patch_size=14, temporal_patch_size=1, size=size)
    processor = stills_only("Dots3NoteProcessor", images, tokenizer, None, tf.Dots3NoteFeatureExtractor())
    return tf.Dots3NoteForConditionalGeneration(config), processor, "<|imgpad|>"


def granite_docling():
    tokenizer = add_tokens(byte_level(), "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    add_tokens(tokenizer, *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)))
    config = tf.GraniteDoclingConfig(
        vision_config=TOWER
        | {"out_hidden_size": 64, "scale_factor": 2, "deepstack_visual_indexes": [0], "use_fine_route": False},
        text_config=text_config(
            tokenizer,
            embedding_multiplier=2.0,
            residual_multiplier=0.5,
            attention_multiplier=0.25,
            logits_scaling=1.0,
        ),
        image_token_id=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    images = tf.GraniteDoclingImageProcessorPil(size=SQUARE, crop_to_patches=True, min_patches=1, max_patches=4)
    processor = tf.GraniteDoclingProcessor(images, tokenizer, image_seq_len=4)
    return tf.GraniteDoclingForConditionalGeneration(config), processor, "<image>"


def granite4_vision():
    tokenizer = metaspace()
    pinpoints = [[56, 112], [112, 56], [112, 112]]
    config = tf.Granite4VisionConfig(
        vision_config=SIGLIP | {"hidden_size": 64},
        text_config=text_config(tokenizer),
        qformer_config={"num_hidden_layers": 1, "intermediate_size": 64, "vocab_size": 8},
        image_token_index=tokenizer.image_token_id,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=pinpoints,
        image_seq_length=16,
        downsample_rate="1/2",
        deepstack_layer_map=[[-2, 0]],
        spatial_target_layers=[1],
        projector_dropout=0.0,
    )
    images = tf.LlavaNextImageProcessorPil(size={"shortest_edge": 56}, crop_size=SQUARE, image_grid_pinpoints=pinpoints)
    processor = tf.Granite4VisionProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="full", downsample_rate="1/2"
    )
    return tf.Granite4VisionForConditionalGeneration(config), processor, "<image>"


# -- encoder-decoders -------------------------------------------------------------------------------------------------


def t5gemma2():
    tokenizer = metaspace(
        named={"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    )
    text = text_config(tokenizer, head_dim=16, sliding_window=8, query_pre_attn_scalar=16)
    config = tf.T5Gemma2Config(
        encoder={
            "text_config": text,
            "vision_config": SIGLIP,
            "mm_tokens_per_image": 4,
            "boi_token_index": tokenizer.boi_token_id,
            "eoi_token_index": tokenizer.eoi_token_id,
            "image_token_index": tokenizer.image_token_id,
        },
        decoder=text,
        image_token_index=tokenizer.image_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
    )
    processor = tf.Gemma3Processor(tf.Gemma3ImageProcessorPil(size=SQUARE), tokenizer, image_seq_length=4)
    return tf.T5Gemma2ForConditionalGeneration(config), processor, "<start_of_image>"


# -- pictures prepared by torchvision, for which another stands in ----------------------------------------------------


def llama4():
    if tf.__version__ == "5.24.0":
        pytest.skip("transformers 5.24.0 cannot run Llama 4: it asks the text model for the outputs of pictures")
    tokenizer = byte_level(named={})
    marks = ["<|image_start|>", "<|image_end|>", "<|tile_x_separator|>", "<|tile_y_separator|>"]
    add_tokens(tokenizer, "<|image|>", "<|patch|>", *marks)
    start, end, *_ = ids(tokenizer, *marks)
    config = tf.Llama4Config(
        vision_config=TOWER
        | {
            "intermediate_size": 128,
            "vision_output_dim": 64,
            "projector_input_dim": 64,
            "projector_output_dim": 64,
            "pixel_shuffle_ratio": 0.5,
        },
        # Every second layer sees the last 32 tokens alone and has positions; the other sees all and has none.
        text_config=text_config(
            tokenizer,
            head_dim=16,
            intermediate_size_mlp=128,
            num_local_experts=4,
            interleave_moe_layer_step=2,
            no_rope_layer_interval=2,
            attention_chunk_size=32,
        ),
        boi_token_index=start,
        eoi_token_index=end,
        image_token_index=ids(tokenizer, "<|patch|>")[0],
    )
    with stood_in("llama4", "Llama4", "Llama4Processor") as (images, processor):
        processor = processor(images(size=SQUARE, max_patches=4), tokenizer, patch_size=14)
    return tf.Llama4ForConditionalGeneration(config), processor, "<|image|>"


def lfm2_vl():
    named = {
        "image_token": "<image>",
        "image_start_token": "<|image_start|>",
        "image_end_token": "<|image_end|>",
        "image_thumbnail_token": "<|img_thumbnail|>",
    }
    tokenizer = byte_level(named=named)
    add_tokens(tokenizer, *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)))
    config = tf.Lfm2VlConfig(
        vision_config={
            "model_type": "siglip2_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "patch_size": 14,
            "num_patches": 16,
            "vision_use_head": False,
        },
        text_config=LFM2 | text_config(tokenizer, num_hidden_layers=3),
        image_token_id=tokenizer.image_token_id,
        projector_hidden_size=64,
    )
    with stood_in("lfm2_vl", "Lfm2Vl", "Lfm2VlProcessor") as (images, processor):
        sizes = {"tile_size": 56, "max_tiles": 4, "encoder_patch_size": 14, "min_image_tokens": 4}
        processor = processor(images(**sizes, max_image_tokens=8), tokenizer)
    return tf.Lfm2VlForConditionalGeneration(config), processor, "<image>"


def cohere2_vision():
    named = {
        "image_token": "<|IMG_PATCH|>",
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    }
    tokenizer = byte_level(named=named)
    config = tf.Cohere2VisionConfig(
        vision_config=SIGLIP,
        text_config=text_config(
            tokenizer, model_type="cohere2", sliding_window=8, layer_types=["sliding_attention", "full_attention"]
        ),
        alignment_intermediate_size=128,
        image_token_id=tokenizer.image_token_id,
    )
    with stood_in("cohere2_vision", "Cohere2Vision", "Cohere2VisionProcessor") as (images, processor):
        # Its patch_size is how many tokens a tile is high and wide.
        processor = processor(images(size=SQUARE, max_patches=4, patch_size=2), tokenizer)
    return tf.Cohere2VisionForConditionalGeneration(config), processor, "<|IMG_PATCH|>"


def video_llava():
    tokenizer = metaspace(named={"image_token": "<image>", "video_token": "<video>"})
    config = tf.VideoLlavaConfig(
        vision_config=CLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        image_seq_length=16,
    )
    with stood_in("video_llava", "VideoLlava", "VideoLlavaProcessor") as (images, _):
        pictures = images(size={"shortest_edge": 56}, crop_size=SQUARE)
        processor = stills_only("VideoLlavaProcessor", pictures, None, tokenizer, patch_size=14)
    return tf.VideoLlavaForConditionalGeneration(config), processor, "<image>"


def kimi_k25():
    tokenizer = byte_level(named={"image_token": "<|media_pad|>", "video_token": "<|video|>"})
    add_tokens(tokenizer, "<|media_begin|>", "<|media_content|>", "<|media_end|>")
    start, end = ids(tokenizer, "<|media_begin|>", "<|media_end|>")
    config = tf.Kimi_K25Config(
        text_config=text_config(
            tokenizer,
            model_type="deepseek_v3",
            num_key_value_heads=4,
            q_lora_rank=None,
            kv_lora_rank=16,
            qk_rope_head_dim=8,
            qk_nope_head_dim=16,
            v_head_dim=16,
            n_routed_experts=4,
            n_shared_experts=1,
            n_group=1,
            topk_group=1,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            first_k_dense_replace=1,
        ),
        vision_config=PLACED,
        projection_hidden_size=32,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    with stood_in("kimi_k25", "Kimi_K25", "Kimi_K25Processor") as (images, _):
        pictures = images(size={"max_height": 8, "max_width": 8}, max_patches=64, patch_size=14)
        processor = stills_only("Kimi_K25Processor", pictures, tokenizer, None)
    model = tf.Kimi_K25ForConditionalGeneration(config)
    return model, processor, "<|media_begin|>image<|media_content|><|media_pad|><|media_end|>"


def step3p7():
    tokenizer = byte_level(named={"image_token": "<im_patch>"})
    add_tokens(tokenizer, "<im_start>", "<im_end>", "<patch_start>", "<patch_end>", "<patch_newline>")
    config = tf.Step3p7Config(
        vision_config={
            "hidden_size": 32,
            "mlp_ratio": 2.0,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 112,
            "max_position_embeddings": 64,
        },
        text_config=text_config(
            tokenizer,
            head_dim=16,
            moe_intermediate_size=32,
            n_routed_experts=4,
            num_experts_per_tok=2,
            share_expert_dim=32,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention"],
            mlp_layer_types=["dense", "sparse"],
        ),
        image_token_id=tokenizer.image_token_id,
    )
    with stood_in("step3p7", "Step3p7", "Step3p7Processor") as (images, processor):
        processor = processor(images(size={"height": 112, "width": 112}, patch_size=112), tokenizer)
    return tf.Step3p7ForConditionalGeneration(config), processor, "<im_patch>"


def muse_glimmer():
    tokenizer = byte_level(named={"image_token": "<|patch|>"})
    add_tokens(tokenizer, "<|image_start|>", "<|image_end|>", "<|vid_start|>", "<|vid_end|>", "<|video|>")
    config = tf.MuseGlimmerConfig(
        # Of four layers the last sees all and has no positions.
        text_config=text_config(tokenizer, head_dim=16, sliding_window=8, num_hidden_layers=4, output_multiplier=1.0),
        vision_config=PLACED | {"max_position_embeddings": 64},
        out_hidden_size=128,
        projector_hidden_size=64,
        image_token_id=tokenizer.image_token_id,
        video_token_id=ids(tokenizer, "<|video|>")[0],
    )
    with stood_in("muse_glimmer", "MuseGlimmer", "MuseGlimmerProcessor") as (images, _):
        processor = stills_only("MuseGlimmerProcessor", images(max_image_tokens=16), None, tokenizer)
    return tf.MuseGlimmerForConditionalGeneration(config), processor, "<|patch|>"


def inkling2():
    tokenizer = byte_level(named={"image_token": "<|image|>"})
    config = tf.Inkling2Config(
        text_config=text_config(
            tokenizer,
            unpadded_vocab_size=len(tokenizer),
            head_dim=16,
            swa_num_attention_heads=4,
            swa_num_key_value_heads=2,
            swa_head_dim=16,
            sliding_window_size=8,
            d_rel=8,
            rel_extent=32,
            moe_intermediate_size=32,
            n_routed_experts=4,
            num_experts_per_tok=2,
            n_layers_per_attn_res_block=1,
            layer_types=["hybrid_sliding", "hybrid"],
        ),
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "posemb_grid_size": 8,
            "projection_hidden_dim": 64,
            "text_hidden_size": 64,
        },
        image_token_id=tokenizer.image_token_id,
    )
    with stood_in("inkling2", "Inkling2", "Inkling2Processor") as (images, processor):
        processor = processor(images(), tokenizer)
    return tf.Inkling2ForConditionalGeneration(config), processor, "<|image|>"


def molmo2():
    tokenizer = byte_level(named={"image_token": "<|image|>", "video_token": "<|video|>"})
    marks = ["<im_patch>", "<im_start>", "<low_res_im_start>", "<im_end>", "<frame_start>", "<frame_end>"]
    patch, start, low, end, frame, last = ids(add_tokens(tokenizer, *marks, "<im_col>", "<im_low>"), *marks)
    heads = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8}
    config = tf.Molmo2Config(
        vision_config=heads | {"intermediate_size": 64, "num_hidden_layers": 3, "image_size": [56, 56]},
        adapter_config=heads | {"intermediate_size": 64, "vision_feature_layer": [2, 1], "text_hidden_size": 64},
        text_config=text_config(tokenizer, head_dim=16, additional_vocab_size=0),
        image_patch_id=patch,
        image_start_token_id=start,
        low_res_image_start_token_id=low,
        image_end_token_id=end,
        frame_start_token_id=frame,
        frame_end_token_id=last,
    )
    with stood_in("molmo2", "Molmo2", "Molmo2Processor") as (images, _):
        pictures = images(size=SQUARE, max_crops=2, overlap_margins=[1, 1])
        processor = stills_only("Molmo2Processor", pictures, None, tokenizer)
    model = tf.Molmo2ForConditionalGeneration(config)
    _see_clearly(model)
    return model, processor, "<|image|>"


def minimax_m3():
    tokenizer = add_tokens(byte_level(), "]<]image[>[", "]<]video[>[", "]<]start of image[>[", "]<]end of image[>[")
    image, video = ids(tokenizer, "]<]image[>[", "]<]video[>[")
    config = tf.MiniMaxM3VLConfig(
        text_config=text_config(
            tokenizer,
            head_dim=16,
            rotary_dim=8,
            intermediate_size=32,
            dense_intermediate_size=64,
            shared_intermediate_size=32,
            num_local_experts=4,
            num_experts_per_tok=2,
            mlp_layer_types=["dense", "sparse"],
            # Of blocks of four tokens each token sees its own and two more.
            layer_types=["full_attention", "minimax_m3_sparse"],
            index_n_heads=2,
            index_head_dim=16,
            index_block_size=4,
            index_topk_blocks=3,
            index_local_blocks=1,
        ),
        vision_config=TOWER | {"num_hidden_layers": 2, "image_size": 112},
        image_token_index=image,
        video_token_index=video,
        projector_hidden_size=64,
    )
    with stood_in("minimax_m3_vl", "MiniMaxM3VL", "MiniMaxM3VLProcessor") as (images, _):
        pictures = images(size={"shortest_edge": 56**2, "longest_edge": 112**2})
        processor = stills_only("MiniMaxM3VLProcessor", pictures, tokenizer, None)
    return tf.MiniMaxM3SparseForConditionalGeneration(config), processor, "]<]image[>["


def emu3():
    named = {
        "image_token": "<image>",
        "boi_token": "<|image start|>",
        "eoi_token": "<|image end|>",
        "image_wrapper_token": "<|image token|>",
        "eof_token": "<|extra_201|>",
    }
    tokenizer = byte_level(named=named)
    # Pictures are words like others: a vision tower makes codes of them, and each code has a token.
    words = [f"<|visual token {code:06}|>" for code in range(16)] + ["<|extra_200|>"]
    vocabulary = add_tokens(tokenizer, *words).get_vocab()
    config = tf.Emu3Config(
        vq_config={
            "codebook_size": 16,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1, 1],
            "num_res_blocks": 1,
            "hidden_size": 32,
            "attn_resolutions": [9],
        },
        text_config=text_config(tokenizer, attention_dropout=0.0),
        vocabulary_map={name: vocabulary[name] for name in [*words, "<image>"]},
    )
    with stood_in("emu3", "Emu3", "Emu3Processor") as (images, processor):
        processor = processor(images(min_pixels=32**2, max_pixels=48**2), tokenizer)
    return tf.Emu3ForConditionalGeneration(config), processor, "<image>"


# -- one that is refused for what it does ------------------------------------------------------------------------------


def qwen4_exp():
    """Its first layer looks up runs of two and three ids in a table of its own."""
    tokenizer = byte_level(named={"image_token": "<|image_pad|>"})
    marks = ["<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    video, start, end = ids(add_tokens(tokenizer, *marks), *marks)
    config = tf.Qwen4ExpConfig(
        text_config=text_config(
            tokenizer,
            head_dim=16,
            rope_parameters=MROPE | {"mrope_interleaved": True, "partial_rotary_factor": 1.0},
            moe_intermediate_size=32,
            shared_expert_intermediate_size=32,
            num_experts=4,
            num_experts_per_tok=2,
            hc_count=2,
            hc_lowrank=8,
            ple_layer_ids=[1],
            heads_per_ngram=2,
            ngram_vocab_size_base=200,
            make_ngram_vocab_size_divisible_by=8,
            split_ngram_parts=1,
            indexer_n_heads=2,
            indexer_kv_heads=1,
            indexer_head_dim=16,
            indexer_budget=256,
            indexer_compress_ratio=4,
            **LINEAR,
        ),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
        },
        image_token_id=tokenizer.image_token_id,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    images = tf.Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 64**2, "longest_edge": 128**2})
    processor = stills_only("Qwen3VLProcessor", images, tokenizer, None)
    return tf.Qwen4ExpForConditionalGeneration(config), processor, "<|vision_start|><|image_pad|><|vision_end|>"


GENERIC = (
    idefics,
    fuyu,
    kosmos2_5,
    ernie4_5_vl,
    glm4v,
    glm4v_moe,
    glm_ocr,
    paddleocr_vl,
    qwen3_vl_moe,
    qwen3_5,
    qwen2_5_omni,
    hunyuan_vl,
    vipllava,
    aria,
    idefics2,
    got_ocr2,
    ovis2,
    deepseek_vl,
    janus,
    chameleon,
    lighton_ocr,
    video_llama_3,
    qianfan_ocr,
    t5gemma2,
    glm46v,
    qwen3_5_moe,
    exaone4_5,
    llava_next_video,
    deepseek_vl_hybrid,
    cosmos3_edge,
    hyperclovax,
    qwen3_omni_moe,
    granite_docling,
    granite4_vision,
    llama4,
    lfm2_vl,
    cohere2_vision,
    cohere_compass,
    lfm3_vl,
    video_llava,
    deepseek_ocr2,
    mistral_large4,
    glm5_next,
    dots3_note,
    kimi_k25,
    step3p7,
    muse_glimmer,
    inkling2,
    molmo2,
    minimax_m3,
    emu3,
)

# Whose image tokens stand for no part of the picture that is known.
WITHOUT_BOXES = (
    "kosmos2_5",
    "aria",
    "idefics2",
    "got_ocr2",
    "ovis2",
    "chameleon",
    "video_llama_3",
    "qianfan_ocr",
    "t5gemma2",
    "exaone4_5",
    "hyperclovax",
    "lighton_ocr",
    "granite_docling",
    "granite4_vision",
    "llama4",
    "lfm2_vl",
    "cohere2_vision",
    "lfm3_vl",
    "video_llava",
    "deepseek_ocr2",
    "mistral_large4",
    "glm5_next",
    "dots3_note",
    "kimi_k25",
    "step3p7",
    "muse_glimmer",
    "inkling2",
    "molmo2",
    "minimax_m3",
    "emu3",
)
# Whose pictures torchvision prepares, for which another stands in here.
STOOD_IN = (
    "llama4",
    "lfm2_vl",
    "cohere2_vision",
    "video_llava",
    "kimi_k25",
    "step3p7",
    "muse_glimmer",
    "inkling2",
    "molmo2",
    "minimax_m3",
    "emu3",
)
# Which are read one row at a time: it takes no mask of ours, it counts positions by index, some layers are recurrent,
# convolutions, or see chunks of the row or what an indexer picks.
NOT_PACKED = (
    "kosmos2_5",
    "t5gemma2",
    "qwen3_5",
    "qwen3_5_moe",
    "llama4",
    "lfm2_vl",
    "lfm3_vl",
    "mistral_large4",
    "glm5_next",
    "dots3_note",
    "inkling2",
    "minimax_m3",
)
# Which go through the quickest checks alone but in `make models` (`tests.conftest`): the code of ours that reads them
# reads another architecture too, which goes through all.
RARE = (
    "smolvlm",
    "glm4v_moe",
    "glm_ocr",
    "glm46v",
    "qwen3_vl_moe",
    "qwen3_5_moe",
    "cosmos3_edge",
    "vipllava",
    "deepseek_vl_hybrid",
    "llava_next_video",
    "aria",
    "idefics2",
    "got_ocr2",
    "ovis2",
    "lighton_ocr",
    "video_llama_3",
    "qianfan_ocr",
    "exaone4_5",
    "hyperclovax",
    "lfm2_vl",
    "qwen3_omni_moe",
    "granite_docling",
    "granite4_vision",
    "cohere2_vision",
    "cohere_compass",
    "lfm3_vl",
    "video_llava",
    "deepseek_ocr2",
    "mistral_large4",
    "glm5_next",
    "dots3_note",
    "kimi_k25",
    "step3p7",
    "muse_glimmer",
    "inkling2",
    "molmo2",
    "minimax_m3",
    "emu3",
)
