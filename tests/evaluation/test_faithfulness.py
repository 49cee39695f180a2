"""Curves and areas by hand, an honest chance test, controls against references, planted maps on real models."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.ndimage import sobel
from scipy.stats import spearmanr

from causal_attrib import Maps, prove, saliency
from causal_attrib.errors import InputError
from causal_attrib.evaluation.faithfulness.controls import edges, shuffled, similarity
from causal_attrib.evaluation.faithfulness.curves import (
    BEATS,
    FAILS,
    NOTHING,
    areas,
    curves,
    faithfulness,
    order_of,
    random_orders,
    stops,
)
from causal_attrib.evaluation.faithfulness.on_scenes import JudgedMap, judge_scenes, rank
from causal_attrib.evaluation.localisation import Localisation
from causal_attrib.results.maps import sign_disagreement
from causal_attrib.scenes import PARK, caption, render
from causal_attrib.scores.saliency_methods.regions import Regions
from tests.saliency.common import CAPTION, noise
from tests.tiny_models import ONE_OF_EACH_KIND, tiny

QUICK = {"steps": 3, "orders": 19}


@dataclass
class Scorer:
    """A game whose values are known: what each seen cell adds (M, R), and what pairs of neighbours add."""

    adds_MR: np.ndarray
    together: float = 0.0

    @property
    def regions(self) -> Regions:
        count = self.adds_MR.shape[1]
        return Regions(np.eye(count, dtype=bool).reshape(count, 1, count))

    def values(self, seen_NR: np.ndarray) -> np.ndarray:
        pairs_N1 = (seen_NR[:, 1:] & seen_NR[:, :-1]).sum(1, keepdims=True)
        return seen_NR @ self.adds_MR.T + self.together * pairs_N1


# -- curves and areas -------------------------------------------------------------------------------------------------


def test_areas_by_hand():
    """Cells that add 4, 2, 1, 1 nats: hidden in that order 8 4 2 1 0 are left, shown in it 0 4 6 7 8 are there."""
    game = Scorer(np.array([[4.0, 2.0, 1.0, 1.0]]))
    ((found,),) = faithfulness(game, np.array([[0, 1, 2, 3]]), random_orders(19, 4, 0), 4)
    assert found.deletion_C == (8, 4, 2, 1, 0) and found.insertion_C == (0, 4, 6, 7, 8)
    # Trapezoids of width 1/4: (8/2 + 4 + 2 + 1 + 0/2) / 4 and (0/2 + 4 + 6 + 7 + 8/2) / 4.
    assert (found.deletion, found.insertion) == (2.75, 5.25)
    assert (found.full, found.empty) == (8, 0)
    assert (found.share(found.deletion), found.share(found.insertion)) == (2.75 / 8, 5.25 / 8)
    # Where cells only add, orders at random are even on average, and no order beats the best one.
    assert abs(found.share(found.random) - 0.5) < 0.15
    assert min(found.random_N) >= found.deletion


def test_curves_equal_a_plain_walk():
    rng = np.random.default_rng(0)
    game = Scorer(rng.normal(size=(2, 9)), together=0.7)
    order_NR = random_orders(3, 9, 1)
    hidden_C = stops(9, 4)
    for order_R, curve_MC in zip(order_NR, curves(game, order_NR, 4), strict=True):
        for hidden, value_M in zip(hidden_C, curve_MC.T, strict=True):
            seen_R = np.ones(9, dtype=bool)
            for cell in order_R[:hidden]:
                seen_R[cell] = False
            np.testing.assert_allclose(value_M, game.values(seen_R[None])[0])


def test_the_insertion_area_is_that_of_a_plain_walk():
    game = Scorer(np.random.default_rng(3).normal(size=(1, 7)), together=-0.4)
    order_R = np.array([3, 1, 6, 0, 2, 5, 4])
    ((found,),) = faithfulness(game, order_R[None], random_orders(19, 7, 0), 3)
    shown_C = stops(7, 3)
    walked = [game.values(np.isin(np.arange(7), order_R[:shown])[None])[0, 0] for shown in shown_C]
    np.testing.assert_allclose(found.insertion_C, walked)
    assert found.insertion == pytest.approx(trapezoid(walked, shown_C / 7))
    assert areas(np.array(walked), shown_C) == pytest.approx(found.insertion)


def test_stops_are_the_same_from_either_end():
    for cells in (1, 2, 5, 49, 64):
        hidden_C = stops(cells, 16)
        assert hidden_C[0] == 0 and hidden_C[-1] == cells and (np.diff(hidden_C) > 0).all()
        np.testing.assert_array_equal(np.sort(cells - hidden_C), hidden_C)


# -- orders -----------------------------------------------------------------------------------------------------------


def test_orders_follow_the_map_and_ties_fall_at_random():
    map_HW = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(order_of(map_HW, 3, 4, 0), np.arange(12)[::-1])
    # A finer map is averaged, a coarser one is spread: its four cells are blocks of equal cells.
    np.testing.assert_array_equal(order_of(map_HW.repeat(5, 0).repeat(3, 1), 3, 4, 0), np.arange(12)[::-1])
    coarse = order_of(np.array([[0.0, 3.0], [2.0, 1.0]]), 4, 4, 0)
    blocks = [{2, 3, 6, 7}, {8, 9, 12, 13}, {10, 11, 14, 15}, {0, 1, 4, 5}]
    assert [set(coarse[i : i + 4].tolist()) for i in range(0, 16, 4)] == blocks
    flat = [tuple(order_of(np.full((4, 4), 0.1), 4, 4, seed)) for seed in range(5)]
    assert len(set(flat)) == 5 and all(sorted(order) == list(range(16)) for order in flat)
    assert tuple(order_of(np.full((4, 4), 0.1), 4, 4, 3)) == flat[3]


# -- chance -----------------------------------------------------------------------------------------------------------


def test_p_by_hand():
    game = Scorer(np.array([[4.0, 2.0, 1.0, 1.0]]))
    ((found,),) = faithfulness(game, np.array([[0, 1, 2, 3]]), random_orders(19, 4, 0), 4)
    assert replace(found, deletion=1.0, random_N=(2.0,) * 19).p == 1 / 20
    assert replace(found, deletion=1.0, random_N=(1.0,) + (2.0,) * 19).p == 2 / 21
    assert replace(found, deletion=1.0, random_N=(2.0,) * 19).verdict == BEATS
    assert replace(found, deletion=1.0, random_N=(1.0,) + (2.0,) * 19).verdict == FAILS
    assert replace(found, random_N=(3.0,) * 19, deletion_C=(0.05, 0.0), insertion_C=(0.0, 0.05)).verdict == NOTHING


def test_maps_at_random_beat_chance_in_one_of_twenty():
    """The test has its stated size: 1/21 with 20 orders; 700 maps at random lie within 3 standard errors of it."""
    game = Scorer(np.random.default_rng(0).normal(size=(1, 16)) * 3, together=0.5)
    beaten = 0
    for seed in range(700):
        map_HW = np.random.default_rng([seed, 7]).normal(size=(1, 16))
        order_R = order_of(map_HW, 1, 16, seed)
        ((found,),) = faithfulness(game, order_R[None], random_orders(20, 16, seed), 8)
        beaten += found.verdict == BEATS
    assert abs(beaten / 700 - 1 / 21) < 3 * np.sqrt(1 / 21 * 20 / 21 / 700)


def test_a_map_of_the_truth_beats_chance_and_its_inverse_does_not():
    adds_MR = np.random.default_rng(1).normal(size=(1, 25))
    order_KR = np.stack([order_of(sign * adds_MR, 1, 25, 0) for sign in (1, -1)])
    (true,), (inverse,) = faithfulness(Scorer(adds_MR), order_KR, random_orders(20, 25, 0), 8)
    assert (true.verdict, inverse.verdict, inverse.p) == (BEATS, FAILS, 1.0)
    assert inverse.deletion == pytest.approx(true.insertion)


@pytest.mark.parametrize("steps, orders, told", [(1, 20, "no middle"), (8, 18, "take 19 or more")])
def test_numbers_that_show_nothing_are_refused(steps, orders, told):
    game = Scorer(np.ones((1, 4)))
    with pytest.raises(InputError, match=told):
        faithfulness(game, np.array([[0, 1, 2, 3]]), random_orders(orders, 4, 0), steps)


# -- controls ---------------------------------------------------------------------------------------------------------


def test_edges_are_those_of_scipy():
    picture = noise((23, 17))
    grey_HW = np.asarray(picture.convert("L"), dtype=float)
    across_HW, down_HW = (sobel(grey_HW, axis=axis, mode="nearest") for axis in (1, 0))
    np.testing.assert_allclose(edges(picture), np.hypot(across_HW, down_HW))


def test_similarity_is_that_of_scipy():
    rng = np.random.default_rng(0)
    one_HW, other_HW = rng.integers(0, 5, (2, 6, 6)).astype(float)
    assert similarity(one_HW, other_HW) == pytest.approx(spearmanr(one_HW.ravel(), other_HW.ravel()).statistic)
    assert similarity(one_HW, np.zeros((6, 6))) is None


@pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
def test_shuffled_weights_come_back_bit_for_bit(name):
    vlm = tiny(name)
    model = vlm.model
    encoding = vlm.encode(noise(), "Look.", CAPTION)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    wanted = [parameter.requires_grad for parameter in model.parameters()]

    def logits():
        inputs = vlm.family.extend(encoding.prompt_inputs, [encoding.response_ids], vlm.pad_id)
        with torch.no_grad():
            return vlm.family.logits(inputs, 3)

    known = logits()
    with pytest.raises(RuntimeError, match="stopped"), shuffled(model, 0):
        changed = [key for key, value in model.state_dict().items() if not torch.equal(value, before[key])]
        assert changed and not torch.allclose(logits(), known)
        raise RuntimeError("stopped")
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(logits(), known)
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted


def test_weights_out_of_reach_are_not_shuffled():
    model = tiny("llava_clip_llama").model
    with torch.device("meta"):
        offloaded = type(model)(model.config)
    with pytest.raises(InputError, match="cannot be shuffled"), shuffled(offloaded, 0):
        pass


# -- maps and their proof ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def park_maps(bundled):
    """The example at the model's own size: its picture, the dog's mask, and quick maps of dog and frisbee."""
    picture, masks = render(PARK)
    maps = saliency(picture, caption(PARK), model=bundled, words="dog frisbee", regions="grid:2")
    return picture, masks[0], maps


@pytest.fixture(scope="module")
def proved(bundled, park_maps):
    picture, _, maps = park_maps
    rows, announced = [], []
    found = prove(
        *(maps, picture),
        model=bundled,
        **QUICK,
        announce=announced.append,
        progress=lambda done, total: rows.append((done, total)),
    )
    return found, rows, announced


def test_a_planted_map_beats_chance_and_edges_and_its_inverse_is_marked(bundled, park_maps):
    picture, mask_HW, maps = park_maps
    dog = maps["dog"]
    both = replace(
        maps,
        values_THW=np.stack([mask_HW, ~mask_HW]),
        labels=dog.labels * 2,
        tokens=dog.tokens * 2,
        # No method made these maps, so none can make them again.
        settings=dog.settings | {"regions": "array (96, 96)"},
    )
    before = {key: value.clone() for key, value in bundled.model.state_dict().items()}
    planted, inverse = prove(both, picture, model=bundled, steps=4, orders=19).proofs
    assert planted["verdict"] == "beats chance" and planted["p"] == 1 / 20
    assert planted["deletion"] < planted["random_low"] and planted["deletion"] < planted["edges_deletion"]
    assert inverse["verdict"] == "does not beat chance" and inverse["p"] > 0.5
    assert inverse["deletion"] > inverse["random"] > planted["deletion"]
    assert all(torch.equal(value, before[key]) for key, value in bundled.model.state_dict().items())


def test_proofs_say_what_was_done_and_are_saved(proved, park_maps, tmp_path):
    found, rows, announced = proved
    assert found.values_THW.tobytes() == park_maps[2].values_THW.tobytes() and len(found.proofs) == 2
    assert announced == [rows[-1][1]] and rows[-1][0] == rows[-1][1]
    for proof in found.proofs:
        assert {name: proof[name] for name in ("steps", "orders", "baseline")} == QUICK | {"baseline": "blur"}
        assert (proof["verdict"] == "beats chance") == (proof["p"] <= 0.05)
        assert proof["random_low"] <= proof["random"] <= proof["random_high"]
        assert -1 <= proof["shuffled_similarity"] <= 1 and 0 <= proof["sign_disagreement"] <= 1
        nats = proof["nats"]
        gain = nats["full"] - nats["empty"]
        assert proof["deletion"] == pytest.approx((nats["deletion"] - nats["empty"]) / gain)
        assert proof["insertion"] == pytest.approx((nats["insertion"] - nats["empty"]) / gain)
        assert len(nats["random_N"]) == 19
        deletion, insertion = (proof["curves"][name] for name in ("deletion", "insertion"))
        assert [deletion[0], deletion[-1]] == [insertion[-1], insertion[0]] == [nats["full"], nats["empty"]]
    found.save(tmp_path / "maps.safetensors")
    assert Maps.load(tmp_path / "maps.safetensors").proofs == found.proofs


def test_one_map_has_the_proof_it_has_among_others(bundled, park_maps, proved):
    picture, _, maps = park_maps
    (alone,) = prove(maps["frisbee"], picture, model=bundled, **QUICK).proofs
    for name, value in proved[0]["frisbee"].proofs[0].items():
        if isinstance(value, float):
            assert alone[name] == pytest.approx(value, abs=1e-4), name


def test_signs_are_those_of_maps_by_occlusion(bundled, park_maps, proved):
    picture, _, maps = park_maps
    by_baseline = [
        saliency(picture, maps.caption, model=bundled, words="dog frisbee", regions="window:3", baseline=name)
        for name in ("neutral", "blur", "mean")
    ]
    share_T = sign_disagreement(by_baseline).mean((1, 2))
    assert [proof["sign_disagreement"] for proof in proved[0].proofs] == pytest.approx(share_T.tolist())


@pytest.mark.parametrize("name", ["blip2_opt", "mllama", "vision_encoder_decoder"])
def test_other_kinds_of_models(name):
    maps = saliency(noise(), CAPTION, model=tiny(name), words="dog", foil="cat", regions="grid:2")
    (proof,) = prove(maps, noise(), model=tiny(name), steps=2, orders=19, baseline="swap", other=noise(seed=1)).proofs
    assert proof["verdict"] in (BEATS, FAILS, NOTHING) and proof["baseline"] == "swap"


def test_maps_of_an_answer_have_a_proof():
    vlm = tiny("llava_clip_llama")
    asked = {"question": "Is there a dog?", "answer": "yes", "of": "answer", "method": "gradient"}
    maps = saliency(noise(), CAPTION, model=vlm, **asked)
    (proof,) = prove(maps, noise(), model=vlm, steps=2, orders=19).proofs
    assert proof["nats"]["full"] == pytest.approx(
        saliency(noise(), CAPTION, model=vlm, **asked | {"method": "occlusion"}, regions="grid:1").settings["full"][0],
        abs=1e-4,
    )


def test_regions_that_are_not_on_record_have_no_shuffled_map():
    vlm = tiny("llava_clip_llama")
    maps = saliency(noise(), CAPTION, model=vlm, words="dog", regions=np.arange(4).reshape(2, 2))
    assert prove(maps, noise(), model=vlm, steps=2, orders=19).proofs[0]["shuffled_similarity"] is None


@pytest.mark.parametrize(
    "change, told",
    [
        ({"image": noise(seed=5)}, "another picture"),
        ({"caption": "a cat on the grass"}, "another caption"),
        ({"model": "other"}, "another model"),
        ({"baseline": "noise"}, "no baseline 'noise'"),
        ({"baseline": "swap"}, "needs another picture"),
        ({"orders": 5}, "take 19 or more"),
        ({"steps": 1}, "no middle"),
        ({"batch_size": 0}, "batch size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_proved_is_refused(bundled, park_maps, change, told):
    picture, _, maps = park_maps
    if change.get("model"):
        change = {"model": tiny("llava_clip_llama")}
    call = {"image": picture, "model": bundled} | change
    with pytest.raises(InputError, match=told):
        prove(maps, **call)


# -- methods ranked on scenes -----------------------------------------------------------------------------------------


def test_scores_of_methods_by_hand():
    """Two scenes; the first method's maps are right in the first of them only."""
    ((good,),) = faithfulness(
        Scorer(np.array([[4.0, 2.0, 1.0, 1.0]])), np.array([[0, 1, 2, 3]]), random_orders(19, 4, 0), 4
    )
    good = replace(good, random_N=(4.0,) * 19)
    bad = replace(good, deletion=5.25, insertion=2.75)
    on, off = Localisation(True, 0.75, 0.25), Localisation(False, None, 0.25)
    rows = [
        *(JudgedMap(0, "one", "dog", good, on), JudgedMap(1, "one", "cat", bad, off)),
        *(JudgedMap(0, "two", "dog", good, on), JudgedMap(1, "two", "cat", good, on)),
    ]
    two, one = rank(rows, bootstrap=200)
    assert (two.method, one.method, one.maps, one.scenes) == ("two", "one", 2, 2)
    assert (one.beats_chance.value, one.below_random.value, one.pointing.value) == (50, 50, 50)
    assert (two.beats_chance.value, two.pointing.value) == (100, 100)
    # Areas less 4, of 8 nats; the map without mass is left out of the mean.
    assert (one.deletion.value, one.insertion.value) == (pytest.approx(0), pytest.approx(0))
    assert (two.deletion.value, two.insertion.value) == (-15.625, 15.625)
    assert one.mass_above_area.value == two.mass_above_area.value == 50
    assert (one.beats_chance.low, one.beats_chance.high) == (0, 100)


def test_scenes_have_maps_of_every_object_and_the_same_seed_the_same_numbers(bundled):
    done = []
    call = {"steps": 2, "orders": 19, "progress": lambda now, total: done.append((now, total))}
    rows = judge_scenes(bundled, ["gradient"], 2, **call)
    assert done == [(1, 2), (2, 2)] and {row.scene for row in rows} == {0, 1}
    assert {row.method for row in rows} == {"gradient", "edges", "mask"}
    masks = [row for row in rows if row.method == "mask"]
    assert all(row.found.mass > 0.8 and row.found.mass_above_area > 0.5 for row in masks)
    assert judge_scenes(bundled, ["gradient"], 1, steps=2, orders=19) == [row for row in rows if row.scene == 0]
    assert judge_scenes(bundled, ["gradient"], 1, steps=2, orders=19, seed=1)[0].faithful != rows[0].faithful
