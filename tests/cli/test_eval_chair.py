import json

import pytest

from tests.evaluation.benchmark_files import benchmark_file, load

SYNONYMS = "dog, puppy\ncat\nbus\nhot dog\nchair, seat\ntoilet\n"
CAPTIONS = [
    {"model": "a", "image_id": 1, "caption": "A puppy and a cat."},
    {
        "model": "a",
        "image_id": "COCO_val2014_000000000002.jpg",
        "caption": "The seat of a toilet in a bus near a cat. And a",
    },
    {"model": "b", "image_id": 1, "caption": "a hot dog"},
    {"model": "b", "image_id": 2, "caption": "nothing"},
]
OBJECTS = {"1": ["dog"], "2": ["bus", "cat", "toilet"]}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, CAPTIONS)))
    (tmp_path / "objects.json").write_text(json.dumps(OBJECTS))
    (tmp_path / "synonyms.txt").write_text(SYNONYMS)
    return tmp_path


def arguments(files, *more):
    return (
        *("eval", "chair", "--captions", files / "captions.jsonl", "--objects", files / "objects.json"),
        *("--lexicon", files / "synonyms.txt", "--bootstrap", "200", *more),
    )


def record(copo, *arguments):
    result = copo(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("rules", ["official", "repaired"])
def test_the_expected_scores_to_the_last_digit(copo, rules):
    found = record(
        copo,
        *("eval", "chair", "--captions", benchmark_file("chair/lvlm_captions_coco300.jsonl")),
        *("--objects", benchmark_file("chair/coco2014_objects.json.gz"), "--group-by", "system,prompt"),
        *("--lexicon", benchmark_file("chair/synonyms.txt"), "--rules", rules, "--bootstrap", "100"),
    )
    expected = load("chair/expected_chair300.json")
    assert len(found["systems"]) == len(expected) == 10
    for one in found["systems"]:
        wanted = expected["/".join(one["system"].values())][rules]
        assert [one[name]["value"] for name in ("chair_s", "chair_i", "recall")] == [
            *[wanted["CHAIRs"], wanted["CHAIRi"], wanted["recall"]]
        ]
        assert [one[name] for name in ("captions", "mentions", "hallucinated")] == [
            *[wanted["n"], wanted["mentions"], wanted["hall"]]
        ]
        assert one["chair_i"]["low"] <= wanted["CHAIRi"] <= one["chair_i"]["high"]
    never = ["motor bike", "airbus", "bus", "minibus", "cheesecake", "iphone"]
    told = " ".join(found["warnings"])
    assert [f'"{word}"' in told for word in never] == [rules == "official"] * 6
    assert ('"bus" 131' in told) == (rules == "official")


def test_a_table(copo, files):
    result = copo(*arguments(files, "--group-by", "model"))
    assert result.exit_code == 0, result.output
    assert "rules=official" in result.stdout and "(6 objects, 8 words)" in result.stdout
    assert "50.0 [" in result.stdout and "95 % bootstrap intervals" in result.stdout
    assert 'Warning: the rules official can never match "bus"' in result.stderr
    assert copo(*arguments(files, "--quiet")).stderr == ""


def test_places_of_words(copo, files):
    out, rows_file = files / "out.json", files / "per_caption.jsonl"
    printed = record(copo, *arguments(files, "--rules", "repaired", "--per-caption", rows_file, "--out", out))
    assert json.loads(out.read_text()) == printed
    assert json.loads(copo(*arguments(files, "--rules", "repaired", "--out", "-")).stdout) == printed
    assert printed["systems"][0]["objects"]["cat"] == {"mentions": 2, "hallucinated": 1}
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    assert [row["image_id"] for row in rows] == ["1", "2", "1", "2"] and rows[1]["objects"] == ["bus", "cat", "toilet"]
    for row in rows:
        for mention in row["mentions"]:
            assert row["caption"][mention["char_start"] : mention["char_end"]].lower() == mention["word"]
            assert mention["hallucinated"] == (mention["node"] not in OBJECTS[row["image_id"]])
    assert [mention["node"] for mention in rows[1]["mentions"]] == ["toilet", "bus", "cat"]
    assert [row["chair_i"] for row in rows] == [50, 0, 100, 0]


def test_the_same_seed_prints_the_same(copo, files):
    runs = [copo(*arguments(files, "--json", "--seed", seed)).stdout for seed in (1, 1, 2)]
    assert runs[0] == runs[1]


def test_truncated_captions(copo, files):
    found = record(copo, *arguments(files, "--drop-truncated"))
    assert any("1 of 4 captions lost a last sentence" in note for note in found["warnings"])


def test_coco_files(copo, files):
    coco = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [{"image_id": 1, "category_id": 1}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (files / "instances.json").write_text(json.dumps(coco))
    (files / "references.json").write_text(json.dumps({"annotations": [{"image_id": 1, "caption": "two cats"}]}))
    common = ("eval", "chair", "--captions", files / "captions.jsonl", "--lexicon", files / "synonyms.txt")
    common += ("--instances", files / "instances.json", "--bootstrap", "100")
    alone = record(copo, *common)["systems"][0]
    with_references = record(copo, *common, "--references", files / "references.json")["systems"][0]
    assert (alone["hallucinated"], with_references["hallucinated"]) == (4, 3)


def test_images_without_ground_truth(copo, refused, files):
    (files / "objects.json").write_text(json.dumps({"1": ["dog"]}))
    said = refused(*arguments(files))
    assert "1 images have no ground truth (2; the first at" in said and "captions.jsonl line 2" in said
    found = record(copo, *arguments(files, "--unknown-images", "skip"))
    assert found["systems"][0]["captions"] == 2 and "2 captions of 1 images" in " ".join(found["warnings"])


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--rules", "best"], "official, repaired"),
        (["--unknown-images", "guess"], "error or skip"),
        (["--instances", "x.json"], "one of --objects and --instances"),
        (["--references", "x.json"], "--references adds to --instances"),
        (["--bootstrap", "5"], "5 bootstrap resamples"),
        (["--seed", "-1"], "seed"),
        (["--image-key", "picture"], "captions.jsonl line 1 has no key 'picture'"),
        (["--caption-key", "words"], "name the right one with --caption-key"),
        (["--group-by", "system"], "no key 'system'"),
        (["--out", "no/such/folder/x.json"], "cannot be written"),
        (["--per-caption", "no/such/folder/x.jsonl"], "cannot be written"),
        (["--out", "pyproject.toml/x.json"], "cannot be written"),
    ],
    ids=" ".join,
)
def test_values_that_cannot_be(refused, files, flags, said):
    assert said in refused(*arguments(files, *flags, "--quiet"))


def test_a_bad_row_names_its_line_and_key(refused, files):
    (files / "captions.jsonl").write_text('{"image_id": 1, "caption": "a dog"}\n{"image_id": 1, "caption": 7}\n')
    said = refused(*arguments(files))
    assert "captions.jsonl line 2" in said and "'caption'" in said


def test_objects_that_the_lexicon_lacks(refused, files):
    (files / "objects.json").write_text(json.dumps({"1": ["gryphon"], "2": []}))
    assert "lacks 'gryphon'" in refused(*arguments(files))


def test_two_systems_on_the_same_images(copo, refused, files):
    for name in ("a", "b"):
        rows = [row for row in CAPTIONS if row["model"] == name]
        (files / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ("--objects", files / "objects.json", "--lexicon", files / "synonyms.txt", "--bootstrap", "200")
    flags = ("eval", "chair", "--captions", files / "a.jsonl", *flags)
    found = record(copo, *flags, "--compare", files / "b.jsonl")
    alone = [record(copo, *flags[:3], files / f"{name}.jsonl", *flags[4:])["systems"][0] for name in ("a", "b")]
    for name in ("chair_s", "recall"):
        assert found["difference"][name]["value"] == alone[0][name]["value"] - alone[1][name]["value"]
    assert found["systems"] == alone[:1]
    assert "Difference to --compare, in points: CHAIR_s" in copo(*flags, "--against", files / "b.jsonl").stdout
    assert "leave --group-by out" in refused(*flags, "--compare", files / "b.jsonl", "--group-by", "model")
