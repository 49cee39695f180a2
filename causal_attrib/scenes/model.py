"""The architecture of the bundled model: a small LLaVA in Hugging Face classes, with its processor."""

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from causal_attrib.scenes.drawing import NATIVE_SIZE
from causal_attrib.scenes.world import GRID

PATCH = NATIVE_SIZE // GRID  # one grid cell of the world is one patch, and so one image token
IMAGE_TOKENS = GRID * GRID
# About the mean and spread of rendered pictures. A picture of the mean colour is all zero after normalisation.
PIXEL_MEAN, PIXEL_STD = [0.45, 0.45, 0.45], [0.28, 0.28, 0.28]


def _position_table(hidden):
    """2-D sine and cosine features of the patch grid, so that neighbouring patches start out similar."""
    quarter = hidden // 4
    frequency = 1 / 100 ** (torch.arange(quarter) / quarter)
    row, column = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")

    def waves(position):
        angle = position.reshape(-1, 1) * frequency
        return torch.cat([angle.sin(), angle.cos()], 1)

    return 0.3 * torch.cat([waves(column), waves(row)], 1)


def build_model(tokenizer, *, hidden=160, layers=4, heads=4, vision_mlp=448, text_mlp=416, seed=0):
    """An untrained model for the given tokenizer."""
    torch.manual_seed(seed)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    ids["pad_token_id"] = tokenizer.pad_token_id
    image_token_id = tokenizer.convert_tokens_to_ids("<image>")
    vision = CLIPVisionConfig(
        hidden_size=hidden,
        intermediate_size=vision_mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=NATIVE_SIZE,
        patch_size=PATCH,
        projection_dim=hidden,
        hidden_act="gelu",
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=text_mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        initializer_range=0.05,
        tie_word_embeddings=True,
        **ids,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=image_token_id,
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
        **ids,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        max_new_tokens=64,
        # Sampling one of these would break the next forward pass or decode to nothing.
        suppress_tokens=[image_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id],
        **ids,
    )
    with torch.no_grad():
        model.model.vision_tower.embeddings.position_embedding.weight[1:] = _position_table(hidden)
        _start_matching_heads(model, hidden, heads)
    return model


def _start_matching_heads(model, hidden, heads):
    """Let half of the heads of each language layer start out attending to tokens like their own.

    With W_Q = W_K a word attends to equal content, here to the image tokens that show the thing it names. Looking
    things up is what yes/no questions need and what a random start finds last. (The idea of such a start, "mimetic
    initialisation", is from Trockman and Kolter 2023.)
    """
    rows = hidden // heads * (heads // 2)
    for layer in model.model.language_model.layers:
        attention = layer.self_attn
        attention.q_proj.weight[:rows].normal_(std=0.8 * hidden**-0.5)
        attention.k_proj.weight[:rows] = attention.q_proj.weight[:rows]


def build_processor(tokenizer):
    """Image and text processing; pictures of any size are scaled to the native one (no torchvision needed)."""
    images = CLIPImageProcessorPil(
        do_resize=True,
        size={"height": NATIVE_SIZE, "width": NATIVE_SIZE},
        resample=3,  # bicubic
        do_center_crop=False,
        do_convert_rgb=True,
        image_mean=PIXEL_MEAN,
        image_std=PIXEL_STD,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=tokenizer.chat_template,
    )


def normalise(pixels_u8):
    """Pixel bytes (B, H, W, 3) as the processor hands them to the model."""
    pixels = torch.tensor(pixels_u8).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    return (pixels - mean) / std
