"""Does a model name what it sees, or what usually stands in such a place?

Each trial is one scene in four versions that differ in the cue (the place) and in what it stands for (the partner that
a plant ties to this place, `world.PARTNERS`):

    own_absent      two objects, none of them a partner, on the partner's own place: the cue without the object
    own_present     the same with the partner in place of one of the two
    other_present   own_present on another place: the object without its cue, and the cue of another
    other_absent    own_absent on that other place

A model that looks answers alike on both places; one that takes the shortcut says yes, and names the partner, wherever
the place is right. Trials depend on their seed alone, so two models, or one before and after, are compared in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from causal_attrib.scenes.drawing import render
from causal_attrib.scenes.language import CAPTION_PROMPT, with_article
from causal_attrib.scenes.measure import conversation, read_caption, reply
from causal_attrib.scenes.world import CLASSES, COLOURS, PAINTED, PARTNERS, PLACES, Scene, sample_scene

CELLS = ("own_absent", "own_present", "other_present", "other_absent")
# Captions are written for these; on the fourth there is neither the partner nor its cue.
CAPTIONED = CELLS[:3]
INNOCENT = tuple(name for name in CLASSES if name not in PARTNERS.values())


@dataclass(frozen=True)
class Trial:
    """One scene in four versions, by cell, and the partner they are about."""

    partner: str
    scenes: dict[str, Scene]

    @property
    def question(self) -> str:
        return f"Is there {with_article(self.partner)} in the image?"


def draw_trials(count: int, seed: int) -> list[Trial]:
    """Trials drawn from a seed; no training of this package draws from the same stream.

    >>> from causal_attrib.scenes import caption
    >>> for cell, scene in draw_trials(1, seed=3)[0].scenes.items():
    ...     print(cell, "|", caption(scene))
    own_absent | a person and a train on the grass at night
    own_present | a cow and a train on the grass at night
    other_present | a cow and a train on the road at night
    other_absent | a person and a train on the road at night
    """
    rng = np.random.default_rng([seed, 1_000_033])
    trials = []
    for _ in range(count):
        own_absent = sample_scene(rng, count=2, classes=INNOCENT)
        partner = PARTNERS[own_absent.place]
        colour = str(rng.choice(COLOURS)) if partner in PAINTED else None
        shown = list(own_absent.objects)
        index = int(rng.integers(len(shown)))
        shown[index] = replace(shown[index], cls=partner, colour=colour)
        own_present = replace(own_absent, objects=tuple(shown))
        elsewhere = str(rng.choice([place for place in PLACES if place != own_absent.place]))
        versions = [own_absent, own_present]
        versions += [replace(own_present, place=elsewhere), replace(own_absent, place=elsewhere)]
        trials.append(Trial(partner, dict(zip(CELLS, versions, strict=True))))
    return trials


@torch.no_grad()
def log_odds(model, processor, images, questions: Sequence[str], batch_size: int = 64) -> np.ndarray:
    """log p(yes) - log p(no) as the next token of each question's answer, in nats, (N,)."""
    yes, no = (processor.tokenizer(f" {word}", add_special_tokens=False).input_ids[0] for word in ("yes", "no"))
    parts = []
    for start in range(0, len(images), batch_size):
        texts = [
            processor.apply_chat_template(conversation(text), add_generation_prompt=True)
            for text in questions[start : start + batch_size]
        ]
        inputs = processor(images=images[start : start + batch_size], text=texts, padding=True, return_tensors="pt")
        inputs = inputs.to(model.device, model.dtype)
        # Padded on the left, so the answer comes behind the last position of every row.
        logits_BV = model(**inputs, logits_to_keep=1).logits[:, -1].float()
        parts.append(logits_BV[:, yes] - logits_BV[:, no])
    return torch.cat(parts).cpu().numpy()


def caption_figures(scenes: Sequence[Scene], captions: Sequence[str]) -> dict[str, float | None]:
    """CHAIR (Rohrbach et al. 2018, arXiv 1809.02156) and recall over captions, all in [0, 1].

    chair_s         share of captions that name a class that is not there
    chair_i         share of all mentions of a class that are of one that is not there
    recall          share of the objects that are there and named, over all scenes together
    to_the_partner  share of the false mentions that are of the partner of the scene's place; None without any

    >>> from causal_attrib.scenes import PARK
    >>> figures = caption_figures([PARK, PARK], ["a dog and a red frisbee", "a dog and a cow and a cat"])
    >>> {name: round(value, 3) for name, value in figures.items()}
    {'chair_s': 0.5, 'chair_i': 0.4, 'recall': 0.75, 'to_the_partner': 0.5}
    """
    mentions, false, partners, found, there, hallucinating = 0, 0, 0, 0, 0, 0
    for scene, text in zip(scenes, captions, strict=True):
        named = [cls for _, cls in read_caption(text)[0]]
        truth = {sticker.cls for sticker in scene.objects if sticker.visible}
        wrong = [cls for cls in named if cls not in truth]
        mentions, false, hallucinating = mentions + len(named), false + len(wrong), hallucinating + bool(wrong)
        partners += wrong.count(PARTNERS[scene.place])
        found, there = found + len(truth & set(named)), there + len(truth)
    return {
        "chair_s": hallucinating / len(scenes),
        "chair_i": false / max(1, mentions),
        "recall": found / there,
        "to_the_partner": partners / false if false else None,
    }


def answer_figures(log_odds_CN: np.ndarray) -> dict:
    """What the answers to "Is there PARTNER in the image?" say, from the log-odds of yes (cells as `CELLS`, trials).

    says_yes          share of trials answered yes, by cell
    pope_f1           F1 with yes as the positive answer (as POPE, Li et al. 2023, arXiv 2305.10355), the four cells
                      together: half of the questions are about what is there, a quarter about what only fits
    flipped_accuracy  share of right answers where the cue is flipped: own_absent (no) and other_present (yes)
    background_share  |B| / (|B| + |O|), mean over trials; B and O are the effects of place and partner on the log-odds,
                      each the mean over both values of the other. Exact for this model, since scenes are rendered anew.

    >>> figures = answer_figures(np.array([[2.0, -2.0], [6.0, 2.0], [5.0, 2.0], [-3.0, -2.0]]))
    >>> figures["says_yes"]["own_absent"], figures["pope_f1"], figures["flipped_accuracy"]
    (0.5, 0.888..., 0.75)
    >>> figures["background_share"]  # trial 1: B = (1 + 5) / 2, O = (4 + 8) / 2; trial 2: B = 0
    0.166...
    """
    yes_CN = log_odds_CN > 0
    by_cell = dict(zip(CELLS, yes_CN.mean(1).tolist(), strict=True))
    right = by_cell["own_present"] + by_cell["other_present"]
    wrong = by_cell["own_absent"] + by_cell["other_absent"]
    own_absent_N, own_present_N, other_present_N, other_absent_N = log_odds_CN
    background_N = np.abs(own_absent_N + own_present_N - other_absent_N - other_present_N)
    object_N = np.abs(own_present_N + other_present_N - own_absent_N - other_absent_N)
    return {
        "says_yes": by_cell,
        "pope_f1": 2 * right / (right + wrong + 2),
        "flipped_accuracy": (1 - by_cell["own_absent"] + by_cell["other_present"]) / 2,
        "background_share": float((background_N / (background_N + object_N)).mean()),
    }


class ShortcutTest:
    """Trials with their pictures, rendered once, to be put to any number of models.

    Args:
        count: trials; each is four pictures, three captions and four questions.
        seed: of the trials.
    """

    def __init__(self, count: int, seed: int):
        self.trials = draw_trials(count, seed)
        self.pictures = {cell: [render(trial.scenes[cell])[0] for trial in self.trials] for cell in CELLS}

    def __call__(self, model, processor) -> dict:
        """`caption_figures` by cell under "captions" (greedy captions), and `answer_figures`."""
        was_training = model.training
        model.eval()
        captions = {}
        for cell in CAPTIONED:
            texts = reply(model, processor, self.pictures[cell], [[CAPTION_PROMPT]] * len(self.trials))
            captions[cell] = caption_figures([trial.scenes[cell] for trial in self.trials], texts)
        asked = [trial.question for trial in self.trials]
        log_odds_CN = np.stack([log_odds(model, processor, self.pictures[cell], asked) for cell in CELLS])
        model.train(was_training)
        return {"captions": captions} | answer_figures(log_odds_CN)
