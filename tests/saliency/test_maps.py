"""Maps slice, resize, load again from what they were saved to, and refuse what is no map."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from causal_attrib.errors import InputError
from causal_attrib.results.maps import Maps, sign_disagreement


@pytest.fixture
def maps() -> Maps:
    values_THW = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    return Maps(
        values_THW,
        ("a", " dog", " dog"),
        ((0,), (1, 2), (5,)),
        "occlusion",
        "region",
        "logprob",
        caption="a dog and a dög",
        image={"path": None, "width": 8, "height": 4},
        model={"id": "bundled"},
        settings={"baseline": "blur", "full": [-1.0, -2.0, -3.0]},
        tool={"name": "copo"},
        proofs=({"p": 0.1}, {"p": 0.2}, {"p": 0.3}),
    )


def same(a: Maps, b: Maps) -> bool:
    names = [name for name in Maps.__dataclass_fields__ if name != "values_THW"]
    return np.array_equal(a.values_THW, b.values_THW) and all(getattr(a, n) == getattr(b, n) for n in names)


def test_saved_maps_load_equal(maps, tmp_path):
    maps.save(tmp_path / "maps.safetensors")
    assert same(Maps.load(tmp_path / "maps.safetensors"), maps)
    assert list(load_file(tmp_path / "maps.safetensors")) == ["maps"]
    assert [path.name for path in tmp_path.iterdir()] == ["maps.safetensors"]


def test_the_same_maps_give_the_same_bytes(maps, tmp_path):
    for name in ("a", "b"):
        maps.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("damage", ["text", "short", "foreign", "missing", "folder", "newer"])
def test_bad_files_are_refused(maps, tmp_path, damage):
    path = tmp_path / "maps.safetensors"
    maps.save(path)
    if damage == "text":
        path.write_text("no maps")
    elif damage == "short":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "foreign":
        save_file({"maps": maps.values_THW}, path)
    elif damage == "missing":
        path.unlink()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        data = path.read_bytes().replace(b'\\"schema\\": 1', b'\\"schema\\": 2')
        path.write_bytes(data)
    with pytest.raises(InputError):
        Maps.load(path)


def test_a_place_that_cannot_be_written_is_refused(maps, tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        maps.save(tmp_path / "no folder" / "maps.safetensors")


@pytest.mark.parametrize("path, said", [("x.gif", "end it in .safetensors"), (5, "A file cannot be 5")])
def test_what_is_no_place_for_maps_is_refused(maps, tmp_path, monkeypatch, path, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=said):
        maps.save(path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="cannot be"):
        Maps.load(path)


@pytest.mark.parametrize("side", [0, -1, 2.5, "3", None, True, 10**9])
def test_maps_have_no_such_size(maps, side):
    with pytest.raises(InputError, match="whole number from 1 up|more than the limit"):
        maps.at_size(side, 5)


def test_items(maps):
    assert maps["dog"].tokens == ((1, 2),)
    assert maps["dog"].proofs == ({"p": 0.2},)
    assert maps["dog"].settings == {"baseline": "blur", "full": [-2.0]}
    assert maps[-1].tokens == ((5,),)
    assert maps[1:3].labels == (" dog", " dog") and len(maps[1:3]) == 2
    np.testing.assert_array_equal(maps[2].values_THW[0], maps.values_THW[2])
    with pytest.raises(KeyError, match="there are: a, dog"):
        maps["cat"]
    with pytest.raises(IndexError):
        maps[3]


def test_cells_keep_their_edges_and_pixels_are_interpolated(maps):
    sized_THW = maps.at_size(8, 4)
    np.testing.assert_array_equal(sized_THW, maps.values_THW.repeat(2, 1).repeat(2, 2))
    ramp = Maps(np.array([[[0.0, 1.0]]]), ("a",), ((0,),), "gradient", "pixel", "logprob")
    assert (np.diff(ramp.at_size(8, 1)[0, 0]) >= 0).all() and len(set(ramp.at_size(8, 1)[0, 0])) > 2


def test_maps_cannot_be_changed_and_hold_numbers_only(maps):
    with pytest.raises(ValueError):
        maps.values_THW[0, 0, 0] = 1
    with pytest.raises(InputError, match="no numbers"):
        Maps(np.array([[[np.nan]]]), ("a",), ((0,),), "gradient", "pixel", "logprob")


def test_sign_disagreement():
    def of(values):
        return Maps(np.array([[values]]), ("a",), ((0,),), "occlusion", "region", "logprob")

    one, other = of([1.0, -1.0, 0.001, 0.5]), of([2.0, 1.0, -1.0, -0.001])
    assert sign_disagreement([one, other]).tolist() == [[[False, True, False, False]]]
    with pytest.raises(InputError):
        sign_disagreement([one, of([1.0])])
