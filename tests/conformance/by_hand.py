"""Calls of each architecture as its own documentation writes them, without any of our code on the way.

Every function takes a model with its processor, a picture, a prompt and the ids of a response, and gives the logits
(len(ids) + 1, V) before, at and behind them. `left` puts so many padding tokens in front, as `generate` does for
batches of prompts of different length.
"""

import contextlib

import torch
from torch import nn


def logits_by_hand(vlm, prompt, ids, picture, left=0):
    """The logits of a response, or None where the architecture knows no padding on the left."""
    call = CALLS.get(vlm.name, placeholders)
    with torch.no_grad():
        logits_LV = call(vlm.model, vlm.processor, prompt, list(ids), picture, left)
    return None if logits_LV is None else logits_LV[-(len(ids) + 1) :]


def placeholders(model, processor, prompt, ids, picture, left):
    """Llava and its kin: the processor expands the image token, the response is appended."""
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    text = processor.tokenizer.apply_chat_template(
        chat, chat_template=processor.chat_template, add_generation_prompt=True, tokenize=False
    )
    types = {"return_mm_token_type_ids": True} if "Cosmos3" in type(model).__name__ else {}
    inputs = processor(text=text, images=picture, return_tensors="pt", add_special_tokens=False, **types)
    if "Llama4" in type(model).__name__:
        inputs = inputs.to(model.dtype)  # its processor makes bfloat16
    return _decoder(model, processor, inputs, ids, left)


def paligemma(model, processor, prompt, ids, picture, left):
    inputs = processor(text=f"<image>{prompt}", images=picture, return_tensors="pt")
    inputs.pop("labels")
    return _decoder(model, processor, inputs, ids, left, types=1)


def without_template(model, processor, prompt, ids, picture, left):
    """Idefics, whose processor puts the picture in front itself, and Chameleon, whose closes the text with a token."""
    token = "<image>" if model.config.model_type == "chameleon" else ""
    inputs = processor(text=f"{token}{prompt}\n", images=picture, return_tensors="pt")
    return _decoder(model, processor, inputs, ids, left)


def blocks(model, processor, prompt, ids, picture, left):
    """MiniMax M3, which attends to blocks of the row: padding would shift them."""
    return None if left else placeholders(model, processor, prompt, ids, picture, left)


def fuyu(model, processor, prompt, ids, picture, left):
    """Rows of patches with a newline behind each, then the text, then the token that opens an answer."""
    tokenizer, side = processor.tokenizer, model.config.patch_size
    images = processor.image_processor(picture, return_tensors="pt")
    rows, columns = (
        -(-int(images[name][0][0]) // side) for name in ("image_unpadded_heights", "image_unpadded_widths")
    )
    shown_CHW = images["images"][0][0][:, : rows * side, : columns * side]
    patches_CRWhw = shown_CHW.unfold(1, side, side).unfold(2, side, side)
    patches_ND = patches_CRWhw.permute(1, 2, 3, 4, 0).reshape(rows * columns, -1)
    patch, newline, start, answer = tokenizer.convert_tokens_to_ids(["|SPEAKER|", "|NEWLINE|", "<s>", "<0x04>"])
    words = tokenizer(f"{prompt}\n", add_special_tokens=False)["input_ids"]
    prompt_ids = [*([patch] * columns + [newline]) * rows, start, *words, answer]
    inputs = {"input_ids": torch.tensor([prompt_ids]), "pixel_values": patches_ND.float()}
    return _decoder(model, processor, inputs, ids, left)


def kosmos2(model, processor, prompt, ids, picture, left):
    return _decoder(model, processor, processor(text=prompt, images=picture, return_tensors="pt"), ids, left)


def blip(model, processor, prompt, ids, picture, left):
    pixels = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    words = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    row, mask, positions = _row(processor, [model.config.text_config.bos_token_id, *words, *ids], left)
    seen = model.vision_model(pixel_values=pixels).last_hidden_state
    return model.text_decoder(
        input_ids=row, attention_mask=mask, position_ids=positions, encoder_hidden_states=seen
    ).logits[0]


def git(model, processor, prompt, ids, picture, left):
    pixels = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    words = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    row, mask, positions = _row(processor, [processor.tokenizer.cls_token_id, *words, *ids], left)
    return model(input_ids=row, attention_mask=mask, position_ids=positions, pixel_values=pixels).logits[0]


def blip2_opt(model, processor, prompt, ids, picture, left):
    """The language model called by itself, on queries and words put together."""
    inputs = processor(text=prompt, images=picture, return_tensors="pt")
    ids_L = [*inputs["input_ids"][0].tolist(), *ids]
    row, mask, _ = _row(processor, ids_L, left)
    return model.language_model(inputs_embeds=_with_queries(model, row, inputs), attention_mask=mask).logits[0]


def blip2_t5(model, processor, prompt, ids, picture, left):
    inputs = processor(text=prompt, images=picture, return_tensors="pt")
    row, mask, _ = _row(processor, [model.config.text_config.decoder_start_token_id, *ids], left)
    return model.language_model(
        inputs_embeds=_with_queries(model, inputs["input_ids"], inputs),
        attention_mask=inputs["attention_mask"],
        decoder_input_ids=row,
        decoder_attention_mask=mask,
    ).logits[0]


def florence2(model, processor, prompt, ids, picture, left):
    if left:
        return None  # positions are counted by index, and `decoder_position_ids` are silently ignored
    inputs = processor(text=prompt, images=picture, return_tensors="pt")
    start = [model.config.text_config.decoder_start_token_id, model.generation_config.forced_bos_token_id]
    return model(**inputs, decoder_input_ids=torch.tensor([[*start, *ids]])).logits[0]


def vision_encoder_decoder(model, processor, prompt, ids, picture, left):
    pixels = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    words = processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    row, mask, positions = _row(processor, [model.config.decoder_start_token_id, *words, *ids], left)
    return model(
        pixel_values=pixels, decoder_input_ids=row, decoder_attention_mask=mask, decoder_position_ids=positions
    ).logits[0]


def t5gemma2(model, processor, prompt, ids, picture, left):
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    text = processor.tokenizer.apply_chat_template(
        chat, chat_template=processor.chat_template, add_generation_prompt=True, tokenize=False
    )
    inputs = processor(text=text, images=picture, return_tensors="pt", add_special_tokens=False)
    row, mask, positions = _row(processor, [processor.tokenizer.bos_token_id, *ids], left)
    return model(**inputs, decoder_input_ids=row, decoder_attention_mask=mask, decoder_position_ids=positions).logits[0]


def pix2struct(model, processor, prompt, ids, picture, left):
    inputs = processor(images=picture, return_tensors="pt")
    row, mask, _ = _row(processor, [model.config.text_config.decoder_start_token_id, *ids], left)
    return model(**inputs, decoder_input_ids=row, decoder_attention_mask=mask).logits[0]


CALLS = {
    "paligemma": paligemma,
    "kosmos2": kosmos2,
    "idefics": without_template,
    "chameleon": without_template,
    "fuyu": fuyu,
    "kosmos2_5": kosmos2,
    "minimax_m3": blocks,
    "blip": blip,
    "git": git,
    "blip2_opt": blip2_opt,
    "instructblip": blip2_opt,
    "blip2_t5": blip2_t5,
    "florence2": florence2,
    "vision_encoder_decoder": vision_encoder_decoder,
    "pix2struct": pix2struct,
    "t5gemma2": t5gemma2,
}


@contextlib.contextmanager
def a_hidden_id(vlm, fill):
    """An id whose input embedding is `fill` ("zero" or "mean") while the context lasts: hiding without any hook.

    Every embedding layer that shares the table gets a copy of it, and the output head keeps the table.
    """
    gap = vlm.tokenizer.unk_token_id
    normed = [layer for layer in vlm.model.modules() if hasattr(layer, "embed_norm")]
    if normed and fill == "mean":
        # A norm behind the table would scale a mean of rows up again: here the mean is of what the layer gives out.
        with _of_layer(*normed, gap):
            yield gap
        return
    tables = {
        module.weight
        for name, module in vlm.model.named_modules()
        if isinstance(module, nn.Embedding)
        and name.rpartition(".")[2] in ("embed_tokens", "embed_tokens_per_layer", "word_embeddings", "wte", "shared")
        # InstructBLIP's queries read the prompt by embeddings of their own.
        and "qformer" not in name
    }
    before = {
        layer: layer.weight
        for layer in vlm.model.modules()
        if isinstance(layer, nn.Embedding) and any(layer.weight is table for table in tables)
    }
    for layer, table in before.items():
        changed = table.detach().clone()
        whole = table.detach().clone()
        if hasattr(layer, "eoi_embedding"):
            whole[layer.eoi_token_index] = layer.eoi_embedding.detach()  # T5Gemma 2 keeps one row apart
        changed[gap] = 0 if fill == "zero" else whole.mean(0)
        layer.weight = nn.Parameter(changed)
    try:
        yield gap
    finally:
        for layer, table in before.items():
            layer.weight = table


@contextlib.contextmanager
def _of_layer(layer, gap):
    mean_D = layer(torch.arange(layer.num_embeddings)).detach().mean(0)

    def replace(_, args, embedded_BLD):
        return torch.where((args[0] == gap)[..., None], mean_D, embedded_BLD)

    handle = layer.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def _decoder(model, processor, inputs, ids, left, types=0):
    inputs = dict(inputs)
    row, mask, _ = _row(processor, [*inputs["input_ids"][0].tolist(), *ids], left)
    constant = {"mm_token_type_ids": 0, "moe_mm_token_type_ids": 0, "image_embeds_position_mask": 0}
    for name, value in {"token_type_ids": types, **constant}.items():
        if name in inputs:
            of_prompt = inputs[name]
            inputs[name] = torch.cat(
                [of_prompt.new_zeros(1, left), of_prompt, of_prompt.new_full((1, len(ids)), value)], dim=1
            )
    if "image_attention_mask" in inputs:
        # Idefics: what the last word of the prompt sees of the picture, the response sees too.
        seen = inputs["image_attention_mask"]
        inputs["image_attention_mask"] = torch.cat(
            [torch.zeros_like(seen[:, :1]).repeat(1, left, 1), seen, seen[:, -1:].repeat(1, len(ids), 1)], dim=1
        )
    if "cross_attention_mask" in inputs:
        seen = inputs["cross_attention_mask"]
        inputs["cross_attention_mask"] = torch.cat(
            [torch.zeros_like(seen[:, :1]).repeat(1, left, 1, 1), seen, seen[:, -1:].repeat(1, len(ids), 1, 1)], dim=1
        )
    return model(**inputs | {"input_ids": row, "attention_mask": mask}).logits[0]


def _row(processor, ids, left):
    """Ids, attention mask and positions of a row with padding in front."""
    row = torch.tensor([[processor.tokenizer.pad_token_id] * left + ids])
    mask = torch.tensor([[0] * left + [1] * len(ids)])
    return row, mask, (mask.cumsum(1) - 1).clamp(min=0)


def _with_queries(model, row, inputs):
    embedded = model.get_input_embeddings()(row).clone()
    more = {name: inputs[name] for name in ("qformer_input_ids", "qformer_attention_mask") if name in inputs}
    features = model.get_image_features(pixel_values=inputs["pixel_values"], **more, return_dict=True).pooler_output
    embedded[row == model.config.image_token_id] = features.reshape(-1, embedded.shape[-1])
    return embedded
