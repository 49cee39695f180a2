import json

import pytest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.chair.ground_truth import read_objects, truth_of_coco, truth_of_objects
from causal_attrib.scenes import write_dataset
from causal_attrib.words.lexicon import read_lexicon
from causal_attrib.words.matcher import Matcher
from tests.evaluation.benchmark_files import benchmark_file, load


@pytest.fixture(scope="module")
def matcher():
    return Matcher(read_lexicon(), "repaired")


def write(path, value):
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_both_ways_to_list_objects(tmp_path, matcher):
    mapping = write(tmp_path / "a.json", {"310196": ["dog", "TV"], "2": []})
    lines = '{"image": "COCO_val2014_000000310196.jpg", "objects": ["dog", "tv"]}\n{"image_id": 2, "objects": []}\n'
    for path in (mapping, write(tmp_path / "b.jsonl", lines)):
        assert truth_of_objects(path, matcher.lexicon) == {"310196": frozenset({"dog", "tv"}), "2": frozenset()}


def test_objects_of_scenes(tmp_path, matcher):
    """What `copo scenes` writes is ground truth as it stands, and what a plant left out of the picture is not there."""
    folder = write_dataset(tmp_path / "worlds", 12, seed=0, planted=1.0, invisible=0.5)
    scenes = json.loads((folder / "objects.json").read_text())
    shown = {name: {one["class"] for one in scene["objects"] if one["visible"]} for name, scene in scenes.items()}
    assert truth_of_objects(folder / "objects.json", matcher.lexicon) == shown
    assert any(not one["visible"] for scene in scenes.values() for one in scene["objects"])


@pytest.mark.parametrize(
    "value, said",
    [
        ({"1": ["gryphon"]}, "lacks 'gryphon', which is an object of image '1'"),
        ({"1": "dog"}, "no list of object names for image '1'"),
        ({"1": [3]}, "no list of object names"),
        ('{"image": 1, "objects": ["dog"]}\n{"image": 2}', "line 2 has no key 'objects'"),
        (
            '{"image": 1, "objects": []}\n{"image": "1", "objects": []}',
            "line 2 lists the objects of image '1' a second time",
        ),
    ],
)
def test_bad_object_lists(tmp_path, matcher, value, said):
    with pytest.raises(InputError, match=said):
        truth_of_objects(write(tmp_path / "objects.json", value), matcher.lexicon)


def test_all_images_of_the_real_list():
    # evaluation.md 1.10
    assert len(read_objects(benchmark_file("chair/coco2014_objects.json.gz"))) == 3424


def test_a_real_coco_file(matcher):
    path = benchmark_file("coco_excerpt/person_keypoints_val2017.json")
    truth = truth_of_coco(path, None, matcher)
    coco = load("coco_excerpt/person_keypoints_val2017.json")
    with_people = {str(annotation["image_id"]) for annotation in coco["annotations"]}
    assert set(truth) == {str(image["id"]) for image in coco["images"]} >= with_people
    assert all(truth[image] == ({"person"} if image in with_people else set()) for image in truth)


def test_references_add_what_they_name(tmp_path, matcher):
    instances = write(
        tmp_path / "instances.json",
        {
            "images": [{"id": 1}, {"id": 2}],
            "annotations": [{"image_id": 1, "category_id": 18}],
            "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        },
    )
    captions = [{"image_id": 1, "caption": "puppies by a taxi"}, {"image_id": 99, "caption": "a cat"}]
    references = write(tmp_path / "captions.json", {"annotations": captions})
    assert truth_of_coco(instances, None, matcher) == {"1": frozenset({"dog"}), "2": frozenset()}
    assert truth_of_coco(instances, references, matcher) == {"1": frozenset({"dog", "car"}), "2": frozenset()}


@pytest.mark.parametrize(
    "value, said",
    [
        ([], "no list 'images'"),
        ({"images": [{"id": 1}], "annotations": []}, "no list 'categories'"),
        ({"images": [{}], "annotations": [], "categories": []}, r"no key 'id' in 'images'\[0\]"),
        (
            {"images": [], "annotations": [{"image_id": 1, "category_id": 7}], "categories": []},
            "annotation of category 7",
        ),
        ('{"images": ', "line 1 is not JSON"),
    ],
)
def test_bad_coco_files(tmp_path, matcher, value, said):
    with pytest.raises(InputError, match=said):
        truth_of_coco(write(tmp_path / "coco.json", value), None, matcher)
