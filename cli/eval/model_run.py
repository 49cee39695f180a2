"""What benchmarks share that can let the model speak for itself: its flags, and the run that writes what it says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common

if TYPE_CHECKING:
    from causal_attrib.evaluation.prompts import Prompt
    from causal_attrib.io.failures import Failure

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

_RUNNING = {
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
    loading: dict

    def wanted(self, flag: str, given: object, *, needed: bool = True) -> bool:
        """Whether the model is to speak; else what it said stands in the file of `flag`."""
        from causal_attrib.errors import InputError

        if self.model is None:
            for name, value in (("--images", self.images), ("--save", self.save), ("--fresh", self.fresh)):
                if value:
                    raise InputError(f"{name} is for a run of the model; add --model ID_OR_PATH, or leave {name} out.")
            if needed and given is None:
                raise InputError(f"There is nothing to score; give {flag} FILE, or --model, --images and --save.")
            return False
        if given:
            raise InputError(f"{flag} has what a model said and --model lets one speak; leave one of them out.")
        for name, value in (("--images DIR", self.images), ("--save FILE.jsonl", self.save)):
            if value is None:
                raise InputError(f"A run of the model needs {name}; add it.")
        return True

    def write(self, asks: dict[str, Sequence[Prompt]], key: str, *, debug: bool, quiet: bool) -> None:
        """Write what the model says, under `key`, to each file of `asks`.

        Rows that fail end the command, after all the others are done.
        """
        from causal_attrib.io.journal import forget

        # Once for all files, and not at all if an earlier run did all there is to do.
        load = functools.cache(functools.partial(common.load, self.model, debug=debug, **self.loading))
        done = {output: self._write(some, output, key, load, quiet) for output, some in asks.items()}
        common.end_of_rows(done)
        for output in asks:
            forget(output)

    def _write(self, asks: Sequence[Prompt], output: str, key: str, load: Callable, quiet: bool) -> list[Failure]:
        from causal_attrib.evaluation.replies import write_replies

        with common.progress("Asking the model", quiet=quiet) as progress:
            failures = write_replies(
                asks,
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
            common.tell(f"Wrote {len(asks) - len(failures)} texts to {output}")
        return failures

    @property
    def settings(self) -> dict:
        """What a result says of the run."""
        run = {"images": self.images, "max_new_tokens": self.max_new_tokens, "batch_size": self.batch_size}
        return {} if self.model is None else {"model": self.model, **run, **self.loading}


def _running(model, images, save, max_new_tokens, batch_size, fresh, **loading) -> Running:
    return Running(model, images, save, max_new_tokens, batch_size, fresh, loading)


# The command gets the flags of a run as its parameter `running`.
runs_model = common.flags_as("running", _RUNNING | common.LOADING, _running)
