"""Attention: where the model looks as it is about to say a token. It is no evidence of what the token rests on.

Image tokens among the words: attention rollout through the decoder (Abnar and Zuidema 2020, arXiv 2005.00928):

    a = e_q (A_L + 1)/2 ... (A_1 + 1)/2

with A_l the mean over the heads of layer l, and q the position that predicts the token.

Image tokens behind cross-attention: the mean over heads and layers of what position q looks at. Neither has a sign.

Axes: Q queries, K keys, N image tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.reader import Reader
from causal_attrib.vlm.families.blip import Blip
from causal_attrib.vlm.families.encoder_decoder import EncoderDecoder
from causal_attrib.vlm.families.mllama import Mllama


@torch.no_grad()
def attention(reader: Reader) -> list[np.ndarray]:
    """Weights (N,) on the image tokens, one array per function of the target, its tokens averaged.

    Raises:
        InputError: the attention implementation gives out no weights, or the target has a foil.
    """
    if reader.target.foil is not None:
        raise InputError("Attention is the same whatever the foil; take another method for a map with a foil.")
    (row,) = reader.target.rows
    inputs = reader.vlm.family.extend(reader.encoding.prompt_inputs, [row], reader.vlm.pad_id)
    crossing, layers = _weights(reader, inputs)
    image_N = list(reader.encoding.layout.positions)
    found = []
    for (part,) in reader.target.parts:
        # The row ends with its last token; each token is predicted at the position before it.
        first = layers[0].shape[0] - len(row) - 1
        queries = [first + position for position in part.positions]
        read = _looked_at if crossing else _rolled_out
        found.append(read(layers, queries)[image_N].double().cpu().numpy())
    reader.count += 1
    return found


def _weights(reader: Reader, inputs: dict[str, Tensor]) -> tuple[bool, list[Tensor]]:
    """Whether image tokens are looked at by cross-attention, and the weights (Q, K) of each layer, heads averaged."""
    vlm = reader.vlm
    model, family = vlm.model, vlm.family
    implementation = model.config.get_text_config(decoder=True)._attn_implementation
    if implementation != "eager":
        raise InputError(
            f"{vlm.name} runs with {implementation} attention, which gives out no weights; load it with "
            "--attn-implementation eager, or take the method occlusion."
        )
    crossing = True
    if isinstance(family, Blip):
        seen = model.vision_model(pixel_values=inputs["pixel_values"]).last_hidden_state
        words = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        weights = model.text_decoder(**words, encoder_hidden_states=seen, output_attentions=True).cross_attentions
    else:
        output = model(**inputs, output_attentions=True, use_cache=False)
        if isinstance(family, EncoderDecoder):
            weights = output.cross_attentions
        elif isinstance(family, Mllama):
            weights = [output.attentions[layer] for layer in model.config.text_config.cross_attention_layers]
        else:
            crossing, weights = False, output.attentions
    if not weights or any(layer is None for layer in weights):
        raise InputError(f"{vlm.name} gives out no attention weights; take the method occlusion.")
    return crossing, [layer[0].float().mean(0) for layer in weights]


def _rolled_out(layers: list[Tensor], queries: list[int]) -> Tensor:
    weight_K = layers[0].new_zeros(layers[0].shape[0])
    weight_K[queries] = 1 / len(queries)
    for layer_QK in reversed(layers):
        weight_K = (weight_K @ layer_QK + weight_K) / 2
    return weight_K


def _looked_at(layers: list[Tensor], queries: list[int]) -> Tensor:
    return torch.stack([layer_QK[queries].mean(0) for layer_QK in layers]).mean(0)
