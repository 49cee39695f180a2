"""What the builders of tiny models have in common: sizes, templates, processors."""

import transformers as tf
from transformers import processing_utils

from causal_attrib.vlm.processors import forget_empty_slots, still_images_only

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }}: {% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
TOWER = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}
CLIP = TOWER | {"model_type": "clip_vision_model"}
SIGLIP = TOWER | {"model_type": "siglip_vision_model", "vision_use_head": False}
PIXTRAL = TOWER | {"model_type": "pixtral", "image_size": 112}
SQUARE = {"height": 56, "width": 56}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


def text_config(tokenizer, **more):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def bert_like(tokenizer, **more):
    """Text settings of the older captioners, which have dropout on by default."""
    config = text_config(tokenizer, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more)
    config.pop("num_key_value_heads")
    return config | {"max_position_embeddings": 512}


def clip_images():
    return tf.CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size=SQUARE)


def add_tokens(tokenizer, *tokens):
    tokenizer.add_special_tokens({"extra_special_tokens": list(tokens)}, replace_extra_special_tokens=False)
    return tokenizer


def stills_only(name, *parts, **settings):
    """A processor that transformers builds with torchvision only, built as we load one: without."""
    with still_images_only():
        return forget_empty_slots(getattr(processing_utils.transformers_module, name)(*parts, **settings))
