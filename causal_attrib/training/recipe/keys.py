"""What a training run is: every key of a recipe, which is also a flag of `copo train`.

Keys that are not here are those of TRL's `GRPOConfig` (or `DPOConfig`, for symmpo), under TRL's names; a recipe keeps
them in `others`. No torch is imported: the help of the command is made of this file.
"""

from __future__ import annotations

import math
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from causal_attrib.choices import COUPLINGS, ENGINES, ESTIMATORS, FILLS, MOST_DRAWN, MOST_TOKENS, REFERENCES
from causal_attrib.scores.settings import SAMPLES_FOR_TEXT, SHOWN_COUPLING, SHOWN_ESTIMATOR, CausalSettings

MODEL, DATA, METHOD, SCORES, REWARD, TRAINING, RUN = (
    "Model",
    "Data",
    "Method",
    "Scores, for copo",
    "Rewards",
    "Training (names of TRL)",
    "Run",
)

# Of what is added to a loss or an advantage: far above what anybody wants, and far below what overflows.
MOST_WEIGHT = 1000
# Methods and rewards by name (`training.recipe.method`, `training.scoring.rewards`), and the losses of TRL 1.16.
METHODS = ("grpo", "copo", "hero", "cepo", "vppo", "pgpo", "papo", "symmpo", "dpo")
# Those that learn from preferences, which are not sampled or rewarded.
PREFERENCES = ("symmpo", "dpo")
REWARDS = ("match", "likeness", "choice", "numeric", "yesno", "objects", "format", "vicrit")
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo")
LOSSES_OF_DPO = (
    *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired"),
    *("apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
)


@dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`.

    above: without `least` itself
    below: without `most` itself

    >>> str(Range(0, 1)), str(Range(0, 1, above=True)), str(Range(0, 1, below=True)), str(Range(0, above=True))
    ('from 0 to 1', 'above 0 and at most 1', 'from 0 up and below 1', 'above 0')
    >>> 0 in Range(0, 1, above=True), 1 in Range(0, 1, above=True)
    (False, True)
    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        low = self.least < value if self.above else self.least <= value
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        low = f"above {self.least:.12g}" if self.above else f"from {self.least:.12g}"
        if self.most == math.inf:
            return low if self.above else f"{low} up"
        if self.below:
            return f"{low}{'' if self.above else ' up'} and below {self.most:.12g}"
        return f"{low}{' and at most' if self.above else ' to'} {self.most:.12g}"


def _key(
    default: Any,
    group: str,
    help: str,
    shown: str | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    below: bool = False,
) -> Any:
    """One key; `shown` is the default in words, where the value would not say it."""
    about = {"group": group, "help": help, "shown": shown, "range": Range(least, most, below=below)}
    if isinstance(default, tuple):
        return field(default_factory=lambda: list(default), metadata=about)
    return field(default=default, metadata=about)


@dataclass
class Recipe:
    """All that decides what a run does. A key that is None takes the default of what it is a setting of."""

    model: str | None = _key(None, MODEL, "Hub id or folder of a vision-language model.", "the bundled one")
    revision: str | None = _key(None, MODEL, "Branch, tag or commit of a hub model.")
    dtype: str = _key("auto", MODEL, "Precision of the weights: auto, float32, bfloat16, float16.")
    attn_implementation: str | None = _key(None, MODEL, "Attention kernel.", "the model's own")
    load_in_4bit: bool = _key(False, MODEL, "Adapters on a quantised model (QLoRA); needs the extra quant.")
    load_in_8bit: bool = _key(False, MODEL, "The same with 8 bits.")
    allow_pickle: bool = _key(False, MODEL, "Take pickled weights, which can hide code.")
    trust_remote_code: bool = _key(False, MODEL, "Run code that the model brings along.")
    full: bool = _key(False, MODEL, "Train all weights, not adapters (LoRA) beside the vision tower.")
    lora_rank: int = _key(16, MODEL, "Rank of the adapters.", least=1, most=2**16)
    lora_alpha: int = _key(32, MODEL, "Scale of the adapters.", least=1, most=2**16)
    lora_dropout: float = _key(0.0, MODEL, "Dropout before the adapters.", least=0, most=1, below=True)

    data: str | None = _key(None, DATA, "JSON Lines or Parquet file, or a folder written by copo scenes.", "required")
    eval_file: str | None = _key(None, DATA, "The same, for evaluation during the run.")
    image_root: str | None = _key(None, DATA, "What the paths of pictures start from.", "the folder of the file")
    system_prompt: str | None = _key(None, DATA, "System message for rows that have none.")

    method: str = _key("copo", METHOD, f"{', '.join(METHODS)}.")
    keep: float | None = _key(None, METHOD, "Share of the prompts trained on, by reward variance.", "1; hero 0.6")
    lambda_s: float | None = _key(None, METHOD, "copo: weight of sufficiency.", "0.35")
    lambda_n: float | None = _key(None, METHOD, "copo: weight of necessity.", "0.35")
    normalise: str | None = _key(None, METHOD, "copo: how raw scores come into [0, 1]: clip, minmax, none.", "clip")
    center: str | None = _key(None, METHOD, "copo: subtract the mean over: none, group, completion.", "none")
    gate: bool | None = _key(None, METHOD, "copo: add it to completions with A >= 0 only.", "no")
    mean_one: bool | None = _key(None, METHOD, "hero: weights of a completion have the mean 1.", "yes")
    negative_only: bool | None = _key(None, METHOD, "hero: weigh completions with A < 0 only.", "no")
    p: float | None = _key(None, METHOD, "cepo: exponent of the power mean.", "0.2")
    weights: list[float] | None = _key(None, METHOD, "cepo: accuracy, Z-X, X-Y, Z-Y.", "0.7, 0.1, 0.1, 0.1")
    draws: int | None = _key(None, METHOD, "cepo: counterfactual texts per completion.", "4")
    spoil: str | None = _key(
        None, METHOD, "vppo, pgpo, papo: how a picture is spoilt: patches, blur, colour, none.", "patches; pgpo none"
    )
    patch_size: int | None = _key(None, METHOD, "vppo, pgpo, papo: side of a patch in pixels.", "14")
    patch_share: float | None = _key(
        None, METHOD, "vppo, pgpo, papo: share of the patches that are blackened.", "0.5; papo 0.6"
    )
    top_tokens: float | None = _key(None, METHOD, "vppo: share of a completion's tokens trained on.", "0.4")
    advantage_min: float | None = _key(None, METHOD, "vppo: least scale of a completion's advantage.", "0.9")
    entropy_penalty: float | None = _key(None, METHOD, "vppo: weight of -log p of the tokens written.", "0.06")
    threshold: float | None = _key(None, METHOD, "pgpo: where the gate begins to boost, in [0, 1).", "0.4")
    boost: float | None = _key(None, METHOD, "pgpo: how much.", "2")
    gamma: float | None = _key(None, METHOD, "papo: weight of the KL to what is said behind the mask.", "0.01")
    eta: float | None = _key(None, METHOD, "papo: weight of -log p behind the picture.", "0.03")
    eta_spoilt: float | None = _key(None, METHOD, "papo: weight of -log p behind the masked picture.", "0.03")
    spoilt_gradient: bool | None = _key(None, METHOD, "papo: a gradient through the masked picture too.", "yes")
    pair: float | None = _key(None, METHOD, "symmpo: weight of the symmetric pairs.", "0.5")
    margin: float | None = _key(None, METHOD, "symmpo: weight of the margin's consistency.", "0.0001")
    anchor: float | None = _key(None, METHOD, "symmpo: weight of the anchor.", "1")
    delta: float | None = _key(None, METHOD, "symmpo: threshold of the anchor; else TRL's upper clip.", "0; none")
    margin_in_reward_units: bool | None = _key(None, METHOD, "symmpo: margin as in the paper, not the code.", "no")

    outcome: str | None = _key(
        None, SCORES, "What scores are differences of, as in copo score.", CausalSettings.outcome
    )
    against: str | None = _key(
        None, SCORES, f"What grounding holds the image against: {', '.join(REFERENCES)}.", CausalSettings.against
    )
    samples: int | None = _key(
        None,
        SCORES,
        "Sampled completions per prefix, for sufficiency.",
        f"0, or {SAMPLES_FOR_TEXT} if the outcome judges text",
    )
    estimator: str | None = _key(None, SCORES, f"How sufficiency is read: {', '.join(ESTIMATORS)}.", SHOWN_ESTIMATOR)
    coupling: str | None = _key(
        None, SCORES, f"How samples of prefixes are drawn: {', '.join(COUPLINGS)}.", SHOWN_COUPLING
    )
    mask: str | None = _key(None, SCORES, f"How a token is hidden: {', '.join(FILLS)}.", CausalSettings.mask)
    level: str | None = _key(None, SCORES, "What is hidden at once: token, word, span.", "token")
    subset: str | None = _key(None, SCORES, "Which are scored: all, entropy, content.", "all")
    share: float | None = _key(None, SCORES, "Share of them, for the subset entropy.", "0.2")
    engine: str | None = _key(None, SCORES, f"How forwards are run: {', '.join(ENGINES)}.", CausalSettings.engine)
    scoring_batch_size: int | None = _key(None, SCORES, "Rows per forward.", str(CausalSettings.batch_size))

    reward: list[str] = _key(("match",), REWARD, f"{', '.join(REWARDS)}, or module:function; may be repeated.")
    reward_weights: list[float] | None = _key(None, REWARD, "Weight of each reward.", "1 each")
    token_reward: str | None = _key(None, REWARD, "module:function, added to the advantage of each token.")

    output_dir: str | None = _key(None, TRAINING, "Folder for the model, checkpoints and logs.", "runs/METHOD")
    learning_rate: float | None = _key(
        None, TRAINING, "Peak learning rate.", "1e-5; full 1e-6; symmpo, dpo 5e-6", least=0, most=1
    )
    num_train_epochs: float | None = _key(None, TRAINING, "Passes over the data.", "1; symmpo 2", least=0, most=10**6)
    max_steps: int = _key(-1, TRAINING, "Updates; -1 goes by epochs.", least=-1)
    per_device_train_batch_size: int = _key(
        8, TRAINING, "Completions (symmpo, dpo: rows) per device and backward.", least=1
    )
    gradient_accumulation_steps: int | None = _key(None, TRAINING, "Backwards per update.", "4; hero 5", least=1)
    num_generations: int = _key(8, TRAINING, "Completions per prompt.", least=2, most=MOST_DRAWN)
    max_completion_length: int = _key(512, TRAINING, "Tokens of a completion.", least=1, most=MOST_TOKENS)
    temperature: float = _key(1.0, TRAINING, "Of sampling.", least=0.001)
    beta: float | None = _key(
        None,
        TRAINING,
        "Weight of the KL term; symmpo, dpo: DPO's beta.",
        "0; symmpo, dpo 0.1",
        least=0,
        most=MOST_WEIGHT,
    )
    loss_type: str | None = _key(None, TRAINING, "How token losses are averaged.", "grpo")
    bf16: bool | None = _key(None, TRAINING, "Mixed precision.", "where the device has it")
    gradient_checkpointing: bool = _key(True, TRAINING, "Less memory, about a fifth slower.")
    use_vllm: bool = _key(False, TRAINING, "Sample completions with vLLM.")

    seed: int = _key(0, RUN, "Seed of everything random.", least=0, most=2**32 - 1)
    logging_steps: int = _key(1, RUN, "Updates between two lines of the log.", least=1)
    save_steps: int = _key(50, RUN, "Updates between two checkpoints.", least=1)
    save_total_limit: int = _key(2, RUN, "Checkpoints that are kept.", least=1)
    eval_steps: int | None = _key(None, RUN, "Updates between two evaluations.", "save_steps", least=1)
    report_to: list[str] = _key((), RUN, "Trackers: tensorboard, wandb, trackio, mlflow; may be repeated.")
    show_completions: int = _key(2, RUN, "Sampled completions shown at each line of the log.", least=0)

    # What else adapters and whole models are trained by.
    lora_targets: list[str] | None = _key(
        None, MODEL, "Names of the layers with adapters.", "all linear ones beside vision tower and head"
    )
    modules_to_save: list[str] | None = _key(None, MODEL, "Names of modules trained whole beside the adapters.")
    use_dora: bool = _key(False, MODEL, "Adapters of direction and magnitude (DoRA).")
    use_rslora: bool = _key(False, MODEL, "Adapters scaled by the root of their rank (rsLoRA).")
    freeze_vision: bool = _key(False, MODEL, "With full: leave the vision tower as it is.")
    lr_scheduler_type: str | None = _key(None, TRAINING, "How the learning rate goes.", "linear; symmpo cosine")
    warmup_steps: float | None = _key(
        None, TRAINING, "Updates up to the peak; below 1 a share of the run.", "0; symmpo 0.05", least=0
    )
    weight_decay: float | None = _key(None, TRAINING, "Of the optimizer.", "0; symmpo 0.01", least=0, most=MOST_WEIGHT)

    others: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output_dir = self.output_dir or f"runs/{self.method}"
        if self.gradient_accumulation_steps is None:
            # Five prompts of eight completions, of which HERO's 60 % are three; of four they would be three too.
            self.gradient_accumulation_steps = 5 if self.method == "hero" else 4

    @property
    def folder(self) -> Path:
        """Where the run is written."""
        return Path(self.output_dir or f"runs/{self.method}")

    def group(self, name: str) -> dict[str, Any]:
        """The keys of one group that are set."""
        named = {key.name: getattr(self, key.name) for key in keys() if key.metadata["group"] == name}
        return {key: value for key, value in named.items() if value is not None}


def keys() -> tuple[Field, ...]:
    """The keys of a recipe, in order; `metadata` has group, help, the default in words, and the range of a number.

    >>> [key.name for key in keys()][:3]
    ['model', 'revision', 'dtype']
    """
    return tuple(key for key in fields(Recipe) if key.metadata)
