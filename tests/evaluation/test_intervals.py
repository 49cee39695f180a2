import numpy as np
import pytest
from scipy.stats import bootstrap

from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import Estimate, by_cluster, estimate, ratio


def share(sums):
    return ratio(sums[..., 0], sums[..., 1])


@pytest.fixture(scope="module")
def sums_CK():
    rng = np.random.default_rng(0)
    asked = rng.integers(1, 9, 200).astype(float)
    return np.stack([rng.binomial(asked.astype(int), 0.3), asked], axis=1)


def test_equal_to_drawing_whole_images_one_by_one(sums_CK):
    fast = estimate(sums_CK, {"share": share}, resamples=150, seed=3)["share"]
    rng = np.random.default_rng(3)
    values = []
    for _ in range(150):
        times = rng.multinomial(len(sums_CK), np.full(len(sums_CK), 1 / len(sums_CK)))
        drawn = [row for row, count in zip(sums_CK, times, strict=True) for _ in range(count)]
        values.append(100 * sum(row[0] for row in drawn) / sum(row[1] for row in drawn))
    assert fast.low == pytest.approx(np.quantile(values, 0.025)) and fast.high == pytest.approx(
        np.quantile(values, 0.975)
    )
    assert fast.value == pytest.approx(100 * sums_CK[:, 0].sum() / sums_CK[:, 1].sum())


def test_agrees_with_scipy(sums_CK):
    ours = estimate(sums_CK, {"share": share}, resamples=20_000, seed=0)["share"]
    theirs = bootstrap(
        (sums_CK[:, 0], sums_CK[:, 1]),
        lambda right, asked, axis: 100 * right.sum(axis) / asked.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=1,
    ).confidence_interval
    # Two draws of 20,000: the standard error of such an interval end is about a fiftieth of its width.
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.2)


def test_large_sets_are_drawn_in_parts(sums_CK, monkeypatch):
    whole = estimate(sums_CK, {"share": share}, resamples=500, seed=0)
    monkeypatch.setattr("causal_attrib.evaluation.intervals._CELLS", 1000)
    assert estimate(sums_CK, {"share": share}, resamples=500, seed=0) == whole


def test_images_not_rows_are_drawn():
    rows = np.array([[1.0, 1.0]] * 50 + [[0.0, 1.0]] * 50)
    images = ["a"] * 50 + ["b"] * 50
    clustered = estimate(by_cluster(images, rows), {"share": share}, resamples=500, seed=0)["share"]
    assert (clustered.low, clustered.high) == (0.0, 100.0)


def test_nothing_to_divide_by_and_one_image():
    assert estimate(np.zeros((3, 2)), {"share": share}, resamples=100, seed=0) == {"share": Estimate(None)}
    assert estimate(np.ones((1, 2)), {"share": share}, resamples=100, seed=0) == {"share": Estimate(100.0)}


@pytest.mark.parametrize("options", [{"resamples": 99, "seed": 0}, {"resamples": 100, "seed": -1}])
def test_options_that_cannot_be(sums_CK, options):
    with pytest.raises(InputError):
        estimate(sums_CK, {"share": share}, **options)
