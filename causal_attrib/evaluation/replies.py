"""Let a model caption pictures and answer questions, into a file that a benchmark reads.

Windows of rows are the pieces that the journal keeps. Within one, prompts whose inputs have equal shapes are put
through the model together; none is padded, so that what a model says hardly depends on what stands beside it.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence

from causal_attrib.choices import MOST_TOKENS, check_batch_size, check_count
from causal_attrib.engine.base import chunks
from causal_attrib.engine.budget import is_out_of_memory
from causal_attrib.errors import InputError
from causal_attrib.evaluation.prompts import Prompt
from causal_attrib.io.atomic import replacing
from causal_attrib.io.failures import Failure, reason_of, write_failures
from causal_attrib.io.journal import Journal, digest
from causal_attrib.io.journalled import REASON, finish, outcomes_of
from causal_attrib.io.json_files import check_rows
from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import decode

# Prompts per forward where the user does not say, and how many times as many rows are looked through for equal shapes.
_CPU_ROWS, _GPU_ROWS = 8, 16
_WINDOW = 8


def write_replies(
    prompts: Sequence[Prompt],
    output: str | os.PathLike,
    load: Callable[[], VLM],
    *,
    key: str,
    longest: int,
    batch_size: int | str = "auto",
    model: dict | None = None,
    fresh: bool = False,
    keep: bool = False,
    progress: Callable[[int, int], None] | None = None,
    on_failure: Callable[[Failure], None] = lambda failure: None,
) -> list[Failure]:
    """Write a row for each prompt to the JSON Lines file `output`: what the model says to it (greedy) under `key`.

    A run that was killed is gone on with by calling this again, as in `batch.score_file`; the file is the same.

    Args:
        load: gives the model; it is called when all that is wrong with the files is found.
        longest: largest number of tokens of a reply.
        batch_size: prompts per forward; "auto" is 8 on a CPU and 16 elsewhere, and fewer where memory runs out.
        model: what the model was asked for by, for the journal.
        keep: leave the journal there when all is done, until other files are done too (`journal.forget`).

    Returns:
        The rows that failed. They are listed in `OUTPUT.failed.jsonl`, and tried again by the next call.

    Raises:
        InputError: pictures that are not there, a file that cannot be written, or a journal of other settings.
    """
    check_rows(output, "Replies of a model")
    check_count("The number of new tokens", longest, MOST_TOKENS)
    check_batch_size(batch_size)
    missing = [prompt.image for prompt in prompts if not prompt.image.exists()]
    if missing:
        raise InputError(f"{len(missing)} pictures are not there, first {missing[0]}; check the folder of images.")
    work = [[str(prompt.image), prompt.prompt, prompt.row] for prompt in prompts]
    settings = {"questions": digest(work), "longest": longest, "batch_size": batch_size, **(model or {})}
    numbered = list(enumerate(prompts))
    of_window = _WINDOW * (batch_size if isinstance(batch_size, int) else _GPU_ROWS)
    windows = {str(number): window for number, window in enumerate(chunks(numbered, of_window))}
    failures: list[Failure] = []

    def fail(numbered: tuple[int, Prompt], reason: str) -> None:
        number, prompt = numbered
        failures.append(Failure(number, str(number + 1), str(prompt.image), str(prompt.image), reason))
        on_failure(failures[-1])

    def replies(vlm: VLM, window: Sequence[tuple[int, Prompt]]) -> list[dict]:
        return _replies(vlm, [prompt for _, prompt in window], longest, batch_size)

    with Journal(output, settings, fresh=fresh) as journal:
        finish(journal, windows, load, replies, on_failure=fail, progress=progress)
        with replacing(output, kept=journal.kept) as file:
            for name, window in windows.items():
                for (_, prompt), reply in zip(window, outcomes_of(journal, name), strict=True):
                    if REASON not in reply:
                        row = {**prompt.row, key: reply["text"]}
                        file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
        write_failures(output, failures)
        journal.close(remove=not failures and not keep)
    return failures


def _replies(vlm: VLM, prompts: Sequence[Prompt], longest: int, batch_size: int | str) -> list[dict]:
    """For each of `prompts` the `text` of the reply, or the `reason` why there is none."""
    if not isinstance(batch_size, int):
        batch_size = _CPU_ROWS if vlm.model.device.type == "cpu" else _GPU_ROWS
    replies: dict[int, dict] = {}
    alike: dict[tuple, list[int]] = defaultdict(list)
    inputs = {}
    for number, prompt in enumerate(prompts):
        try:
            inputs[number] = vlm.ask(prompt.image, prompt.prompt)
        except InputError as error:
            replies[number] = {REASON: str(error)}
            continue
        alike[tuple((name, value.shape) for name, value in inputs[number].items())].append(number)
    for numbers in alike.values():
        for some in chunks(numbers, batch_size):
            try:
                written = _in_memory(vlm, [inputs.pop(number) for number in some], longest)
            except Exception as error:
                replies.update((number, {REASON: reason_of(error)}) for number in some)
                continue
            texts = (decode(vlm.tokenizer, ids).strip() for ids in written)
            replies.update((number, {"text": text}) for number, text in zip(some, texts, strict=True))
    return [replies[number] for number in range(len(prompts))]


def _in_memory(vlm: VLM, inputs: list[dict], longest: int) -> list[tuple[int, ...]]:
    """What is written together, or in halves where memory runs out."""
    try:
        return vlm.write_together(inputs, longest)
    except RuntimeError as error:
        if not is_out_of_memory(error) or len(inputs) == 1:
            raise
    half = len(inputs) // 2
    return _in_memory(vlm, inputs[:half], longest) + _in_memory(vlm, inputs[half:], longest)
