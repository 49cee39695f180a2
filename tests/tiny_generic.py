"""Tiny models of architectures that have no tests of their own elsewhere: each builds the model and its processor."""

import transformers as tf
from tokenizers import models, normalizers

from tests.tiny_parts import (
    MROPE,
    add_tokens,
    stills_only,
    text_config,
)
from tests.tokenizers_of_kinds import byte_level, metaspace


def ids(tokenizer, *tokens):
    return tokenizer.convert_tokens_to_ids(list(tokens))


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


GENERIC = (idefics, fuyu, kosmos2_5, ernie4_5_vl)

# Whose image tokens stand for no part of the picture that is known.
WITHOUT_BOXES = ("kosmos2_5",)
# Which are read one row at a time.
NOT_PACKED = ("kosmos2_5",)
