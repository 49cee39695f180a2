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
import json
import math
import os
import string
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, overload

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.io.parsing import PARSER_ERRORS, reason_of, shown
from causal_attrib.results import formats
from causal_attrib.results.checks import check_record
from causal_attrib.results.tokens import COLUMNS, NUMBERS, SCORES, VERDICT_COLUMNS, Token, signal_column

if TYPE_CHECKING:
    import pandas as pd
    import shap
    from datasets import Dataset
    from matplotlib.figure import Figure

    from causal_attrib.io.pictures import ImageLike

SCHEMA = 1
# What only those results have that were asked for it.
_ON_REQUEST = ("verdict", "coherence", "signals", "refinement", "sampling")


@dataclass(frozen=True, repr=False)
class Attribution:
    """Scores of the tokens of one caption, with everything needed to tell what they mean and to make them again.

    The dictionaries are those of the JSON schema: `image` (path, sha256, width, height), `model` (id, revision, dtype,
    device, attn), `outcome` (name, ...), `settings` (every flag that matters), `cost` (forwards, positions, seconds)
    and `tool` (name, version). `generated` says that the model wrote the caption itself. `verdict` says how verdicts
    were reached and how often they err (calibrated, note, thresholds, calibration), `coherence` how strongly each part
    of a reasoned answer drives the next (channels, hardened, aggregate, tokens, draws, seed), and `signals` which ones
    tokens have (columns: for each what it means, which way it points and how those of a word become one; left_out,
    with the reasons; the forwards and positions that they took); None where not asked for.
    `refinement` says of the level auto which parts were hidden as a whole (kind, first and last token, scores, opened),
    and what those that were not opened amount to: each is worth less than or as much as `below`, all of them at once
    `together`, in nats or points of the outcome (`unit`). `sampling` has bounds of sufficiency that hold however many
    completions were drawn (`low`, `high`, at `confidence`) and how many were (`draws`), each a list by token.

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
    signals: dict | None = None
    refinement: dict | None = None
    sampling: dict | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        for name in ("image", "model", "outcome", "settings", "cost", "tool", *_ON_REQUEST):
            # A copy that is what it will be when loaded again: tuples are lists, and what JSON cannot hold fails here.
            object.__setattr__(self, name, json.loads(formats.json_bytes(getattr(self, name))))
        for token in self.tokens:
            values = {name: getattr(token, name) for name in NUMBERS} | (token.signals or {})
            for name, value in values.items():
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
        """The names of what is known of each token, signals apart."""
        return COLUMNS if self.verdict is None else COLUMNS + VERDICT_COLUMNS

    @property
    def signal_names(self) -> tuple[str, ...]:
        """The names of the signals that each token has."""
        return () if self.signals is None else tuple(self.signals["columns"])

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

    @property
    def words(self) -> Words:
        """The words of the caption: `attribution.words[2]` is one as a `Token`, `attribution.words["dog"]` all of that
        name, and `attribution.words()` the same caption with one entry per word in place of one per token.

        `logprob` and `entropy` are summed: by the chain rule the sums are the log-probability of the word and an
        estimate of its entropy. The causal scores are averaged over the word's tokens. That is exact for scores made
        with `level="word"`, where all tokens of a word are hidden at once and share one value; otherwise it is a
        summary. The mean of `sufficiency_se` is an upper bound of the standard error. The verdict is that which all
        tokens of the word bear, and signals are summed, averaged or those of the first token, as each says of itself.
        `id` is None.
        """
        return Words(replace(self, tokens=[self._merge(index, word) for index, word in enumerate(self._words())]))

    @property
    def against(self) -> tuple[Token, ...]:
        """The words that the picture speaks against.

        Raises:
            InputError: there are no verdicts.
        """
        if self.verdict is None:
            raise InputError("The caption was scored without verdicts; score it with verdict=True.")
        return tuple(word for word in self.words if word.verdict == "against the image")

    @property
    def summary(self) -> str:
        """What the caption comes to, in a sentence or two."""
        from causal_attrib import views

        return views.headline(self)

    def to_frame(self, level: str = "token") -> pd.DataFrame:
        """A pandas frame with one row per token and the columns of `Token`; scores that are None are NaN.

        Args:
            level: "token", or "word" for one row per word (`words`).

        Each signal is a column with its name; that of the signal evidence is `signal_evidence`, since `evidence` is of
        words and verdicts.
        """
        import pandas as pd

        if level not in ("token", "word"):
            raise InputError(f"There is no frame by {level!r}; choose one of token, word.")
        if level == "word":
            return self.words().to_frame()
        signals = {name: signal_column(name) for name in self.signal_names}
        rows = [
            asdict(token) | {column: (token.signals or {}).get(name) for name, column in signals.items()}
            for token in self.tokens
        ]
        frame = pd.DataFrame(rows, columns=[*self.columns, *signals.values()])
        types = {"id": "Int64"} | {name: "int64" for name in ("index", "word", "char_start", "char_end")}
        numbers = [name for name in NUMBERS if name in self.columns] + list(signals.values())
        return frame.astype(types | dict.fromkeys(numbers, "float64"))

    def to_shap(self, score: str = "necessity") -> shap.Explanation:
        """The scores as shap's plots take them: `shap.plots.text(attribution.to_shap())`.

        Its `values` are the score of each token, 0 where there is none. shap's plots show values that add up to the
        outcome, which effects of hiding single tokens do not: `base_values` is the outcome less their sum, and no
        outcome of an empty caption.

        Raises:
            InputError: shap is not installed, or no token has the score.
        """
        try:
            import shap
        except ImportError:
            raise InputError("to_shap needs shap: pip install shap.") from None
        import numpy as np

        there = [name for name in NUMBERS if any(getattr(token, name) is not None for token in self.tokens)]
        if score not in there:
            raise InputError(f"No token has the score {score!r}; choose one of {', '.join(there)}.")
        values = np.array([getattr(token, score) or 0.0 for token in self.tokens])
        return shap.Explanation(
            values=values,
            base_values=(self.outcome.get("value") or 0.0) - values.sum(),
            data=np.array([token.text for token in self.tokens]),
            feature_names=[token.text for token in self.tokens],
        )

    def to_dataset(self) -> Dataset:
        """The same as a `Dataset` of Hugging Face.

        Raises:
            InputError: `datasets` is not installed.
        """
        try:
            from datasets import Dataset
        except ImportError:
            raise InputError("A Dataset needs datasets; install it with pip install datasets.") from None
        return Dataset.from_pandas(self.to_frame(), preserve_index=False)

    # Showing

    def __repr__(self) -> str:
        caption = self.caption if len(self.caption) <= 60 else f"{self.caption[:57]}..."
        return f"Attribution({caption!r}, tokens={len(self.tokens)})"

    def show(self) -> None:
        """In a notebook the whole report; on a terminal the caption and the table of its tokens, coloured where the
        terminal has colours."""
        from rich.console import Console

        from causal_attrib import views

        if views.in_notebook():
            views.show_in_notebook(self)
            return
        Console().print(views.table(self))

    def plot(self, picture: ImageLike | None = None) -> Figure:
        """A figure for a paper: the picture, and a bar per token; `.savefig("scores.pdf")` saves it as vector graphics.

        `picture` is the image file, as path or bytes, if it is no longer where it was when it was scored.
        """
        from causal_attrib import views

        return views.plot_scores(self, picture)

    def _repr_html_(self) -> str:
        from causal_attrib import views

        return views.inline(self)

    # Saving and loading

    def to_dict(self) -> dict:
        """The JSON object of schema version 1."""
        names: tuple[str, ...] = ("image", "prompt", "question", "answer", "caption", "generated")
        names += ("model", "outcome", "settings", "cost", "tool")
        names += tuple(name for name in _ON_REQUEST if getattr(self, name) is not None)
        columns = self.columns if self.signals is None else (*self.columns, "signals")
        tokens = [{name: copy.copy(getattr(token, name)) for name in columns} for token in self.tokens]
        return {"schema": SCHEMA, **{name: copy.deepcopy(getattr(self, name)) for name in names}, "tokens": tokens}

    @classmethod
    def from_dict(cls, record: dict) -> Attribution:
        """The attribution that `to_dict` was called on.

        Raises:
            InputError: it is not such an object, or one of a later schema.
        """
        if not isinstance(record, dict) or record.get("schema") != SCHEMA:
            schema = record.get("schema") if isinstance(record, dict) else None
            raise InputError(
                f"This is schema {shown(schema)}, and this version of copo reads schema {SCHEMA}: "
                "update copo or score again."
            )
        known = {column.name for column in fields(cls)} - {"tokens"}
        try:
            check_record(record)
            tokens = [Token(**token) for token in record["tokens"]]
            return cls(tokens=tokens, **{name: value for name, value in record.items() if name in known})
        except InputError:
            raise
        except PARSER_ERRORS as error:
            raise InputError(
                f"A field of the saved attribution is missing or unknown ({reason_of(error)}): score again."
            ) from None

    def to_bytes(self, format: str) -> bytes:
        """What `save` writes, for a pipe or an upload. `format` is one of its suffixes, without the dot."""
        return formats.to_bytes(self, format)

    def save(self, path: str | os.PathLike) -> None:
        """Write to `path`; the suffix chooses the format: .json, .jsonl, .csv, .parquet, .html, .png, .pdf or .svg.

        The first five load again with every number exact; the last three are a figure of the caption, the picture and
        the scores. CSV and parquet hold one row per token, with the columns of `to_frame` and `image` and `caption_id`
        beside them; read the CSV elsewhere with `pandas.read_csv(path, comment="#")`. JSONL files can be concatenated
        (see `load_all`); HTML is the report to look at or mail. An existing file is replaced, and never left
        half-written.

        Raises:
            InputError: the suffix is none of these, or the path cannot be written.
        """
        format = formats.format_of(path, (*formats.FORMATS, *formats.FIGURES))
        formats.check_output(path, (format,))
        replace_file(path, self.to_bytes(format))

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
        records = formats.read(path)
        try:
            return [cls.from_dict(record) for record in records]
        except InputError as error:
            raise InputError(f"{path} cannot be loaded. {error}") from None

    # Private: words

    def _words(self) -> list[list[Token]]:
        return [list(tokens) for _, tokens in groupby(self.tokens, key=lambda token: token.word)]

    def _text_of(self, word: list[Token]) -> str:
        return "".join(token.text for token in word)

    def _merge(self, index: int, word: list[Token]) -> Token:
        def combined(name: str) -> Any:
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
            signals=None if self.signals is None else {name: self._pooled(name, word) for name in self.signal_names},
        )

    def _pooled(self, name: str, word: list[Token]) -> float:
        values = [(token.signals or {})[name] for token in word]
        pool = (self.signals or {})["columns"][name]["pool"]
        return values[0] if pool == "first" else math.fsum(values) / (len(values) if pool == "mean" else 1)


class Words:
    """The words of a caption; called, they are an `Attribution` with one entry for each."""

    def __init__(self, attribution: Attribution):
        self._attribution = attribution

    def __call__(self) -> Attribution:
        return self._attribution

    @overload
    def __getitem__(self, key: int) -> Token: ...
    @overload
    def __getitem__(self, key: slice | str) -> Attribution: ...
    def __getitem__(self, key: int | slice | str) -> Token | Attribution:
        """As of an `Attribution`, whose entries are words."""
        return self._attribution[key]

    def __len__(self) -> int:
        return len(self._attribution)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._attribution)

    def __repr__(self) -> str:
        return f"Words({', '.join(repr(word.text.strip()) for word in self)})"


def plain_word(word: str) -> str:
    """A word as it is looked up: without the space, case and punctuation around it; punctuation alone stays."""
    word = word.strip().casefold()
    return word.strip(string.punctuation) or word
