"""Tiny randomly initialised models of real architectures, with their real processors, built offline from config.

A new architecture gets every test that is parametrised over `BUILDERS` by adding one function here or, where no family
of ours knows it, in `tests.tiny_generic`.
"""

import functools

import torch
import transformers as tf
from transformers import MODEL_MAPPING
from transformers.modeling_outputs import BaseModelOutputWithPooling

from causal_attrib.vlm import VLM
from causal_attrib.vlm.prefix_cache import cache_argument
from causal_attrib.vlm.processors import ImageAndTokenizer
from tests.tiny_generic import GENERIC, qwen4_exp
from tests.tiny_parts import (
    CLIP,
    MROPE,
    PIXTRAL,
    SIGLIP,
    SQUARE,
    TEMPLATE,
    TOWER,
    add_tokens,
    bert_like,
    clip_images,
    stills_only,
    text_config,
)
from tests.tokenizers_of_kinds import byte_level, metaspace, word_piece

# -- placeholders among the words -------------------------------------------------------------------------------------


def llava_clip_llama():
    tokenizer = metaspace()
    config = tf.LlavaConfig(
        vision_config=CLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = tf.LlavaProcessor(
        clip_images(), tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return tf.LlavaForConditionalGeneration(config), processor, "<image>"


def llava_siglip_qwen2():
    tokenizer = byte_level()
    config = tf.LlavaConfig(
        vision_config=SIGLIP,
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
    )
    images = tf.SiglipImageProcessorPil(size=SQUARE)
    processor = tf.LlavaProcessor(images, tokenizer, patch_size=14, vision_feature_select_strategy="full")
    return tf.LlavaForConditionalGeneration(config), processor, "<image>"


def _pixtral_processor(merge):
    tokenizer = add_tokens(byte_level(named={"image_token": "[IMG]"}), "[IMG_BREAK]", "[IMG_END]")
    images = tf.PixtralImageProcessorPil(size={"longest_edge": 112}, patch_size=14)
    processor = stills_only("PixtralProcessor", images, tokenizer, patch_size=14, spatial_merge_size=merge)
    return tokenizer, processor


def llava_pixtral_mistral():
    tokenizer, processor = _pixtral_processor(merge=1)
    config = tf.LlavaConfig(
        vision_config=PIXTRAL,
        text_config=text_config(tokenizer, model_type="mistral", head_dim=16),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return tf.LlavaForConditionalGeneration(config), processor, "[IMG]"


def mistral3():
    tokenizer, processor = _pixtral_processor(merge=2)
    config = tf.Mistral3Config(
        vision_config=PIXTRAL,
        text_config=text_config(tokenizer, model_type="mistral", head_dim=16),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
    )
    return tf.Mistral3ForConditionalGeneration(config), processor, "[IMG]"


def llava_next():
    tokenizer = metaspace()
    pinpoints = [[56, 112], [112, 56], [112, 112]]
    config = tf.LlavaNextConfig(
        vision_config=CLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
    )
    images = tf.LlavaNextImageProcessorPil(size={"shortest_edge": 56}, crop_size=SQUARE, image_grid_pinpoints=pinpoints)
    processor = tf.LlavaNextProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return tf.LlavaNextForConditionalGeneration(config), processor, "<image>"


def llava_onevision():
    tokenizer = add_tokens(byte_level(), "<video>")
    pinpoints = [[56, 112], [112, 112]]
    config = tf.LlavaOnevisionConfig(
        vision_config=SIGLIP,
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    images = tf.LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=pinpoints)
    processor = stills_only(
        "LlavaOnevisionProcessor", images, tokenizer, None, num_image_tokens=16, vision_feature_select_strategy="full"
    )
    return tf.LlavaOnevisionForConditionalGeneration(config), processor, "<image>"


def _idefics3_parts(name):
    tokenizer = add_tokens(byte_level(), "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
    add_tokens(tokenizer, *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)))
    config = getattr(tf, f"{name}Config")(
        vision_config=TOWER,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    images = getattr(tf, f"{name}ImageProcessorPil")(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    return getattr(tf, f"{name}ForConditionalGeneration")(config), images, tokenizer


def idefics3():
    model, images, tokenizer = _idefics3_parts("Idefics3")
    return model, tf.Idefics3Processor(images, tokenizer, image_seq_len=4), "<image>"


def smolvlm():
    model, images, tokenizer = _idefics3_parts("SmolVLM")
    return model, stills_only("SmolVLMProcessor", images, tokenizer, None, image_seq_len=4), "<image>"


def internvl():
    tokens = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = byte_level(named=tokens)
    config = tf.InternVLConfig(
        vision_config=TOWER | {"image_size": [56, 56], "patch_size": [14, 14]},
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    images = tf.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=True, max_patches=4)
    processor = stills_only("InternVLProcessor", images, tokenizer, None, image_seq_length=4)
    return tf.InternVLForConditionalGeneration(config), processor, "<IMG_CONTEXT>"


def _qwen(name, vision_config, *, patch_size=14, rope=MROPE, **text):
    tokenizer = add_tokens(
        byte_level(named={"image_token": "<|image_pad|>"}), "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"
    )
    config = getattr(tf, f"{name}Config")(
        text_config=text_config(tokenizer, rope_parameters=rope, **text),
        vision_config=vision_config,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    images = tf.Qwen2VLImageProcessorPil(
        patch_size=patch_size, size={"shortest_edge": (4 * patch_size) ** 2, "longest_edge": (8 * patch_size) ** 2}
    )
    processor = stills_only(f"{name}Processor", images, tokenizer, None)
    network = getattr(tf, f"{name}ForConditionalGeneration")(config)
    return network, processor, "<|vision_start|><|image_pad|><|vision_end|>"


def qwen2_vl():
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2, "patch_size": 14}
    return _qwen("Qwen2VL", vision)


def qwen2_5_vl():
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": 14,
        "out_hidden_size": 64,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    return _qwen("Qwen2_5_VL", vision)


def qwen3_vl():
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 4,
        "patch_size": 16,
        "out_hidden_size": 64,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    return _qwen("Qwen3VL", vision, patch_size=16, rope=MROPE | {"mrope_interleaved": True}, head_dim=16)


def paligemma():
    tokenizer = metaspace()
    images = tf.SiglipImageProcessorPil(size=SQUARE)
    images.image_seq_length = 16
    # The processor adds a thousand tokens for places in the picture.
    processor = tf.PaliGemmaProcessor(images, tokenizer)
    config = tf.PaliGemmaConfig(
        vision_config=SIGLIP,
        text_config=text_config(tokenizer, model_type="gemma", head_dim=16),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=64,
        hidden_size=64,
    )
    return tf.PaliGemmaForConditionalGeneration(config), processor, None


def gemma3():
    tokenizer = metaspace(
        {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    )
    config = tf.Gemma3Config(
        vision_config=SIGLIP,
        text_config=text_config(
            tokenizer, head_dim=16, num_hidden_layers=6, sliding_window=8, query_pre_attn_scalar=16
        ),
        image_token_index=tokenizer.image_token_id,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        mm_tokens_per_image=4,
    )
    images = tf.Gemma3ImageProcessorPil(size=SQUARE)
    processor = tf.Gemma3Processor(images, tokenizer, image_seq_length=4)
    return tf.Gemma3ForConditionalGeneration(config), processor, "<start_of_image>"


class _Tower(tf.PreTrainedModel):
    """Stands for the tower of Gemma 3n, which needs timm and torchvision: features of patches as (B, C, H, W)."""

    config_class = tf.Gemma3nVisionConfig
    _supports_sdpa = True  # it does not attend at all

    def __init__(self, config):
        super().__init__(config)
        self.patches = torch.nn.Conv2d(3, config.hidden_size, 14, 14)
        self.post_init()

    def forward(self, pixel_values, **settings):
        return BaseModelOutputWithPooling(self.patches(pixel_values))


def gemma3n():
    tokenizer = metaspace(
        {
            "image_token": "<image_soft_token>",
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "audio_token": "<audio_soft_token>",
            "boa_token": "<start_of_audio>",
            "eoa_token": "<end_of_audio>",
        }
    )
    images = tf.SiglipImageProcessorPil(size=SQUARE)
    processor = tf.Gemma3nProcessor(
        tf.Gemma3nAudioFeatureExtractor(), images, tokenizer, image_seq_length=16, audio_seq_length=4
    )
    config = tf.Gemma3nConfig(
        vision_config=tf.Gemma3nVisionConfig(hidden_size=32, vocab_size=1, vocab_offset=len(tokenizer)),
        audio_config={
            "vocab_size": 1,
            "vocab_offset": len(tokenizer) + 1,
            "hidden_size": 32,
            "conf_num_hidden_layers": 1,
            "conf_num_attention_heads": 2,
            "input_feat_size": 16,
            "sscp_conv_channel_size": [4, 4],
        },
        text_config=text_config(
            tokenizer,
            intermediate_size=[128] * 6,
            num_hidden_layers=6,
            head_dim=16,
            sliding_window=8,
            # Words are looked up in a second table, which has no entries for the last special tokens.
            vocab_size_per_layer_input=len(tokenizer) - 2,
            hidden_size_per_layer_input=8,
            num_kv_shared_layers=0,
            altup_num_inputs=2,
            laurel_rank=8,
            activation_sparsity_pattern=[0.0] * 6,
        ),
        vision_soft_tokens_per_image=16,
        audio_soft_tokens_per_image=4,
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("image", "boi", "eoi")},
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("audio", "boa", "eoa")},
    )
    # The slot of `AutoModel` is filled while the model is built, and then is as it was.
    towers = MODEL_MAPPING._extra_content
    towers[tf.Gemma3nVisionConfig] = _Tower
    try:
        model = tf.Gemma3nForConditionalGeneration(config)
    finally:
        del towers[tf.Gemma3nVisionConfig]
    return model, processor, "<image_soft_token>"


def gemma4():
    tokenizer = metaspace(
        {
            "image_token": "<|image|>",
            "boi_token": "<|image>",
            "eoi_token": "<image|>",
            "audio_token": "<|audio|>",
            "boa_token": "<|audio>",
            "eoa_token": "<audio|>",
        }
    )
    images = tf.Gemma4ImageProcessorPil(patch_size=8, pooling_kernel_size=2, max_soft_tokens=70)
    processor = stills_only("Gemma4Processor", tf.Gemma4AudioFeatureExtractor(), images, tokenizer, None)
    config = tf.Gemma4Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "patch_size": 8,
            "pooling_kernel_size": 2,
            "position_embedding_size": 64,
        },
        text_config=text_config(
            tokenizer,
            num_hidden_layers=6,
            head_dim=16,
            global_head_dim=32,
            sliding_window=8,
            vocab_size_per_layer_input=len(tokenizer),
            hidden_size_per_layer_input=8,
        ),
        image_token_id=tokenizer.image_token_id,
        boi_token_id=tokenizer.boi_token_id,
        eoi_token_id=tokenizer.eoi_token_id,
        video_token_id=processor.video_token_id,
        audio_token_id=tokenizer.audio_token_id,
        boa_token_id=tokenizer.boa_token_id,
        eoa_token_index=tokenizer.eoa_token_id,
    )
    model = tf.Gemma4ForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("q_norm.weight"):
                weight.fill_(0.25)  # products are not divided by the root of the dimension: attention would be one-hot
    return model, processor, "<|image|>"


# -- queries and latents ----------------------------------------------------------------------------------------------


def _queries(text, tokenizer, **more):
    qformer = bert_like(tokenizer, encoder_hidden_size=32) | {"hidden_size": 32, "intermediate_size": 64}
    return {
        "vision_config": TOWER,
        "qformer_config": qformer,
        "text_config": text,
        "num_query_tokens": 8,
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
    }


def blip2_opt():
    tokenizer = byte_level(named={})
    processor = tf.Blip2Processor(tf.BlipImageProcessorPil(size=SQUARE), tokenizer, num_query_tokens=8)
    text = text_config(tokenizer, model_type="opt", ffn_dim=128, word_embed_proj_dim=64, dropout=0.0)
    config = tf.Blip2Config(**_queries(text, tokenizer))
    return tf.Blip2ForConditionalGeneration(config), processor, None


def blip2_t5():
    tokenizer = metaspace(named={})
    processor = tf.Blip2Processor(tf.BlipImageProcessorPil(size=SQUARE), tokenizer, num_query_tokens=8)
    text = {
        "model_type": "t5",
        "vocab_size": len(tokenizer),
        "d_model": 64,
        "d_kv": 16,
        "d_ff": 128,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "is_encoder_decoder": True,
        "decoder_start_token_id": tokenizer.pad_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = tf.Blip2Config(**_queries(text, tokenizer))
    return tf.Blip2ForConditionalGeneration(config), processor, None


def instructblip():
    tokenizer = metaspace(named={})
    processor = tf.InstructBlipProcessor(
        tf.BlipImageProcessorPil(size=SQUARE), tokenizer, word_piece(named={}), num_query_tokens=8
    )
    config = tf.InstructBlipConfig(**_queries(text_config(tokenizer, model_type="llama"), tokenizer))
    return tf.InstructBlipForConditionalGeneration(config), processor, None


def kosmos2():
    tokenizer = metaspace()
    processor = tf.Kosmos2Processor(clip_images(), tokenizer, 16)
    text = {
        "vocab_size": len(tokenizer),
        "embed_dim": 64,
        "layers": 2,
        "ffn_dim": 128,
        "attention_heads": 4,
        "max_position_embeddings": 512,
        "dropout": 0.0,
        "attention_dropout": 0.0,
        "activation_dropout": 0.0,
        "layerdrop": 0.0,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    config = tf.Kosmos2Config(text_config=text, vision_config=TOWER, latent_query_num=64)
    model = tf.Kosmos2ForConditionalGeneration(config)
    with torch.no_grad():
        # Words are scaled up on their way in and latents are not, so that at this size the picture would hardly count.
        model.image_to_text_projection.dense.weight.mul_(50)
    return model, processor, None


# -- cross-attention and encoder-decoders -----------------------------------------------------------------------------


def mllama():
    tokenizer = add_tokens(byte_level(named={"image_token": "<|image|>"}), "<|python_tag|>")
    config = tf.MllamaConfig(
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 4,
            "intermediate_size": 64,
            "vision_output_dim": 64,
            "image_size": 56,
            "patch_size": 14,
            "max_num_tiles": 4,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]],
        },
        text_config=text_config(
            tokenizer,
            num_hidden_layers=4,
            cross_attention_layers=[1, 3],
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )
    images = tf.MllamaImageProcessorPil(size=SQUARE, max_image_tiles=4)
    return tf.MllamaForConditionalGeneration(config), tf.MllamaProcessor(images, tokenizer), "<|image|>"


def blip():
    tokenizer = word_piece()
    text = bert_like(tokenizer, encoder_hidden_size=32, is_decoder=True, sep_token_id=tokenizer.eos_token_id)
    config = tf.BlipConfig(vision_config=TOWER, text_config=text)
    processor = tf.BlipProcessor(tf.BlipImageProcessorPil(size=SQUARE), tokenizer)
    return tf.BlipForConditionalGeneration(config), processor, None


def git():
    tokenizer = word_piece()
    config = tf.GitConfig(vision_config=TOWER, **bert_like(tokenizer))
    return tf.GitForCausalLM(config), tf.GitProcessor(clip_images(), tokenizer), None


def florence2():
    tokenizer = byte_level()
    config = tf.Florence2Config(
        vision_config={
            "depths": [1, 1],
            "patch_size": [7, 3],
            "patch_stride": [4, 2],
            "patch_padding": [3, 1],
            "patch_prenorm": [False, True],
            "embed_dim": [16, 32],
            "num_heads": [2, 4],
            "num_groups": [2, 4],
            "window_size": 4,
            "projection_dim": 64,
            "drop_path_rate": 0.0,
        },
        text_config={
            "model_type": "bart",
            "vocab_size": len(tokenizer),
            "d_model": 64,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "max_position_embeddings": 1024,
            "dropout": 0.0,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "decoder_start_token_id": tokenizer.eos_token_id,
            "forced_eos_token_id": None,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = tf.Florence2ForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = tokenizer.bos_token_id
    images = tf.CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 65
    return model, tf.Florence2Processor(images, tokenizer), None


def vision_encoder_decoder():
    tokenizer = byte_level()
    encoder = tf.ViTConfig(**TOWER, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    decoder = tf.GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=512,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = tf.VisionEncoderDecoderConfig(
        encoder=encoder.to_dict(),
        decoder=decoder.to_dict(),
        decoder_start_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    processor = ImageAndTokenizer(tf.ViTImageProcessorPil(size=SQUARE), tokenizer)
    return tf.VisionEncoderDecoderModel(config), processor, None


# -- none of the families that we know --------------------------------------------------------------------------------


def aya_vision():
    """Stands for any decoder with image placeholders that has no file of its own."""
    tokenizer = add_tokens(
        byte_level(),
        "<|IMG_PATCH|>",
        "<|START_OF_IMG|>",
        "<|END_OF_IMG|>",
        "<|IMG_LINE_BREAK|>",
        "TILE",
        "TILE_GLOBAL",
    )
    config = tf.AyaVisionConfig(
        vision_config=SIGLIP,
        text_config=text_config(tokenizer, model_type="cohere2"),
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        vision_feature_select_strategy="full",
        downsample_factor=2,
    )
    images = tf.GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=False)
    processor = tf.AyaVisionProcessor(
        images, tokenizer, patch_size=14, img_size=56, downsample_factor=2, image_token="<image>"
    )
    return tf.AyaVisionForConditionalGeneration(config), processor, "<image>"


def pix2struct():
    """Stands for any encoder-decoder that has no file of its own."""
    tokenizer = metaspace(named={})
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "d_kv": 16,
        "d_ff": 128,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": 0.0,
        "decoder_start_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 64,
        "patch_embed_hidden_size": 768,
        "d_ff": 128,
        "d_kv": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "dropout_rate": 0.0,
    }
    config = tf.Pix2StructConfig(text_config=text, vision_config=vision, is_encoder_decoder=True)
    processor = tf.Pix2StructProcessor(tf.Pix2StructImageProcessorPil(is_vqa=False), tokenizer)
    return tf.Pix2StructForConditionalGeneration(config), processor, None


BUILDERS = {
    build.__name__: build
    for build in (
        llava_clip_llama,
        llava_siglip_qwen2,
        llava_pixtral_mistral,
        llava_next,
        llava_onevision,
        idefics3,
        smolvlm,
        internvl,
        qwen2_vl,
        qwen2_5_vl,
        qwen3_vl,
        mistral3,
        paligemma,
        gemma3,
        gemma3n,
        gemma4,
        mllama,
        blip,
        blip2_opt,
        blip2_t5,
        instructblip,
        git,
        kosmos2,
        florence2,
        vision_encoder_decoder,
        aya_vision,
        pix2struct,
        *GENERIC,
    )
}


# Which are built and read, and refused when words are hidden.
REFUSED_AT_USE = {"qwen4_exp": qwen4_exp}

# One of each kind, for tests of the rooms that stand on the models.
ONE_OF_EACH_KIND = ("llava_clip_llama", "llava_siglip_qwen2", "idefics3", "mllama", "git", "blip2_t5")


def cache_given(module, kwargs):
    """The cache that a hook of a layer is shown among its arguments."""
    (name,) = cache_argument(module, None)
    return kwargs[name]


@functools.cache
def tiny(name: str) -> VLM:
    torch.manual_seed(0)
    model, processor, image_token = (BUILDERS | REFUSED_AT_USE)[name]()
    if image_token is not None:
        processor.chat_template = TEMPLATE.replace("IMAGE", image_token)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "gate" in parameter_name and parameter.numel() == 1:
                parameter.fill_(0.7)  # Mllama's gates start closed: the picture would not be seen
            elif "relative_attention_bias" in parameter_name:
                parameter.normal_(0, 0.5)  # T5's positions start out equal
            elif parameter.dim() >= 2 and parameter.std() < 1e-6:
                parameter.normal_(0, 0.05)  # BLIP's vision tower and the queries of BLIP-2 start at nothing
            elif parameter.dim() >= 2 and parameter.std() < 0.05:
                # The usual initialisation makes logits so flat that a wrong mask or position hardly shows.
                parameter.mul_(3.0)
    return VLM(model.float(), processor, name=name)
