"""What images are called: COCO's names are numbers, and the folder of any other name is a part of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.io.image_names import image_id, known_as


@given(st.integers(0, 10**12 - 1), st.sampled_from(["train", "val", "test"]), st.sampled_from(["", ".jpg", ".png"]))
def test_coco_names_and_numbers_are_one_image(number, split, suffix):
    names = [
        f"COCO_{split}2014_{number:012d}{suffix}",
        f"images/COCO_{split}2014_{number:012d}{suffix}",
        f"{number:012d}{suffix}",
        f"coco/{split}2017/{number:012d}{suffix}",
        rf"coco\{split}2017\{number:012d}{suffix}",
    ]
    assert {image_id(name) for name in names} == {image_id(number)} == {str(number)}


@pytest.mark.parametrize("name", ["AMBER_1.jpg", "2405722.jpg", "clip1/000000000001.jpg", "a_000000000001.jpg"])
def test_other_names_stay(name):
    assert image_id(name) == name


def test_frames_of_two_clips_are_two_images():
    frames = [image_id(f"clip{n}/000000000001.jpg") for n in (1, 2)]
    assert frames[0] != frames[1]
    assert known_as(frames, {"clip1/000000000001.jpg"}) == {frames[0]: frames[0]}
    # By the number alone it is not known which of the two is meant.
    assert known_as(frames, {"1"}) == {}


def test_a_file_in_a_folder_of_its_own_meets_truth_by_number():
    assert known_as(["my_coco/000000000042.jpg", "dog.jpg"], {"42"}) == {"my_coco/000000000042.jpg": "42"}
