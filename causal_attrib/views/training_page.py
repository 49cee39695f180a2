"""How a training run went: one figure of its curves, and one page with them and the completions it sampled.

Several runs are drawn into the same panels, so that they can be compared. The page holds all it shows and runs no
script.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from causal_attrib.errors import InputError
from causal_attrib.views.figure import MUTED, RULE, TEXT, Plot, new_plot
from causal_attrib.views.html_page import html_page, text
from causal_attrib.views.training_log import TrainingRun

# Panels, each with the keys of the log that it shows and what these are called.
PANELS: tuple[tuple[str, dict[str, str]], ...] = (
    ("reward", {"reward": "", "eval_reward": "evaluation"}),
    ("preferred pairs, share", {"symmpo/preferred": "", "symmpo/preferred_with_picture": "by picture"}),
    ("preferred pairs, share", {"rewards/accuracies": "", "eval_rewards/accuracies": "evaluation"}),
    (
        "scores",
        {
            "copo/sufficiency": "sufficiency",
            "copo/necessity": "necessity",
            "cepo/question_to_reasoning": "question to reasoning",
            "cepo/reasoning_to_answer": "reasoning to answer",
            "cepo/question_to_answer": "question to answer",
        },
    ),
    ("dependence on the picture, nats per token", {"copo/dependency": "", "copo/spoilt_kl": "KL to the masked one"}),
    ("reward of a token", {"copo/token_reward": ""}),
    ("KL to the start, nats per token", {"kl": ""}),
    ("tokens of a completion", {"completions/mean_length": ""}),
    ("tokens whose advantage changed its sign, share", {"copo/flipped_share": ""}),
    ("prompts kept by the gate, share", {"copo/prompts_kept": ""}),
    ("loss", {"loss": "", "eval_loss": "evaluation"}),
    ("gradient norm", {"grad_norm": ""}),
)
_SECONDS = "seconds/"
# Okabe and Ito's colours, which colour-blind readers tell apart, and styles for the keys of one run.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", "--", ":", "-.", (0, (1, 3)))
# Completions that the page shows, over the whole run.
_SHOWN = 40


def curves(runs: Sequence[TrainingRun]) -> Plot:
    """Reward, scores, KL, length, flipped share and seconds per phase, as far as the runs have logged them.

    Raises:
        InputError: nothing has been logged.
    """
    panels = [(title, keys) for title, keys in PANELS if any(run.series(key)[0] for run in runs for key in keys)]
    timed = any(_phases(run) for run in runs)
    if not panels:
        raise InputError("Nothing has been logged yet; wait for the first update.")
    count = len(panels) + timed
    columns = min(3, count)
    rows = math.ceil(count / columns)
    plot = new_plot(4.2 * columns, 2.6 * rows + 0.3)
    grid = plot.subplots(rows, columns, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for (title, keys), ax in zip(panels, axes, strict=False):
        _panel(ax, title)
        for number, run in enumerate(runs):
            drawn = [key for key in keys if run.series(key)[0]]
            for style, key in zip(_STYLES, drawn, strict=False):
                steps, values = run.series(key)
                alone = "." if len(steps) == 1 else ""
                label = _label(run.name if len(runs) > 1 else "", keys[key])
                ax.plot(steps, values, color=_colour(number), linestyle=style, marker=alone, linewidth=1.3, label=label)
        _legend(ax)
    if timed:
        _seconds(axes[len(panels)], runs)
    for ax in axes[count:]:
        ax.set_axis_off()
    return plot


def page(runs: Sequence[TrainingRun], drawn: bytes | None = None) -> str:
    """A whole HTML page on one or several runs.

    Args:
        drawn: their curves as PNG, if they have been drawn already.

    Raises:
        InputError: nothing has been logged.
    """
    image = base64.b64encode(drawn or curves(runs)._repr_png_()).decode()
    samples = "".join(_samples(run, several=len(runs) > 1) for run in runs)
    return html_page(
        f"""<main>
<div class="scroll"><img class="curves" alt="Curves of the training log; the table has their ends."
src="data:image/png;base64,{image}"></div>
{_ends(runs)}
{_recipes(runs)}
{samples}
</main>""",
        kind="COPO training",
        title=", ".join(run.name for run in runs),
        styles=["training.css"],
    )


# -- the figure -------------------------------------------------------------------------------------------------------


def _panel(ax: Axes, title: str) -> None:
    ax.set_title(title, loc="left", fontsize=9, color=TEXT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.grid(color=RULE, linewidth=0.6)
    ax.tick_params(labelsize=8, colors=MUTED)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("updates", fontsize=8, color=MUTED)


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[1]:
        for label in ax.legend(fontsize=7, framealpha=0.8, edgecolor="none").get_texts():
            label.set_parse_math(False)  # the name of a run is no formula


def _label(run: str, key: str) -> str:
    """No label where there is one line of one run; a legend leaves out what begins with an underscore."""
    label = ", ".join(part for part in (run, key) if part)
    return label if not label.startswith("_") else f" {label}"


def _phases(run: TrainingRun) -> list[str]:
    return sorted({key for entry in run.entries if "loss" in entry for key in entry if key.startswith(_SECONDS)})


def _seconds(ax: Axes, runs: Sequence[TrainingRun]) -> None:
    """Of one run by phase, of several in all."""
    _panel(ax, "seconds between two lines of the log")
    if len(runs) == 1:
        lines = [entry for entry in runs[0].entries if "loss" in entry and "step" in entry]
        phases = _phases(runs[0])
        values = [[float(entry.get(phase) or 0) for entry in lines] for phase in phases]
        steps = [float(entry["step"]) for entry in lines]
        labels = [phase.removeprefix(_SECONDS) for phase in phases]
        if len(steps) == 1:
            ax.bar(labels, [value[0] for value in values], color=_COLOURS[: len(labels)])
            ax.set_xlabel("")
            return
        ax.stackplot(steps, values, labels=labels, colors=_COLOURS, alpha=0.8)
    else:
        for number, run in enumerate(runs):
            lines = [entry for entry in run.entries if "loss" in entry and "step" in entry]
            total = [sum(float(entry.get(phase) or 0) for phase in _phases(run)) for entry in lines]
            steps, alone = [entry["step"] for entry in lines], "." if len(lines) == 1 else ""
            ax.plot(steps, total, color=_colour(number), marker=alone, linewidth=1.3, label=run.name)
    _legend(ax)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


# -- the page ---------------------------------------------------------------------------------------------------------


def _ends(runs: Sequence[TrainingRun]) -> str:
    """First and last values of what is drawn."""
    rows = []
    for title, keys in PANELS:
        for key, called in keys.items():
            found = [run.series(key)[1] for run in runs]
            if not any(found):
                continue
            cells = "".join(
                f"<td>{values[0]:.4g}</td><td>{values[-1]:.4g}</td>" if values else "<td></td><td></td>"
                for values in found
            )
            rows.append(f"<tr><th scope='row'>{text(f'{title}: {called}' if called else title)}</th>{cells}</tr>")
    heads = "".join(f"<th scope='colgroup' colspan='2'><bdi>{text(run.name)}</bdi></th>" for run in runs)
    sub = "<th scope='col'>first</th><th scope='col'>last</th>" * len(runs)
    return (
        "<div class='scroll'><table><thead>"
        f"<tr><td></td>{heads}</tr><tr><td></td>{sub}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _recipes(runs: Sequence[TrainingRun]) -> str:
    """The recipes; of several runs what differs."""
    keys = list(dict.fromkeys(key for run in runs for key in run.recipe))
    if len(runs) > 1:
        keys = [key for key in keys if len({str(run.recipe.get(key)) for run in runs}) > 1]
    if not keys:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{text(key)}</th>"
        + "".join(f"<td>{text(str(run.recipe.get(key, '')))}</td>" for run in runs)
        + "</tr>"
        for key in keys
    )
    told = "What differs between the recipes" if len(runs) > 1 else "Recipe"
    opened = " open" if len(runs) > 1 else ""
    return f"<details{opened}><summary>{told}</summary><div class='scroll'><table>{rows}</table></div></details>"


def _samples(run: TrainingRun, *, several: bool) -> str:
    """Completions over time, evenly spread over the run."""
    steps = list(dict.fromkeys(sample["step"] for sample in run.samples))
    if not steps:
        return ""
    each = max(1, len(run.samples) // len(steps))
    wanted = max(1, _SHOWN // each)
    stride = max(1, math.ceil(len(steps) / wanted))
    chosen = set(steps[::-stride])
    limit = max((abs(value) for sample in run.samples for value in sample.get("added") or ()), default=0.0)
    parts = "".join(_sample(sample, limit) for sample in run.samples if sample["step"] in chosen)
    of_run = f" of <bdi>{text(run.name)}</bdi>" if several else ""
    key = (
        "<p class='note'>Blue tokens are reinforced by what the method adds to their advantage, red ones (dotted) held "
        "back; point at one for the number.</p>"
        if limit
        else ""
    )
    return f"<section><h2>Completions{of_run} over time</h2>{key}{parts}</section>"


def _sample(sample: dict[str, Any], limit: float) -> str:
    added = sample.get("added") or [0.0] * len(sample["tokens"])
    words = "".join(
        _token(str(token), float(value), limit) for token, value in zip(sample["tokens"], added, strict=False)
    )
    reference = f" · reference {text(str(sample['reference']))}" if sample.get("reference") is not None else ""
    return (
        f"<article><p class='head'>update {sample['step']} · reward {sample['reward']:.3g} · advantage "
        f"{sample['advantage']:+.2f}{reference}</p><p class='asked'><bdi>{text(str(sample['prompt']))}</bdi></p>"
        f"<p class='said'><bdi>{words}</bdi></p></article>"
    )


def _token(token: str, value: float, limit: float) -> str:
    share = min(5, math.ceil(5 * abs(value) / limit)) if limit and abs(value) >= 0.005 else 0
    word = token.lstrip(" ")
    if not share or not word:
        return text(token)
    space = token[: len(token) - len(word)]
    return f"{space}<span class='{'up' if value > 0 else 'down'} s{share}' title='{value:+.2f}'>{text(word)}</span>"
