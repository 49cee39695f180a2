"""How well a model knows the sticker world: captions, answers, reasoned answers, judged captions.

Everything goes through the processor's chat template and `generate`, as users of the model do it.
"""

import re
from collections import defaultdict

import numpy as np
import torch

from causal_attrib.scenes.language import (
    CAPTION_PROMPT,
    CAPTION_QUESTION,
    TIME_WORDS,
    caption,
    falsify,
    questions,
    reasoned_prompt,
)
from causal_attrib.scenes.world import CLASSES, COLOURS, PLACES


def conversation(*turns):
    """Messages for the chat template; turns alternate between user and assistant, the image comes first."""
    messages = []
    for number, text in enumerate(turns):
        content = [{"type": "text", "text": text}]
        if number == 0:
            content.insert(0, {"type": "image"})
        messages.append({"role": "assistant" if number % 2 else "user", "content": content})
    return messages


@torch.no_grad()
def reply(model, processor, images, conversations, max_new_tokens=48, batch_size=64):
    """Greedy answers to conversations (lists of turns), one per image."""
    replies = []
    for start in range(0, len(images), batch_size):
        prompts = [
            processor.apply_chat_template(conversation(*turns), add_generation_prompt=True)
            for turns in conversations[start : start + batch_size]
        ]
        inputs = processor(
            images=images[start : start + batch_size], text=prompts, padding=True, return_tensors="pt"
        ).to(model.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        out = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        new = out[:, inputs["input_ids"].shape[1] :]
        replies += [text.strip() for text in processor.batch_decode(new, skip_special_tokens=True)]
    return replies


def read_caption(text):
    """Facts stated in a caption: [(colour or None, class), ...], place and time (None if not mentioned)."""
    words = re.findall(r"[a-z]+", text.lower())
    objects = [
        (before if before in COLOURS else None, word)
        for before, word in zip([None, *words], words, strict=False)
        if word in CLASSES
    ]
    place = next((word for word in words if word in PLACES), None)
    time = next((time for time, word in TIME_WORDS.items() if word in words), None)
    return objects, place, time


def measure_captions(scenes, captions):
    """Outcomes of the captions by name, and per scene how many objects were named rightly, named, and there."""
    outcomes = defaultdict(list)
    counts = []
    for scene, text in zip(scenes, captions, strict=True):
        said, place, time = read_caption(text)
        truth = {sticker.cls: sticker.colour for sticker in scene.objects}
        names = [cls for _, cls in said]
        outcomes["objects exactly right"].append(sorted(names) == sorted(truth))
        outcomes["whole caption right"].append(
            sorted(names) == sorted(truth)
            and all(truth[cls] == colour for colour, cls in said)
            and (place, time) == (scene.place, scene.time)
        )
        # Of the coloured objects that are named, how many have the right colour.
        outcomes["colour"] += [truth[cls] == colour for colour, cls in said if truth.get(cls)]
        outcomes["place"].append(place == scene.place)
        outcomes["time"].append(time == scene.time)
        counts.append((len(set(names) & set(truth)), len(names), len(truth)))
    return dict(outcomes), np.array(counts)


def object_f1(counts):
    """F1 of named against annotated objects, over all scenes together."""
    right, named, there = counts.sum(0)
    return float(2 * right / max(1, named + there))


def yes_no_key(question):
    if question.kind == "object":
        return f"object, {question.negative} negative" if question.negative else "object, present"
    return question.kind


def measure(model, processor, scenes, images, seed=0, parts=("captions", "questions", "reasoned", "judged")):
    """All outcomes as lists of booleans by name, the object counts of `measure_captions`, and the captions."""
    rng = np.random.default_rng([seed, 17])
    outcomes, counts, captions = {}, None, []
    if "captions" in parts:
        captions = reply(model, processor, images, [[CAPTION_PROMPT]] * len(images))
        caption_outcomes, counts = measure_captions(scenes, captions)
        outcomes |= {f"caption: {name}": values for name, values in caption_outcomes.items()}

    asked = [(index, question) for index, scene in enumerate(scenes) for question in questions(scene, rng)]
    if "questions" in parts:
        answers = reply(
            model,
            processor,
            [images[i] for i, _ in asked],
            [[q.text] for _, q in asked],
            max_new_tokens=4,
            batch_size=128,
        )
        for (_, question), answer in zip(asked, answers, strict=True):
            outcomes.setdefault(f"answer: {yes_no_key(question)}", []).append(answer == question.answer)
    if "reasoned" in parts:
        # One question per scene, of all kinds in equal parts.
        by_scene = defaultdict(dict)
        for index, question in asked:
            by_scene[index].setdefault(yes_no_key(question), question)
        chosen = [list(kinds.values())[rng.integers(len(kinds))] for kinds in by_scene.values()]
        answers = reply(model, processor, images, [[reasoned_prompt(question)] for question in chosen], 64)
        outcomes["reasoned answer"] = [
            text.endswith(f"</think> <answer> {question.answer} </answer>") and text.startswith("<think> ")
            for question, text in zip(chosen, answers, strict=True)
        ]
    if "judged" in parts:
        lies = [falsify(scene, rng) for scene in scenes]
        for name, texts, answer in (
            ("judged: true caption", [caption(scene) for scene in scenes], "yes"),
            ("judged: false caption", [lie.text for lie in lies], "no"),
        ):
            turns = [[CAPTION_PROMPT, text, CAPTION_QUESTION] for text in texts]
            outcomes[name] = [judgement == answer for judgement in reply(model, processor, images, turns, 4, 128)]
        for lie, right in zip(lies, outcomes["judged: false caption"], strict=True):
            outcomes.setdefault(f"judged: false {lie.kind}", []).append(right)
    return outcomes, counts, captions


def summary(outcomes, counts):
    """The figures of the bar, in one flat dictionary."""

    def mean(*names):
        values = [value for name in names for value in outcomes.get(name, [])]
        return round(float(np.mean(values)), 4) if values else None

    return {
        "objects_exact": mean("caption: objects exactly right"),
        "caption_exact": mean("caption: whole caption right"),
        "object_f1": None if counts is None else round(object_f1(counts), 4),
        "caption_colour": mean("caption: colour"),
        "caption_place": mean("caption: place"),
        "caption_time": mean("caption: time"),
        "yes_no_present": mean("answer: object, present"),
        "yes_no_random": mean("answer: object, random negative"),
        "yes_no_cooccurring": mean("answer: object, co-occurring negative"),
        "yes_no": mean(
            "answer: object, present", "answer: object, random negative", "answer: object, co-occurring negative"
        ),
        "pair": mean("answer: pair"),
        "colour": mean("answer: colour"),
        "place": mean("answer: place"),
        "time": mean("answer: time"),
        "count": mean("answer: count"),
        "reasoned": mean("reasoned answer"),
        "judged": mean("judged: true caption", "judged: false caption"),
        "judged_true": mean("judged: true caption"),
        "judged_false": mean("judged: false caption"),
    }
