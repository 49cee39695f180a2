"""Processors without torchvision: transformers' own classes, whichever way their files are laid out."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image
from transformers import processing_utils
from transformers.models.smolvlm import processing_smolvlm

from causal_attrib.errors import InputError
from causal_attrib.vlm.loading import load
from causal_attrib.vlm.processors import ImageAndTokenizer, load_processor
from causal_attrib.vlm.torchvision import remedy, torchvision_state
from tests.tokenizers_of_kinds import byte_level

without_torchvision = pytest.mark.skipif(torchvision_state() == "works", reason="torchvision works here")
PICTURE = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
QWEN = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
QWEN_SIZE = {"size": {"shortest_edge": 56 * 56, "longest_edge": 112 * 112}}
SMOL = ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>"]
INTERN = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}


def tokenizer_with(tokens):
    """A tokenizer with special tokens; with a dict they are also its attributes, as in InternVL."""
    named = tokens if isinstance(tokens, dict) else {}
    tokenizer = tf.PreTrainedTokenizerFast(
        tokenizer_object=byte_level().backend_tokenizer, eos_token="</s>", pad_token="<pad>", extra_special_tokens=named
    )
    tokenizer.add_tokens([*(named.values() or tokens)], special_tokens=True)
    return tokenizer


def text(tokenizer, **more):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def qwen2_vl(tokenizer, ids):
    vision = dict(depth=2, embed_dim=32, hidden_size=64, num_heads=4, mlp_ratio=2)
    config = tf.Qwen2VLConfig(text_config=text(tokenizer, rope_parameters=ROPE), vision_config=vision, **ids)
    return tf.Qwen2VLForConditionalGeneration(config)


def qwen2_5_vl(tokenizer, ids):
    vision = dict(depth=2, hidden_size=32, intermediate_size=64, num_heads=4, out_hidden_size=64, window_size=56)
    config = tf.Qwen2_5_VLConfig(text_config=text(tokenizer, rope_parameters=ROPE), vision_config=vision, **ids)
    return tf.Qwen2_5_VLForConditionalGeneration(config)


def qwen3_vl(tokenizer, ids):
    vision = dict(depth=2, hidden_size=32, intermediate_size=64, num_heads=4, out_hidden_size=64)
    vision |= dict(num_position_embeddings=64, deepstack_visual_indexes=[0])
    config = tf.Qwen3VLConfig(
        text_config=text(tokenizer, head_dim=16, rope_parameters=ROPE | {"mrope_interleaved": True}),
        vision_config=vision,
        **ids,
    )
    return tf.Qwen3VLForConditionalGeneration(config)


def llava_onevision(tokenizer, ids):
    config = tf.LlavaOnevisionConfig(
        vision_config=VISION | {"model_type": "siglip_vision_model", "vision_use_head": False},
        text_config=text(tokenizer, model_type="qwen2"),
        image_token_index=ids["image_token_id"],
        image_grid_pinpoints=[[56, 112], [112, 112]],
    )
    return tf.LlavaOnevisionForConditionalGeneration(config)


def internvl(tokenizer, ids):
    config = tf.InternVLConfig(
        vision_config=VISION | {"image_size": [56, 56], "patch_size": [14, 14]},
        text_config=text(tokenizer, model_type="qwen2"),
        image_token_id=ids["image_token_id"],
        image_seq_length=4,
    )
    return tf.InternVLForConditionalGeneration(config)


def smolvlm(tokenizer, ids):
    config = tf.SmolVLMConfig(
        vision_config=VISION,
        text_config=text(tokenizer, model_type="llama"),
        image_token_id=ids["image_token_id"],
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    return tf.SmolVLMForConditionalGeneration(config)


def mistral3(tokenizer, ids):
    config = tf.Mistral3Config(
        vision_config=VISION | {"model_type": "pixtral", "image_size": 112},
        text_config=text(tokenizer, model_type="mistral", head_dim=16),
        image_token_index=ids["image_token_id"],
        spatial_merge_size=2,
    )
    return tf.Mistral3ForConditionalGeneration(config)


# Model, processor class, image processor class (without Pil) and its settings, special tokens (the image token first),
# settings of the processor, and how many image tokens the picture of 96 x 64 takes.
KINDS = {
    # 84 x 56 pixels are 6 x 4 patches of 14, merged by 2 x 2
    "qwen2_vl": (qwen2_vl, "Qwen2VLProcessor", "Qwen2VLImageProcessor", QWEN_SIZE, QWEN, {}, 6),
    "qwen2_5_vl": (qwen2_5_vl, "Qwen2_5_VLProcessor", "Qwen2VLImageProcessor", QWEN_SIZE, QWEN, {}, 6),
    # 96 x 64 pixels are 6 x 4 patches of 16, merged by 2 x 2
    "qwen3_vl": (qwen3_vl, "Qwen3VLProcessor", "Qwen2VLImageProcessor", QWEN_SIZE | {"patch_size": 16}, QWEN, {}, 6),
    # the base 4 x 4; the larger grid 8 x 8 of 112 x 112 pixels less its padding, 5 or 6 rows, and a newline for each
    "llava_onevision": (
        llava_onevision,
        "LlavaOnevisionProcessor",
        "LlavaOnevisionImageProcessor",
        {"size": {"height": 56, "width": 56}, "image_grid_pinpoints": [[56, 112], [112, 112]]},
        ["<image>", "<video>"],
        {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
        16 + 6 * (8 + 1),
    ),
    # 3 x 2 tiles and a thumbnail, of 4 each
    "internvl": (
        internvl,
        "InternVLProcessor",
        "GotOcr2ImageProcessor",
        {"size": {"height": 56, "width": 56}},
        INTERN,
        {"image_seq_length": 4},
        7 * 4,
    ),
    # 2 x 2 tiles and the whole, of 4 each
    "smolvlm": (
        smolvlm,
        "SmolVLMProcessor",
        "SmolVLMImageProcessor",
        {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}},
        ["<image>", *SMOL],
        {"image_seq_len": 4},
        5 * 4,
    ),
    # 112 x 84 pixels are 4 x 3 tokens of 2 x 2 patches of 14
    "mistral3": (
        mistral3,
        "PixtralProcessor",
        "PixtralImageProcessor",
        {"size": {"longest_edge": 112}, "patch_size": 14},
        ["[IMG]", "[IMG_BREAK]", "[IMG_END]"],
        {"patch_size": 14, "spatial_merge_size": 2},
        4 * 3,
    ),
}


def image_token(kind):
    tokens = KINDS[kind][4]
    return tokens["context_image_token"] if isinstance(tokens, dict) else tokens[0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each kind in both layouts, as written where torchvision works: with a video processor, and `Pil` in no name."""
    made = {}
    for kind, (build, name, images_name, images_settings, tokens, settings, _) in KINDS.items():
        torch.manual_seed(0)
        tokenizer = tokenizer_with(tokens)
        ids = {"image_token_id": tokenizer.convert_tokens_to_ids(image_token(kind))}
        for key, token in zip(
            ["video_token_id", "vision_start_token_id", "vision_end_token_id"], QWEN[1:], strict=True
        ):
            ids[key] = tokenizer.convert_tokens_to_ids(token)
        model = build(tokenizer, ids)
        images = getattr(tf, images_name + "Pil")(**images_settings).to_dict()
        video = {"video_processor_type": images_name.replace("Image", "Video")}
        processor = {"processor_class": name, **settings}
        for layout in ("one file", "a file each"):
            folder = made[kind, layout] = tmp_path_factory.mktemp(kind)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            if layout == "one file":
                images["image_processor_type"] = images_name
                files = {"processor_config": processor | {"image_processor": images, "video_processor": video}}
                (folder / "chat_template.jinja").write_text("a template")
            else:
                images["image_processor_type"] = images_name + "Fast"  # its name before transformers 5
                files = {
                    "processor_config": processor,
                    "preprocessor_config": images | {"processor_class": name},
                    "video_preprocessor_config": video | {"processor_class": name},
                    "chat_template": {"chat_template": "a template"},
                }
            for stem, content in files.items():
                (folder / f"{stem}.json").write_text(json.dumps(content))
    return made


@pytest.mark.parametrize("layout", ["one file", "a file each"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_still_image_goes_through_processor_and_model(folders, kind, layout):
    _, name, images_name, _, _, _, expected = KINDS[kind]
    folder = folders[kind, layout]
    config = tf.AutoConfig.from_pretrained(folder)
    processor = load_processor(str(folder), config)
    assert type(processor).__name__ == name and type(processor).__module__.startswith("transformers.models.")
    assert type(processor.image_processor).__name__ == images_name + "Pil"
    assert processor.chat_template == "a template"
    inputs = processor(text=f"{image_token(kind)} a dog", images=PICTURE, return_tensors="pt", add_special_tokens=False)
    token = processor.tokenizer.convert_tokens_to_ids(image_token(kind))
    assert int((inputs["input_ids"] == token).sum()) == expected
    # The model itself refuses a number of image tokens that is not its own.
    model = tf.AutoModelForImageTextToText.from_pretrained(folder)
    assert model(**inputs).logits.shape[1] == inputs["input_ids"].shape[1]


def test_load_takes_it(folders):
    vlm = load(str(folders["smolvlm", "a file each"]), device="cpu")
    assert type(vlm.processor).__name__ == "SmolVLMProcessor"


@without_torchvision
def test_transformers_is_left_as_it_was(folders):
    before = (
        tf.ProcessorMixin.check_argument_for_proper_class,
        dict(processing_utils.MODALITY_TO_AUTOPROCESSOR_MAPPING._MAPPING_NAMES),
        processing_smolvlm.num2words,
        tf.PixtralProcessor,
    )
    folder = folders["mistral3", "one file"]
    load_processor(str(folder), tf.AutoConfig.from_pretrained(folder))
    with pytest.raises(OSError):
        load_processor(str(folder / "nowhere"), tf.Qwen2VLConfig())
    after = (
        tf.ProcessorMixin.check_argument_for_proper_class,
        dict(processing_utils.MODALITY_TO_AUTOPROCESSOR_MAPPING._MAPPING_NAMES),
        processing_smolvlm.num2words,
        tf.PixtralProcessor,
    )
    assert before == after
    with pytest.raises(ImportError):
        tf.AutoProcessor.from_pretrained(folder)


@without_torchvision
def test_pictures_that_only_torchvision_can_prepare(tmp_path):
    byte_level().save_pretrained(tmp_path)
    tf.Llama4Config().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "Llama4ImageProcessorFast"}))
    with pytest.raises(InputError, match="torchvision, which is not installed; run pip install 'torchvision==0") as it:
        load_processor(str(tmp_path), tf.Llama4Config())
    assert "\n" not in str(it.value)


def test_the_torchvision_of_a_torch(monkeypatch):
    monkeypatch.setattr("causal_attrib.vlm.torchvision.version", lambda _: "2.6.0")
    assert remedy() == "pip install 'torchvision==0.21.*'"
    monkeypatch.setattr("causal_attrib.vlm.torchvision.version", lambda _: "2.13.0+cu130")
    assert remedy() == "pip install 'torchvision==0.28.*' --index-url https://download.pytorch.org/whl/cu130"


# -- models without a processor of their own --


def vit_gpt2(folder):
    tokenizer = byte_level()
    vision = tf.ViTConfig(**VISION)
    words = tf.GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=1, n_head=2, add_cross_attention=True, is_decoder=True
    )
    config = tf.VisionEncoderDecoderConfig(encoder=vision.to_dict(), decoder=words.to_dict(), decoder_start_token_id=0)
    config.pad_token_id = tokenizer.pad_token_id
    tf.VisionEncoderDecoderModel(config).save_pretrained(folder)
    images = tf.ViTImageProcessorPil(size={"height": 56, "width": 56}).to_dict()
    del images["image_processor_type"]
    (folder / "preprocessor_config.json").write_text(
        json.dumps(images | {"feature_extractor_type": "ViTFeatureExtractor"})
    )
    tokenizer.save_pretrained(folder)
    return tf.AutoConfig.from_pretrained(folder)


def test_an_image_processor_and_a_tokenizer_make_a_pair(tmp_path):
    processor = load_processor(str(tmp_path), vit_gpt2(tmp_path))
    assert type(processor) is ImageAndTokenizer and processor.chat_template is None
    inputs = processor(text="a dog", images=PICTURE, return_tensors="pt", add_special_tokens=False)
    assert set(inputs) >= {"pixel_values", "input_ids", "attention_mask"}
    assert processor.tokenizer.decode(inputs["input_ids"][0]) == "a dog"
    alone = tf.ViTImageProcessorPil(size={"height": 56, "width": 56})(PICTURE, return_tensors="pt")
    assert np.array_equal(inputs["pixel_values"], alone["pixel_values"])


# -- a torchvision that does not fit torch, as pip is happy to install it --

BROKEN = """
import torch
raise RuntimeError("operator torchvision::nms does not exist")
"""


@pytest.fixture(scope="module")
def broken_torchvision(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "torchvision").mkdir()
    (site / "torchvision" / "__init__.py").write_text(BROKEN)
    (site / "torchvision-0.99.0.dist-info").mkdir()
    (site / "torchvision-0.99.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.99.0\n"
    )
    return os.environ | {"PYTHONPATH": str(site)}


def python(code, env):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_broken_torchvision_is_set_aside(broken_torchvision, folders, tmp_path):
    byte_level().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "Llama4ImageProcessor"}))
    code = f"""
        import causal_attrib, transformers
        from causal_attrib.vlm.processors import load_processor
        for folder in (None, {str(folders["qwen2_vl", "a file each"])!r}, {str(folders["mistral3", "one file"])!r}):
            print(type(causal_attrib.load(folder, device="cpu").processor.image_processor).__name__)
        try: load_processor({str(tmp_path)!r}, transformers.Llama4Config())
        except causal_attrib.InputError as error: print(error)
    """
    bundled, *others, refusal = python(code, broken_torchvision).splitlines()
    assert bundled.endswith("Pil") and others == ["Qwen2VLImageProcessorPil", "PixtralImageProcessorPil"]
    assert refusal.endswith(f"torchvision, which does not work beside this torch; run {remedy()}.")


def test_also_when_transformers_was_imported_first(broken_torchvision, folders):
    """That it does break transformers is seen first: else neither test would show anything."""
    code = f"""
        import transformers
        try: transformers.CLIPImageProcessor
        except Exception as error: print("fails")
        import causal_attrib
        print(causal_attrib.load({str(folders["mistral3", "one file"])!r}, device="cpu").tokenizer.eos_token)
    """
    assert python(code, broken_torchvision).splitlines() == ["fails", "</s>"]
