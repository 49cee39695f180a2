"""Adapters (PEFT) on top of a model."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from transformers import PreTrainedModel

from causal_attrib.errors import InputError
from causal_attrib.io.hub import Home
from causal_attrib.vlm.refusal import explained

if TYPE_CHECKING:
    from peft import PeftModel

# Weights that layers share and that are stored once.
_SHARED = ("vblora_vector_bank", ".tinylora_v.", ".unilora_theta_d.")


def put_on(weights: PreTrainedModel, name: str, adapter: Home, *, allow_pickle: bool, merge: bool) -> PreTrainedModel:
    """A model with an adapter, whose every weight has found its place.

    Args:
        merge: into one model, which quantised weights would lose by.

    Raises:
        InputError: the adapter is pickled, was made for another model, or is of a kind that is no part of the weights.
    """
    from peft import PeftModel

    if not allow_pickle and adapter.file("adapter_model.safetensors") is None:
        raise InputError(f"{name} holds no adapter_model.safetensors; a pickled adapter needs --allow-pickle.")
    with explained(name, adapter), warnings.catch_warnings():
        # What it warns of, weights without a place and tied ones, is dealt with below.
        warnings.simplefilter("ignore")
        try:
            adapted = PeftModel.from_pretrained(weights, adapter.source, **adapter.options)
        except RuntimeError as error:
            raise _misfit(name, error) from error
        if adapted.active_peft_config.is_prompt_learning:
            raise InputError(
                f"{name} is an adapter of learned prompts, which come in front of the picture; take one that changes "
                f"weights (such as LoRA)."
            )
        _check_keys(adapted, name, adapter)
        if not merge:
            return cast(PreTrainedModel, adapted.get_base_model())
        tied = _is_tied(weights)
        _untie(adapted)
        merged = adapted.merge_and_unload()
    if tied and not _is_tied(merged):
        # Else the head would be thrown away where the model is saved, and be the table again where that is loaded.
        for config in (merged.config, merged.config.get_text_config(decoder=True)):
            config.tie_word_embeddings = False
    return merged


def _check_keys(adapted: PeftModel, name: str, adapter: Home) -> None:
    """Refuse an adapter with a weight that the model has no place for, or without one that it has a place for.

    peft warns of the latter and says nothing of the former; the model would be scored bare, or half adapted.
    """
    from peft.utils.save_and_load import load_peft_weights, set_peft_model_state_dict

    mapping = getattr(adapted.get_base_model(), "_checkpoint_conversion_mapping", {})
    stored = load_peft_weights(adapter.source, device="cpu", key_mapping=mapping, **adapter.options)
    result: Any = set_peft_model_state_dict(adapted, stored)
    own = f".{adapted.active_adapter}"
    # Those without the adapter's name are the model's own.
    missing = [key for key in result.missing_keys if own in key and not any(bank in key for bank in _SHARED)]
    for keys, fault in ((result.unexpected_keys, "holds {} that its base has no place for"), (missing, "lacks {}")):
        if keys:
            count = f"{len(keys)} weight{'s' * (len(keys) > 1)}"
            raise InputError(
                f"{name} {fault.format(count)} (such as {keys[0]}), so it was made for another model; give it the base "
                f"that it was trained on (base_model_name_or_path in adapter_config.json)."
            )


def _misfit(name: str, error: RuntimeError) -> Exception:
    """The sentence for weights of other shapes, else the error itself."""
    found = re.search(r"size mismatch for (\S+): .*?Size\((.*?)\).*?Size\((.*?)\)", str(error), re.DOTALL)
    if found is None:
        return error
    weight, stored, here = found.groups()
    return InputError(
        f"{name} does not fit its base: {weight} is {stored} in the one and {here} in the other. If tokens were added "
        f"in training, add them to the base (resize_token_embeddings), save it, and name that in adapter_config.json."
    )


def _untie(adapted: PeftModel) -> None:
    """Give adapted layers weights of their own where they share them, as a head does with the word embeddings.

    The adapter belongs to its layer alone; merged into a shared weight it would change the other layer as well.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    owners = Counter(id(weight) for module in adapted.modules() for weight in module._parameters.values())
    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer):
            base = layer.get_base_layer()
            for key, weight in base._parameters.items():
                if weight is not None and owners[id(weight)] > 1:
                    base._parameters[key] = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)


def _is_tied(model: PreTrainedModel) -> bool:
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and table is not None and getattr(head, "weight", None) is getattr(table, "weight", 0)
