"""Hallucination benchmarks on captions and answers, with an interval beside every number.

>>> from causal_attrib.evaluation.chair import scores as chair
>>> from causal_attrib.words.lexicon import Lexicon
>>> from causal_attrib.words.matcher import Matcher
>>> captions = [chair.ChairCaption("1", "a dog and a cat"), chair.ChairCaption("2", "two cats on a bed")]
>>> truth = {"1": frozenset({"dog"}), "2": frozenset({"cat", "bed"})}
>>> matcher = Matcher(Lexicon("pets", (("dog",), ("cat",), ("bed",))))
>>> [scores] = chair.score(chair.judge(captions, truth, matcher))
>>> scores.chair_i.value, scores.chair_s.value
(25.0, 50.0)

Each benchmark is a folder: `chair`, `pope`, `amber`, `verdict`, `detection`, `degradation`, `background`,
`faithfulness`. Its `benchmark.evaluate(...)`, which is its public face, reads files, judges rows, scores them, and
returns a `Result` with `to_frame()` and `to_dict()`; the command line calls it and prints. Whether rows come from a
file or from a model that answers is nothing to the scores: `prompts` of a benchmark says what it asks, and `replies`
lets a model answer.
"""
