"""What needs no model is told before torch is imported, which takes seconds."""

import json
import subprocess
import sys

import pytest

from causal_attrib.scenes import PARK, render

# Runs many commands in one process and says of each how it ended, and whether torch was there by then.
RUNS = """
import contextlib, io, json, sys
from causal_attrib_cli.main import app
for arguments in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            app(arguments)
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, said.getvalue(), [name for name in ("torch", "transformers") if name in sys.modules]]))
"""
SCORE, SALIENCY = ("score", "park.png", "a dog"), ("saliency", "park.png", "a dog")
DETECTION = ("eval", "detection", "--captions", "labelled.jsonl")
CHAIR = ("eval", "chair", "--model", "bundled", "--objects", "objects.json", "--images", ".")
EVALUATIONS = (
    ("detection", "--captions", "labelled.jsonl"),
    ("chair", "--captions", "labelled.jsonl", "--objects", "objects.json"),
    ("pope", "--questions", "rows.jsonl"),
    ("amber", "--annotations", "objects.json", "--responses", "rows.jsonl"),
    ("background", "rows.jsonl"),
    ("faithfulness",),
    ("verdict",),
)
WRONG = [
    (("score", "no.png", "a dog"), "There is no file no.png"),
    (("score", "https://example.com/park.png", "a dog"), "pictures are not fetched"),
    (("score", "words.txt", "a dog"), "words.txt is not an image"),
    ((*SCORE, "--out", "scores.txt"), "scores.txt names no format"),
    ((*SCORE, "--out", "no/scores.json"), "no/scores.json"),
    ((*SCORE, "--outcome", "beauty"), "There is no outcome 'beauty'"),
    ((*SCORE, "--outcome", "no_such_module:f"), "no_such_module"),
    ((*SCORE, "--against", "snow"), "cannot be held against 'snow'"),
    ((*SCORE, "--against", "blur", "--outcome", "yesno"), "leave out --against"),
    ((*SCORE, "--mask", "black"), "There is no mask 'black'"),
    ((*SCORE, "--samples", "-1"), "The number of samples is -1"),
    ((*SCORE, "--samples", "9" * 20), "must be 10,000 or fewer"),
    (("score", "park.png", " "), "The caption is empty"),
    ((*SCORE, "--also", ""), "The caption is empty"),
    (("score", "park.png", "<image>"), "The caption holds nothing but places of pictures"),
    ((*SCORE, "--question", "What is it?", "--answer", ""), "The reference answer is empty"),
    ((*SCORE, "--estimator", "best"), "There is no estimator 'best'"),
    ((*SCORE, "--coupling", "tight"), "There is no coupling 'tight'"),
    ((*SCORE, "--level", "letter"), "There is no level 'letter'"),
    ((*SCORE, "--lambda-s", "nan"), "lambda_s is nan"),
    ((*SCORE, "--engine", "warp"), "There is no engine 'warp'"),
    ((*SCORE, "--batch-size", "0"), "The batch size is 0"),
    ((*SCORE, "--batch-size", "many"), "The batch size is 'many'"),
    ((*SCORE, "--seed", "-1"), "The seed is -1"),
    ((*SCORE, "--seed", "9" * 30), f"The seed is {'9' * 30}"),
    ((*SCORE, "--signals", "kl,magic"), "There is no signal 'magic'"),
    ((*SCORE, "--signals", "kl_other"), "against another picture"),
    ((*SCORE, "--outcome-words", "some"), "There is no choice of the outcome's words 'some'"),
    ((*SCORE, "--outcome-words", "content", "--outcome", "yesno"), "looks at no words of the caption"),
    ((*SCORE, "--coherence"), "the caption has no reasoning"),
    ((*SCORE, "--calibration", "mine.json"), "add --verdict"),
    ((*SCORE, "--verdict", "--mask", "mean"), "leave the verdict out"),
    ((*SCORE, "--verdict", "--calibration", "mine.json"), "mine.json cannot be read"),
    ((*SCORE, "--objects", "dog", "--input", "rows.jsonl", "--output", "x.parquet"), "IMAGE is for one caption"),
    (("score", "--input", "no.jsonl", "--output", "x.parquet"), "There is no file no.jsonl"),
    (("score", "--input", "rows.jsonl", "--output", "x.txt"), "x.txt names no format"),
    (("score", "--input", "rows.jsonl", "--output", "/dev/null"), "/dev/null is a device or a pipe"),
    (("score", "--input", "rows.jsonl", "--output", "x.csv", "--shard", "3/2"), "A shard cannot be '3/2'"),
    (("score", "--input", "words.txt", "--output", "x.csv"), "words.txt"),
    (("saliency", "no.png", "a dog"), "There is no file no.png"),
    ((*SALIENCY, "--method", "magic"), "There is no method 'magic'"),
    ((*SALIENCY, "--map-level", "pixel"), "There is no level of occlusion 'pixel'"),
    ((*SALIENCY, "--of", "letter"), "There is no kind of map 'letter'"),
    ((*SALIENCY, "--baseline", "black"), "There is no baseline 'black'"),
    ((*SALIENCY, "--baseline", "swap"), "give it by --other"),
    ((*SALIENCY, "--baseline", "swap", "--other", "no.png"), "There is no file no.png"),
    ((*SALIENCY, "--regions", "grid:x"), "There are no regions 'grid:x'"),
    ((*SALIENCY, "--regions", "grid:9999"), "99,980,001 regions, and there may be 1 to 4,096"),
    ((*SALIENCY, "--regions", "grid:99999999999999999999"), "There are no regions 'grid:9999"),
    ((*SALIENCY, "--regions", "no.npy"), "There is no file no.npy of regions"),
    ((*SALIENCY, "--samples", "0"), "samples is 0"),
    ((*SALIENCY, "--seed", "-1"), "The seed is -1"),
    ((*SALIENCY, "--seed", "9" * 30), f"The seed is {'9' * 30}"),
    ((*SALIENCY, "--batch-size", "0"), "The batch size is 0"),
    ((*SALIENCY, "--object-mask", "no.png"), "There is no mask no.png"),
    ((*SALIENCY, "--out", "words.txt"), "words.txt"),
    ((*SALIENCY, "--report", "x.gif"), "x.gif"),
    ((*SALIENCY, "--html", "x.gif"), "x.gif"),
    (("train",), "There is no data to train on"),
    (("train", "--data", "no.jsonl"), "There is no file no.jsonl"),
    (("train", "--config", "no.yaml"), "no.yaml"),
    (("train", "--data", "rows.jsonl", "--method", "magic"), "There is no method 'magic'"),
    (("train", "--data", "rows.jsonl", "--outcome", "beauty"), "There is no outcome 'beauty'"),
    (("train", "--data", "rows.jsonl", "--reward", "beauty"), "beauty"),
    (("select", "no.jsonl", "x.jsonl"), "There is no file no.jsonl"),
    (("pairs", "no.jsonl", "x.jsonl"), "There is no file no.jsonl"),
    (("doctor", "--image", "no.png"), "There is no file no.png"),
    (("merge", "x.parquet", "no.parquet"), "no.parquet"),
    (("diff", "no.parquet", "no.csv"), "no.parquet"),
    (("diff", ".", "no.csv"), ". is a folder"),
    (("eval", "verdict", "--captions", "no.jsonl"), "There is no file no.jsonl"),
    (("eval", "verdict", "--scenes", "0"), "0 scenes tell nothing"),
    (("eval", "verdict", "--scenes", "9" * 11), "from 1 to 10,000"),
    (("eval", "verdict", "--batch-size", "x"), "The batch size is 'x'"),
    (("eval", "verdict", "--model", "."), ". holds no model"),
    (("score", "park.png", "a dog", "--answer", "yes"), "An answer needs its question"),
    (("score", "park.png", "a dog", "--question", "Is it?"), "A question needs its reference answer"),
    ((*SCORE, "--outcome", "match"), "needs an answer to compare with"),
    ((*SCORE, "--outcome", "objects"), "needs the objects in the image"),
    ((*SCORE, "--model", "."), ". holds no model"),
    ((*SCORE, "--model", "words.txt"), "words.txt is a file"),
    ((*SCORE, "--model", "no/such/folder"), "There is no folder no/such/folder"),
    ((*SCORE, "--dtype", "int3"), "There is no dtype 'int3'"),
    ((*SCORE, "--device", "toaster"), "There is no device 'toaster'"),
    ((*SCORE, "--load-in-4bit", "--load-in-8bit"), "not both"),
    (("score", "--input", "train.jsonl", "--output", "x.csv"), "train.jsonl line 1 has an answer, but no caption"),
    (("score", "--input", "rows.jsonl", "--output", "x.csv"), "rows.jsonl line 1: An answer needs its question"),
    (("saliency", "park.png", " "), "The caption is empty"),
    ((*SALIENCY, "--token", "cat"), "'cat' is not a word of the caption"),
    ((*SALIENCY, "--foil", "cat"), "A foil needs the word"),
    ((*SALIENCY, "--answer", "yes"), "An answer needs its question"),
    ((*SALIENCY, "--map-samples", "9" * 9), "from 1 to 10,000"),
    ((*SALIENCY, "--map-samples", "2"), "has no use for --map-samples"),
    ((*SALIENCY, "--method", "gradient", "--regions", "grid:2"), "has no use for --regions"),
    ((*SALIENCY, "--other", "park.png"), "add --baseline swap"),
    ((*SALIENCY, "--html", "report.csv"), "names no format of a report"),
    ((*SALIENCY, "--model", "."), ". holds no model"),
    (("doctor", "--model", "."), ". holds no model"),
    (("doctor", "--caption", " "), "The caption is empty"),
    (("merge-adapter", ".", "merged"), ". holds no adapter"),
    (("select", "train.jsonl", "x.csv"), "end in .jsonl"),
    (("select", "train.jsonl", "x.jsonl", "--keep", "2"), "The share of prompts to keep is 2.0"),
    (("select", "train.jsonl", "x.jsonl", "--num-generations", "9" * 9), "from 1 to 10,000"),
    (("select", "train.jsonl", "x.jsonl", "--max-completion-length", "9" * 9), "from 1 to 131,072"),
    (("pairs", "train.jsonl", "x.csv"), "end in .jsonl"),
    (("train", "--data", "train.jsonl", "--max-completion-length", "9" * 9), "max_completion_length"),
    (("scenes", "worlds", "--count", "9" * 11), "ask for 1,000,000 or fewer"),
    (("scenes", "worlds", "--size", "9" * 6), "ask for 4,096 or fewer"),
    (("eval", "detection"), "There is nothing to describe"),
    (("eval", "detection", "--captions", "no.jsonl"), "There is no file no.jsonl"),
    ((*DETECTION, "--signals", "magic"), "There is no signal 'magic'"),
    ((*DETECTION, "--samples", "3"), "leave one of them out"),
    ((*DETECTION, "--fresh"), "add --save FILE.jsonl"),
    ((*DETECTION, "--save", "x.csv"), "end in .jsonl"),
    ((*DETECTION, "--fit", "x.csv"), "end x.csv in .json"),
    ((*DETECTION, "--curves", "x.csv"), "Curves are drawn"),
    ((*DETECTION, "--max-new-tokens", "9" * 9), "from 1 to 131,072"),
    (("eval", "detection", "--images", "."), "The ground truth is one of"),
    (("eval", "detection", "--images", ".", "--drawn-captions", "9" * 9), "from 0 to 10,000"),
    ((*CHAIR, "--save", "x.csv"), "end in .jsonl"),
    ((*CHAIR, "--save", "x.jsonl", "--max-new-tokens", "0"), "from 1 to 131,072"),
    ((*CHAIR, "--save", "x.jsonl", "--model", "words.txt"), "words.txt is a file"),
    (("eval", "background", "rows.jsonl", "--measure", "magic"), "There is no measure 'magic'"),
    (("eval", "background", "rows.jsonl"), "rows.jsonl line 1 has no key"),
    (("eval", "background", "rows.jsonl", "--per-question", "x.csv"), "end in .jsonl"),
    (("eval", "degradation", "no.jsonl"), "There is no file no.jsonl"),
    (("eval", "degradation", "--scenes", "9" * 11), "from 1 to 10,000"),
    (("eval", "degradation", "--max-new-tokens", "9" * 9), "from 1 to 131,072"),
    (("eval", "degradation", "--out", "words.txt"), "words.txt is a file"),
    (("eval", "degradation", "--model", "."), ". holds no model"),
    (("eval", "faithfulness", "--methods", "magic"), "There is no method 'magic'"),
    (("eval", "faithfulness", "--orders", "3"), "3 orders at random"),
    (("eval", "faithfulness", "--steps", "9" * 9), "from 1 to 10,000"),
    (("eval", "faithfulness", "--model", "."), ". holds no model"),
    # What a benchmark writes is JSON, whatever the name.
    *((("eval", *words, "--out", "x.csv"), "let the name of x.csv end in .json") for words in EVALUATIONS),
    (("diff", "a.parquet", "b.parquet", "--out", "x.csv"), "let the name of x.csv end in .json"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """For each command of `WRONG` its exit code, what it said, and which of the slow packages were imported."""
    folder = tmp_path_factory.mktemp("early")
    render(PARK, size=64)[0].save(folder / "park.png")
    (folder / "words.txt").write_text("a dog\n")
    (folder / "rows.jsonl").write_text(
        '{"image": "park.png", "caption": "a dog", "prompt": "Is it?", "answer": "yes"}\n'
    )
    (folder / "train.jsonl").write_text('{"image": "park.png", "prompt": "Is it?", "answer": "yes"}\n' * 2)
    (folder / "labelled.jsonl").write_text(
        '{"image": "park.png", "caption": "a dog and a cat", "true": ["dog"], "false": ["cat"]}\n'
    )
    (folder / "objects.json").write_text('{"park.png": ["dog"]}')
    commands = json.dumps([arguments for arguments, _ in WRONG])
    done = subprocess.run(
        [sys.executable, "-c", RUNS], input=commands, capture_output=True, text=True, cwd=folder, check=True
    )
    ends = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip((arguments for arguments, _ in WRONG), ends, strict=True))


@pytest.mark.parametrize("arguments, sentence", WRONG, ids=lambda of: of if isinstance(of, str) else " ".join(of))
def test_it_is_one_sentence_without_torch(told, arguments, sentence):
    code, said, slow = told[arguments]
    assert code == 2 and said.startswith("Error: ") and said.count("\n") == 1, said
    assert sentence in said
    assert slow == []


def test_settings_are_read_without_torch():
    code = (
        "import sys; import causal_attrib.scores.settings, causal_attrib.scores.saliency_methods.choice\n"
        "import causal_attrib.scores, causal_attrib.outcomes.names\n"
        "print([name for name in ('torch', 'numpy', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
