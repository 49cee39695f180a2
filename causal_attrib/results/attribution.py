"""The result: the tokens of one caption and what each was found to be worth.

An `Attribution` is immutable, slices like a sequence, shows itself, and loads again from whatever it was saved to:

>>> from causal_attrib.results.attribution import Attribution, Token
>>> tokens = [
...     Token(0, "a", 64, 0, 0, 1, logprob=-0.5, entropy=1.0, necessity=0.0),
...     Token(1, " fris", 90, 1, 1, 6, logprob=-2.0, entropy=3.0, necessity=0.5),
...     Token(2, "bee", 91, 1, 6, 9, logprob=-0.25, entropy=0.25, necessity=0.25),
... ]
>>> attribution = Attribution(caption="a frisbee", tokens=tokens)
>>> attribution
Attribution('a frisbee', tokens=3)
>>> [token.text for token in attribution["frisbee"].tokens]
[' fris', 'bee']
>>> attribution[1].necessity
0.5
>>> attribution.words()["frisbee"][0].logprob
-2.25
"""

from __future__ import annotations

import copy
import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import string
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, overload

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from causal_attrib.io.pictures import ImageLike

SCHEMA = 1
FORMATS = ("json", "jsonl", "csv", "parquet", "html")

_CSV_MARK = "# copo: "
# The element of the report that holds what is loaded again: one attribution, or a list of several.
HTML_MARK = '<script type="application/json" id="copo-attribution">'


@dataclass(frozen=True)
class Token:
    """One token of a caption, where it stands in it, and its scores.

    A score is None where it was not asked for or makes no sense (tags, answer tokens).

    index:              place among the caption's tokens, from 0
    text:               the slice of the caption it covers, a leading space included
    id:                 its id in the model's vocabulary (None for a whole word, see `Attribution.words`)
    word:               number of the word it belongs to, from 0
    char_start:         where `text` begins in the caption, in characters
    char_end:           where it ends (exclusive)
    logprob:            log-probability given the image and all that precedes, in nats; <= 0
    entropy:            entropy of the prediction at its place, in nats; >= 0
    sufficiency:        how much adding it to what precedes raises the outcome; higher means it helps more
    sufficiency_se:     standard error of `sufficiency` over the sampled completions; None when nothing was sampled
    necessity:          how much hiding it lowers the outcome; negative: the outcome is better without it
    causal_completeness: lambda_s * clip(sufficiency, 0, 1) + lambda_n * clip(necessity, 0, 1)

    Verdicts are of words; where they were asked for, each token bears that of its word:

    evidence:           log-probability of the word with the image less that without, in nats
    p_false:            calibrated probability that the word is false, in [0, 1]
    verdict:            "grounded", "against the image", "language prior" or "undecided"
    """

    index: int
    text: str
    id: int | None
    word: int
    char_start: int
    char_end: int
    logprob: float | None = None
    entropy: float | None = None
    sufficiency: float | None = None
    sufficiency_se: float | None = None
    necessity: float | None = None
    causal_completeness: float | None = None
    evidence: float | None = None
    p_false: float | None = None
    verdict: str | None = None


_FIELDS = tuple(column.name for column in fields(Token))
# What every result has, and what only those have that were asked for verdicts.
COLUMNS, VERDICT_COLUMNS = _FIELDS[: _FIELDS.index("evidence")], _FIELDS[_FIELDS.index("evidence") :]
SCORES = COLUMNS[COLUMNS.index("logprob") :]
_NUMBERS = (*SCORES, "evidence", "p_false")


@dataclass(frozen=True, repr=False)
class Attribution:
    """Scores of the tokens of one caption, with everything needed to tell what they mean and to make them again.

    The dictionaries are those of the JSON schema: `image` (path, sha256, width, height), `model` (id, revision, dtype,
    device, attn), `outcome` (name, ...), `settings` (every flag that matters), `cost` (forwards, positions, seconds)
    and `tool` (name, version). `generated` says that the model wrote the caption itself. `verdict` says how verdicts
    were reached and how often they err (calibrated, note, thresholds, calibration), `coherence` how strongly each part
    of a reasoned answer drives the next (channels, hardened, aggregate, tokens, draws, seed); None where not asked for.

    Raises:
        InputError: a score is NaN or infinite, as happens with broken weights or a dtype that overflows.
    """

    caption: str
    tokens: Sequence[Token]
    image: dict = field(default_factory=dict)
    prompt: str | None = None
    question: str | None = None
    answer: str | None = None
    model: dict = field(default_factory=dict)
    outcome: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    cost: dict = field(default_factory=dict)
    tool: dict = field(default_factory=dict)
    generated: bool = False
    verdict: dict | None = None
    coherence: dict | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        for name in ("image", "model", "outcome", "settings", "cost", "tool", "verdict", "coherence"):
            # A copy that is what it will be when loaded again: tuples are lists, and what JSON cannot hold fails here.
            object.__setattr__(self, name, json.loads(_json(getattr(self, name))))
        for token in self.tokens:
            for name in _NUMBERS:
                value = getattr(token, name)
                if value is not None and not math.isfinite(value):
                    raise InputError(
                        f"The {name} of token {token.index} ({token.text!r}) is {value}, which is no score: the "
                        "model's weights are broken or its dtype overflows, so check the checkpoint or try float32."
                    )

    # Reading

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self.tokens)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of what is known of each token."""
        return COLUMNS if self.verdict is None else COLUMNS + VERDICT_COLUMNS

    @overload
    def __getitem__(self, key: int) -> Token: ...
    @overload
    def __getitem__(self, key: slice | str) -> Attribution: ...
    def __getitem__(self, key: int | slice | str) -> Token | Attribution:
        """`attribution[3]` is a token; `attribution[2:5]` and `attribution["red frisbee"]` are smaller attributions.

        A string finds every occurrence of a word, or of several words in a row, whatever its case and the punctuation
        around it. The smaller attribution keeps the whole caption, so that character offsets stay true.

        Raises:
            KeyError: no such word; the message names the words there are.
        """
        if isinstance(key, slice):
            return replace(self, tokens=self.tokens[key])
        if not isinstance(key, str):
            return self.tokens[key]
        words = self._words()
        names = [plain_word(self._text_of(word)) for word in words]
        wanted = [plain_word(part) for part in key.split()]
        hits = [at for at in range(len(names)) if wanted and names[at : at + len(wanted)] == wanted]
        if not hits:
            raise KeyError(
                f"{key!r} is not in the caption; its words are: {', '.join(dict.fromkeys(filter(None, names)))}"
            )
        chosen = sorted({at + step for at in hits for step in range(len(wanted))})
        return replace(self, tokens=[token for at in chosen for token in words[at]])

    def words(self) -> Attribution:
        """The same caption with one entry per word in place of one per token.

        `logprob` and `entropy` are summed: by the chain rule the sums are the log-probability of the word and an
        estimate of its entropy. The causal scores are averaged over the word's tokens. That is exact for scores made
        with `level="word"`, where all tokens of a word are hidden at once and share one value; otherwise it is a
        summary. The mean of `sufficiency_se` is an upper bound of the standard error. The verdict is that which all
        tokens of the word bear. `id` is None.
        """
        return replace(self, tokens=[self._merge(index, word) for index, word in enumerate(self._words())])

    def to_frame(self) -> pd.DataFrame:
        """A pandas frame with one row per token and the columns of `Token`; scores that are None are NaN."""
        import pandas as pd

        frame = pd.DataFrame([asdict(token) for token in self.tokens], columns=list(self.columns))
        types = {"id": "Int64"} | {name: "int64" for name in ("index", "word", "char_start", "char_end")}
        return frame.astype(types | {name: "float64" for name in _NUMBERS if name in self.columns})

    # Showing

    def __repr__(self) -> str:
        caption = self.caption if len(self.caption) <= 60 else f"{self.caption[:57]}..."
        return f"Attribution({caption!r}, tokens={len(self.tokens)})"

    def show(self) -> None:
        """Print the caption and the table of its tokens, coloured where the terminal has colours."""
        from rich.console import Console

        from causal_attrib import views

        Console().print(views.table(self))

    def plot(self, picture: ImageLike | None = None) -> Figure:
        """A figure for a paper: the picture, and a bar per token; `.savefig("scores.pdf")` saves it as vector graphics.

        `picture` is the image file, as path or bytes, if it is no longer where it was when it was scored.
        """
        from causal_attrib import views

        return views.plot_scores(self, picture)

    def _repr_html_(self) -> str:
        from causal_attrib import views

        return views.notebook(self)

    # Saving and loading

    def to_dict(self) -> dict:
        """The JSON object of schema version 1."""
        tokens = [{name: getattr(token, name) for name in self.columns} for token in self.tokens]
        return self._provenance() | {"tokens": tokens}

    @classmethod
    def from_dict(cls, record: dict) -> Attribution:
        """The attribution that `to_dict` was called on.

        Raises:
            InputError: it is not such an object, or one of a later schema.
        """
        if record.get("schema") != SCHEMA:
            raise InputError(
                f"This is schema {record.get('schema')!r}, and this version of copo reads schema {SCHEMA}: "
                "update copo or score again."
            )
        known = {column.name for column in fields(cls)} - {"tokens"}
        try:
            tokens = [Token(**token) for token in record["tokens"]]
            return cls(tokens=tokens, **{name: value for name, value in record.items() if name in known})
        except (KeyError, TypeError) as error:
            raise InputError(
                f"A field of the saved attribution is missing or unknown ({error}): score again."
            ) from None

    def to_bytes(self, format: str) -> bytes:
        """What `save` writes, for a pipe or an upload. `format` is one of json, jsonl, csv, parquet, html."""
        if format == "json":
            return _json(self.to_dict(), indent=2)
        if format == "jsonl":
            return _json(self.to_dict())
        if format == "csv":
            return self._to_csv()
        if format == "parquet":
            return self._to_parquet()
        if format == "html":
            from causal_attrib import views

            return views.report(self).encode()
        raise InputError(f"There is no format {format!r}; choose one of {', '.join(FORMATS)}.")

    def save(self, path: str | os.PathLike) -> None:
        """Write to `path`; the suffix chooses the format: .json, .jsonl, .csv, .parquet or .html.

        All five load again with every number exact. CSV and parquet hold one row per token, with the columns of
        `to_frame` and `image` and `caption_id` beside them; read the CSV elsewhere with
        `pandas.read_csv(path, comment="#")`. JSONL files can be concatenated (see `load_all`); HTML is the report to
        look at or mail. An existing file is replaced, and never left half-written.

        Raises:
            InputError: the suffix is none of these, or the path cannot be written.
        """
        check_writable(path)
        replace_file(path, self.to_bytes(_format_of(path)))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Attribution:
        """Read what `save` wrote.

        Raises:
            InputError: no such file, not one of ours, or a JSONL file that holds several (use `load_all`).
        """
        loaded = cls.load_all(path)
        if len(loaded) != 1:
            raise InputError(f"{path} holds {len(loaded)} attributions; read it with Attribution.load_all.")
        return loaded[0]

    @classmethod
    def load_all(cls, path: str | os.PathLike) -> list[Attribution]:
        """Read every attribution of a file: one; for JSONL one per line; for a report all that it shows.

        Files that `copo score --input` wrote hold many in every format (`caption_files`).
        """
        read = {
            "json": _read_json,
            "jsonl": _read_jsonl,
            "csv": _read_csv,
            "parquet": _read_parquet,
            "html": _read_html,
        }
        format = _format_of(path)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); check the path.") from None
        try:
            return [cls.from_dict(record) for record in read[format](data)]
        except InputError as error:
            raise InputError(f"{path} cannot be loaded. {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            raise InputError(f"{path} is not an attribution saved by copo, or it is damaged: score again.") from None

    # Private: words

    def _words(self) -> list[list[Token]]:
        return [list(tokens) for _, tokens in groupby(self.tokens, key=lambda token: token.word)]

    def _text_of(self, word: list[Token]) -> str:
        return "".join(token.text for token in word)

    def _merge(self, index: int, word: list[Token]) -> Token:
        def combined(name: str) -> float | None:
            values = [value for value in (getattr(token, name) for token in word) if value is not None]
            if not values:
                return None
            return math.fsum(values) / (1 if name in ("logprob", "entropy") else len(values))

        return Token(
            index=index,
            text=self._text_of(word),
            id=None,
            word=word[0].word,
            char_start=word[0].char_start,
            char_end=word[-1].char_end,
            **{name: combined(name) for name in SCORES},
            **{name: getattr(word[0], name) for name in VERDICT_COLUMNS},
        )

    # Private: formats

    def _provenance(self) -> dict:
        order = ("image", "prompt", "question", "answer", "caption", "generated")
        order += ("model", "outcome", "settings", "cost", "tool")
        order += tuple(name for name in ("verdict", "coherence") if getattr(self, name) is not None)
        return {"schema": SCHEMA} | {name: copy.deepcopy(getattr(self, name)) for name in order}

    @property
    def _caption_id(self) -> str:
        """Tells captions apart where rows of several are put together: same picture, prompt and caption, same id."""
        told = [self.image.get("sha256"), self.prompt, self.question, self.answer, self.caption]
        return hashlib.sha256(_json(told)).hexdigest()[:16]

    def _rows(self) -> pd.DataFrame:
        frame = self.to_frame()
        frame.insert(0, "image", self.image.get("path") or "")
        frame.insert(1, "caption_id", self._caption_id)
        return frame

    def _to_csv(self) -> bytes:
        # Every string is quoted, so that a "#" in a token is not taken for the beginning of a comment.
        rows = self._rows().to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        return _CSV_MARK.encode() + _json(self._provenance()) + rows.encode()

    def _to_parquet(self) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pandas(self._rows(), preserve_index=False)
        table = table.replace_schema_metadata({**table.schema.metadata, b"copo": _json(self._provenance())})
        sink = io.BytesIO()
        pq.write_table(table, sink)
        return sink.getvalue()


def check_writable(path: str | os.PathLike) -> None:
    """Raise an `InputError` unless an attribution can be saved at `path`: call it before the work, not after.

    A probe file is made and removed beside it, since permission bits do not tell of read-only file systems.
    """
    path = Path(path)
    _format_of(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the path of a file to write.")
    try:
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path} cannot be written ({reason}); choose another place for the output.") from None


def _format_of(path: str | os.PathLike) -> str:
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise InputError(f"The suffix of {path} names no format; end it in one of {known}.")
    return suffix


def plain_word(word: str) -> str:
    """A word as it is looked up: without the space, case and punctuation around it; punctuation alone stays."""
    word = word.strip().casefold()
    return word.strip(string.punctuation) or word


def _json(value: object, indent: int | None = None) -> bytes:
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent) + "\n").encode()


def _read_json(data: bytes) -> list[dict]:
    return [json.loads(data)]


def _read_jsonl(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.split(b"\n") if line.strip()]


def _read_html(data: bytes) -> list[dict]:
    read = json.loads(re.search(f"{re.escape(HTML_MARK)}(.*?)</script>", data.decode(), re.DOTALL).group(1))
    return read if isinstance(read, list) else [read]


def _read_csv(data: bytes) -> list[dict]:
    if not data.startswith(_CSV_MARK.encode()):
        from causal_attrib.results.caption_files import records_of_csv

        return list(records_of_csv(io.StringIO(data.decode(), newline="")))
    provenance, _, rows = data.decode().partition("\n")
    texts = csv.DictReader(io.StringIO(rows, newline=""))
    return [json.loads(provenance.removeprefix(_CSV_MARK)) | {"tokens": [token_of_text(row) for row in texts]}]


def token_of_text(row: dict[str, str]) -> dict:
    """A row of a CSV file as the token that it was."""
    kinds = {"text": str, "verdict": str} | {name: float for name in _NUMBERS}
    there = [name for name in _FIELDS if name in row or name in COLUMNS]
    return {name: kinds.get(name, int)(row[name]) if row[name] or name == "text" else None for name in there}


def _read_parquet(data: bytes) -> list[dict]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise ValueError(error) from error
    if "about" in table.column_names:
        from causal_attrib.results.caption_files import records_of

        return list(records_of(table.to_pylist()))
    there = [name for name in _FIELDS if name in table.column_names or name in COLUMNS]
    return [json.loads(table.schema.metadata[b"copo"]) | {"tokens": table.select(there).to_pylist()}]
