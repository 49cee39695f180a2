"""The model card of a run (`README.md` of its folder): what was trained, how, on what, and how to load it.

It says nothing that the run does not know, and names files without their folders: a card travels with the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from causal_attrib.io.rows import CAPTIONS, QUESTIONS, sha256_of
from causal_attrib.training.plan import Plan
from causal_attrib.training.recipe.keys import PREFERENCES
from causal_attrib.training.recipe.papers import PAPERS
from causal_attrib.vlm.loading import BUNDLED

# Lines of the log, at most, that a score at the beginning and at the end is the mean of.
WINDOW = 5

# What of the log is a score, and what to call it.
_SCORES = {
    "reward": "reward",
    "eval_reward": "reward in evaluation",
    "loss": "loss",
    "eval_loss": "loss in evaluation",
    "kl": "KL to the start, nats per token",
    "completions/mean_length": "tokens of a completion",
    "copo/sufficiency": "sufficiency of scored tokens",
    "copo/necessity": "necessity of scored tokens",
    "copo/dependency": "dependence of tokens on the picture, nats",
    "copo/spoilt_kl": "KL to what is said behind the masked picture, nats per token",
    "copo/flipped_share": "share of tokens whose advantage changed its sign",
    "symmpo/preferred": "share of pairs whose chosen response is preferred",
    "symmpo/preferred_with_picture": "the same between two pictures",
    "rewards/accuracies": "share of pairs whose chosen response is preferred",
}
# Where the log of a reward near 0 or of a policy that is its own reference says little.
_NO_SCORE = {"loss": ("grpo", "copo", "hero", "cepo", "pgpo")}


def model_card(plan: Plan, entries: Sequence[dict], versions: dict[str, str], commit: str | None = None) -> str:
    """The card as Markdown.

    Args:
        entries: lines of the log so far.
        versions: of the packages.
        commit: of the base model, if it came from the hub.
    """
    recipe, paper = plan.recipe, PAPERS.get(plan.method.name)
    base, on_hub = _base(plan)
    kind = "The whole model" if recipe.full else f"An adapter (LoRA, rank {recipe.lora_rank})"
    about: dict[str, Any] = {
        "library_name": "transformers" if recipe.full else "peft",
        "pipeline_tag": "image-text-to-text",
        "tags": list(dict.fromkeys(["copo", plan.method.name, "trl", *([] if recipe.full else ["lora"])])),
    }
    if on_hub:
        about["base_model"] = base
    name = paper.short if paper else plan.method.name
    updates = next((entry["step"] for entry in reversed(entries) if "step" in entry), 0)
    does = f", {paper.does}" if paper else ""
    parts = [
        f"---\n{yaml.safe_dump(about, sort_keys=False)}---",
        f"# {plan.recipe.folder.resolve().name}",
        f"{kind} of {_named(base, on_hub, commit)}, trained with {name}{does}. {_made_by(versions)}: {updates} of "
        f"{plan.updates} updates.",
        *(["## Method", _cited(paper)] if paper else []),
        "## Data",
        *_data(plan),
        "## Training scores",
        _scores(plan, entries),
        "## How to load it",
        _loading(plan, base, commit),
        "## Recipe",
        "`recipe.yaml` beside this file has the same with the paths of the machine.",
        f"```yaml\n{yaml.safe_dump(_without_folders(plan.resolved), sort_keys=False, allow_unicode=True)}```",
        "## Versions",
        "\n".join(f"- {package} {number}" for package, number in versions.items()),
        *(["## Citation", f"```bibtex\n{paper.bibtex}\n```"] if paper else []),
    ]
    return "\n\n".join(parts) + "\n"


def _base(plan: Plan) -> tuple[str, bool]:
    """What the base model is called, and whether the hub knows it by that."""
    given = plan.recipe.model or BUNDLED
    if given == BUNDLED:
        return BUNDLED, False
    local = Path(given).exists()
    return (Path(given).resolve().name if local else given), not local


def _named(base: str, on_hub: bool, commit: str | None) -> str:
    if base == BUNDLED:
        return "the model that comes with COPO (`bundled`), which knows its own drawn scenes and no photographs"
    if on_hub:
        return f"[{base}](https://huggingface.co/{base})" + (f" at commit {commit}" if commit else "")
    return f"`{base}`, which was a folder of the machine it was trained on"


def _made_by(versions: dict[str, str]) -> str:
    return f"Made by `copo train` (COPO {versions.get('copo', '?')}, TRL {versions.get('trl', '?')})"


def _cited(paper: Any) -> str:
    where = f"[arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else "known from its web page"
    return f"{'' if paper.title.startswith(paper.short) else f'{paper.short}: '}{paper.title} ({where})."


def _data(plan: Plan) -> Iterable[str]:
    for path, rows, use in (
        (plan.recipe.data, plan.rows, "trained on"),
        (plan.recipe.eval_file, plan.eval_rows, "evaluated on"),
    ):
        if path is None or rows is None:
            continue
        pictures = {str(one) if isinstance(one, str) else hashlib.sha256(one["bytes"]).hexdigest() for one in _of(rows)}
        of_scenes = CAPTIONS if plan.method.name in PREFERENCES else QUESTIONS
        file = Path(path) / of_scenes if (Path(path) / of_scenes).is_file() else Path(path)
        digest = sha256_of(file)
        yield f"- {use}: `{Path(path).name}`, {len(rows)} rows with {len(pictures)} pictures, SHA-256 {digest}"


def _of(rows: Iterable[dict]) -> Iterable[Any]:
    for row in rows:
        yield from (row[name] for name in ("image", "image_contrast") if row.get(name) is not None)
        yield from row.get("images") or ()


def _scores(plan: Plan, entries: Sequence[dict]) -> str:
    lines = []
    for key, name in _SCORES.items():
        values = [entry[key] for entry in entries if isinstance(entry.get(key), (int, float))]
        if not values or plan.method.name in _NO_SCORE.get(key, ()):
            continue
        few = max(1, min(WINDOW, len(values) // 2))
        first, last = values[:few], values[-few:]
        lines.append(f"| {name} | {sum(first) / len(first):.3f} | {sum(last) / len(last):.3f} | {len(values)} |")
    if not lines:
        return "None were logged yet."
    said = (
        f"Means of the first and of the last lines of the log ({WINDOW}, or half of them), over the data above. They "
        "say how training went, not how good the model is: `copo eval`, and `copo diff` of scores before and after, "
        "ask that."
    )
    return "\n".join([said, "", "| | first | last | lines |", "|---|---|---|---|", *lines])


def _loading(plan: Plan, base: str, commit: str | None) -> str:
    folder = plan.recipe.folder.resolve().name
    here = f'folder = "{folder}"  # the path of this folder'
    revision = f', revision="{commit}"' if commit else ""
    if plan.recipe.full:
        code = [
            "from transformers import AutoModelForImageTextToText, AutoProcessor",
            "",
            here,
            "model = AutoModelForImageTextToText.from_pretrained(folder)",
            "processor = AutoProcessor.from_pretrained(folder)",
        ]
    elif base == BUNDLED:
        code = [
            "import causal_attrib",
            "from peft import PeftModel",
            "",
            here,
            "base = causal_attrib.load()  # the model that comes with COPO",
            "model, processor = PeftModel.from_pretrained(base.model, folder), base.processor",
        ]
    else:
        code = [
            "from peft import PeftModel",
            "from transformers import AutoModelForImageTextToText, AutoProcessor",
            "",
            here,
            f'base = AutoModelForImageTextToText.from_pretrained("{base}"{revision})',
            "model = PeftModel.from_pretrained(base, folder)",
            "processor = AutoProcessor.from_pretrained(folder)",
        ]
    commands = [f'copo score photo.jpg "a dog on the grass" --model {folder}']
    if not plan.recipe.full:
        commands.append(f"copo merge-adapter {folder} merged")
    text = "\n".join(code)
    return f"```python\n{text}\n```\n\nOr, with COPO, which takes the folder as it is:\n\n    " + "\n    ".join(
        commands
    )


def _without_folders(recipe: dict[str, Any]) -> dict[str, Any]:
    named = ("data", "eval_file", "image_root", "output_dir", "model")
    return {
        key: Path(value).name if key in named and isinstance(value, str) and Path(value).exists() else value
        for key, value in recipe.items()
    }
