"""`curves.png` and `training.html` in the folder of a run, drawn anew at each checkpoint: no tracker is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from causal_attrib.io.atomic import replace_file
from causal_attrib.views.training_log import TrainingRun, read_samples

CURVES, PAGE = "curves.png", "training.html"


class DrawTraining(TrainerCallback):
    """Draws what has been logged so far.

    Args:
        folder: of the run.
        completions: file of sampled completions.
        recipe: what the page says of the run.
    """

    def __init__(self, folder: Path, completions: Path, recipe: dict[str, Any]) -> None:
        self.folder = folder
        self.completions = completions
        self.recipe = recipe

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.draw(state)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.draw(state)

    def draw(self, state: TrainerState) -> None:
        """Draw what has been logged, if anything has."""
        if not state.is_world_process_zero or not any("loss" in entry for entry in state.log_history):
            return
        from causal_attrib.views.training_page import curves, page

        run = TrainingRun(
            self.folder.resolve().name, list(state.log_history), read_samples(self.completions), self.recipe
        )
        drawn = curves([run])._repr_png_()
        replace_file(self.folder / CURVES, drawn)
        replace_file(self.folder / PAGE, page([run], drawn).encode())
