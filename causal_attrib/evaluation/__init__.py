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

A benchmark reads rows into plain objects, judges each, and scores them: `chair`, `pope`, `amber`. Whether those objects
come from a file or from a model that answers is nothing to the scores.

`replies` lets a model write captions and answers, `batch` scores every token of a file of captions, `merge` joins its
shards, and `diff` compares the files of two models. Long work survives a kill by its `journal`.
"""
