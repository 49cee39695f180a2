"""Which engine runs, and what is said where it is not the one that was hoped for."""

import copy
import warnings

import pytest

import causal_attrib
from causal_attrib.engine import PackedEngine, PlainEngine, choose_engine
from causal_attrib.engine.choose import disagreement
from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM
from tests.conftest import PARK
from tests.tiny_models import BUILDERS, tiny


@pytest.fixture
def fresh():
    """A model that no engine has seen yet."""
    known = tiny("llava_siglip_qwen2")
    return VLM(known.model, known.processor, name="fresh")


def encoded(vlm):
    return vlm.encode(PARK, "Look.", "a red dog")


@pytest.mark.parametrize("name", ["auto", "packed"])
def test_packed_where_it_is_right(fresh, name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(choose_engine(name, fresh, encoded(fresh)), PackedEngine)


def test_the_check_is_made_once(fresh):
    encoding = encoded(fresh)
    choose_engine("auto", fresh, encoding)
    forwards = 0

    def count(module, args, kwargs):
        nonlocal forwards
        forwards += 1

    hook = fresh.model.register_forward_pre_hook(count, with_kwargs=True)
    choose_engine("auto", fresh, encoding)
    hook.remove()
    assert forwards == 0


def test_a_family_with_wrong_positions_is_found_out(fresh):
    right = fresh.family._position_ids
    fresh.family._position_ids = lambda position_Q: right(position_Q) + 3
    with pytest.warns(UserWarning, match=r"fresh differ from ordinary ones by 0?\.?\d.* nats"):
        engine = choose_engine("auto", fresh, encoded(fresh))
    assert isinstance(engine, PlainEngine)
    # Scores stay right, and the record says how they came about.
    attribution = causal_attrib.score(PARK, "a red dog", model=fresh, engine="packed")
    assert attribution.settings["engine"] == "plain"


def test_a_family_whose_decoder_raises_is_served_plainly(fresh):
    def unknown(*args):
        raise TypeError("forward() got an unexpected keyword argument 'position_ids'")

    fresh.family._step = unknown
    with pytest.warns(UserWarning, match=r"cannot be packed \(TypeError"):
        assert isinstance(choose_engine("auto", fresh, encoded(fresh)), PlainEngine)


def test_a_family_that_does_not_pack_gets_the_plain_engine_without_a_word():
    vlm = tiny("kosmos2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(choose_engine("auto", vlm, encoded(vlm)), PlainEngine)
    with pytest.raises(InputError, match="cannot be packed; use --engine plain"):
        choose_engine("packed", vlm, encoded(vlm))


@pytest.mark.parametrize("name", BUILDERS)
def test_short_captions_can_be_checked_too(name):
    vlm = tiny(name)
    if vlm.family.packs:
        measured, allowed = disagreement(vlm, vlm.encode(PARK, "Look.", "dog"))
        assert measured < 1e-4 < allowed


def test_half_precision_is_allowed_its_rounding():
    known = tiny("llava_siglip_qwen2")
    vlm = VLM(copy.deepcopy(known.model).bfloat16(), known.processor, name="half")
    measured, allowed = disagreement(vlm, encoded(vlm))
    assert measured <= allowed and 1e-3 < allowed < 0.3
