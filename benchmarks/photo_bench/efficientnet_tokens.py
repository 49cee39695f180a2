"""EfficientNet as the image encoder of a `VisionEncoderDecoderModel`: its map of features, one token per cell.

The map of transformers' `EfficientNetModel` has the axes batch, features, rows, columns; decoders want a sequence.
This file is also the code that a built model folder brings along, so it imports nothing but transformers.
"""

from transformers import (
    AutoConfig,
    AutoModel,
    EfficientNetConfig,
    EfficientNetModel,
    PreTrainedModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
)
from transformers.modeling_outputs import BaseModelOutput


class EfficientNetTokensConfig(EfficientNetConfig):
    model_type = "efficientnet_tokens"


class EfficientNetTokens(PreTrainedModel):
    config_class = EfficientNetTokensConfig
    base_model_prefix = "tower"
    main_input_name = "pixel_values"

    def __init__(self, config):
        super().__init__(config)
        self.net = EfficientNetModel(config)
        self.post_init()

    def forward(self, pixel_values, **_):
        map_BDHW = self.net(pixel_values).last_hidden_state
        return BaseModelOutput(last_hidden_state=map_BDHW.flatten(2).transpose(1, 2))


class CaptionerConfig(VisionEncoderDecoderConfig):
    """Named by the folder's config, so that this file is read before the config of the encoder is looked up."""


class Captioner(VisionEncoderDecoderModel):
    config_class = CaptionerConfig


AutoConfig.register("efficientnet_tokens", EfficientNetTokensConfig, exist_ok=True)
AutoModel.register(EfficientNetTokensConfig, EfficientNetTokens, exist_ok=True)
