"""What benchmarks share that can let the model speak for itself: its flags, and the run that writes what it says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from causal_attrib_cli import common

if TYPE_CHECKING:
    from causal_attrib.evaluation.prompts import ModelRun, Prompt
    from causal_attrib.io.failures import Failure
    from causal_attrib.vlm import VLM

_RUN = "Running the model"

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="ID_OR_PATH",
        help="Hub id or folder of a model to run; bundled is the one in the package.",
        rich_help_panel=_RUN,
    ),
]
Images = Annotated[
    str | None, typer.Option("--images", metavar="DIR", help="Folder of the images.", rich_help_panel=_RUN)
]
Save = Annotated[
    str | None,
    typer.Option(
        "--save",
        metavar="FILE",
        help="JSON Lines of what the model says; a run that ended early goes on when called again.",
        rich_help_panel=_RUN,
    ),
]
MaxNewTokens = Annotated[
    int, typer.Option("--max-new-tokens", metavar="N", help="Longest text of the model.", rich_help_panel=_RUN)
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget what a run before has finished.", rich_help_panel=_RUN)]

_RUNNING: dict[str, tuple[object, object]] = {
    "model": (Model, None),
    "images": (Images, None),
    "save": (Save, None),
    "max_new_tokens": (MaxNewTokens, 256),
    "batch_size": (common.BatchSize, "auto"),
    "fresh": (Fresh, False),
}


@dataclass(frozen=True)
class Running:
    """What the flags of a run say; without a `model` there is none."""

    model: str | None
    images: str | None
    save: str | None
    max_new_tokens: int
    batch_size: str
    fresh: bool
    loading: dict[str, Any]

    def check(self, flag: str, given: object, *, needed: bool = True) -> None:
        """Raise an `InputError` unless either a model is to speak or what it said stands in the file of `flag`."""
        from causal_attrib.errors import InputError

        if self.model is None:
            for name, value in (("--images", self.images), ("--save", self.save), ("--fresh", self.fresh)):
                if value:
                    raise InputError(f"{name} is for a run of the model; add --model ID_OR_PATH, or leave {name} out.")
            if needed and given is None:
                raise InputError(f"There is nothing to score; give {flag} FILE, or --model, --images and --save.")
            return
        if given:
            raise InputError(f"{flag} has what a model said and --model lets one speak; leave one of them out.")
        for name, value in (("--images DIR", self.images), ("--save FILE.jsonl", self.save)):
            if value is None:
                raise InputError(f"A run of the model needs {name}; add it.")
        self.check_values()

    def check_values(self) -> None:
        """Raise an `InputError` for values that cannot be, before torch is imported."""
        from causal_attrib.choices import MOST_TOKENS, check_batch_size, check_count
        from causal_attrib.errors import InputError
        from causal_attrib.io.json_files import check_rows

        check_count("The number of new tokens", self.max_new_tokens, MOST_TOKENS)
        check_batch_size(common.rows_per_forward(self.batch_size))
        if self.fresh and self.save is None:
            raise InputError("--fresh forgets what is in the file of --save; add --save FILE.jsonl, or leave it out.")
        if self.save is not None:
            check_rows(self.save, "Replies of a model")
        common.check_model(self.model, self.loading)

    def to_write(self, key: str, *, debug: bool, quiet: bool) -> ModelRun | None:
        """The run for a benchmark, which writes what the model says under `key`; None without a model.

        Rows that fail end the command, after all the others are done.
        """
        from causal_attrib.evaluation.prompts import ModelRun
        from causal_attrib.io.journal import forget

        if self.model is None or self.images is None:
            return None
        # Once for all files, and not at all if an earlier run did all there is to do.
        load = functools.cache(functools.partial(common.load, self.model, debug=debug, **self.loading))

        def write(prompts: Mapping[str, Sequence[Prompt]]) -> None:
            done = {output: self._write(of_file, output, key, load, quiet) for output, of_file in prompts.items()}
            common.end_of_rows(done)
            for output in prompts:
                forget(output)

        return ModelRun(self.images, write, self._settings)

    def _write(
        self, prompts: Sequence[Prompt], output: str, key: str, load: Callable[[], VLM], quiet: bool
    ) -> Sequence[Failure]:
        from causal_attrib.evaluation.replies import write_replies

        with common.progress("Asking the model", quiet=quiet) as progress:
            failures = write_replies(
                prompts,
                output,
                load,
                key=key,
                longest=self.max_new_tokens,
                batch_size=common.rows_per_forward(self.batch_size),
                model={"model": self.model, **self.loading},
                fresh=self.fresh,
                keep=True,
                progress=progress,
                on_failure=common.tell_failure,
            )
        if not quiet:
            common.tell(f"Wrote {len(prompts) - len(failures)} texts to {output}")
        return failures

    @property
    def _settings(self) -> dict[str, object]:
        """What a result says of the run."""
        run = {"images": self.images, "max_new_tokens": self.max_new_tokens, "batch_size": self.batch_size}
        return {"model": self.model, **run, **self.loading}


def _running(
    model: str | None,
    images: str | None,
    save: str | None,
    max_new_tokens: int,
    batch_size: str,
    fresh: bool,
    **loading: object,
) -> Running:
    return Running(model, images, save, max_new_tokens, batch_size, fresh, loading)


# The command gets the flags of a run as its parameter `running`.
runs_model = common.flags_as("running", {**_RUNNING, **common.LOADING}, _running)
