import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap

from causal_attrib.errors import InputError
from causal_attrib.evaluation.intervals import Bounded, Estimate, by_cluster, estimate, ratio


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


@pytest.mark.parametrize(("right", "images"), [(0, 5), (5, 5), (0, 60), (60, 60)])
def test_where_all_images_agree_the_limits_are_those_of_clopper_and_pearson(right, images):
    sums_CK = np.column_stack([np.arange(images) < right, np.ones(images)]).astype(float)
    found = estimate(sums_CK, {"share": Bounded(share)}, resamples=100, seed=0)["share"]
    exact = binomtest(right, images).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((100 * exact.low, 100 * exact.high))


def test_limits_of_a_difference_and_of_what_is_undefined():
    # Three images fall from right to wrong: of others, 1 - .025^(1/3) = .70760 may rise instead.
    sums_CK = np.array([[1.0, 0.0]] * 3)
    fall = Bounded(lambda sums: ratio(sums[..., 1] - sums[..., 0], sums[..., 0]), least=-100.0)
    found = estimate(sums_CK, {"change": fall}, resamples=100, seed=0)["change"]
    assert (found.value, found.low) == (-100, -100) and found.high == pytest.approx(41.520, abs=1e-3)
    # An image with nothing to divide by is no draw: two are left, and 1 - .025^(1/2) = .84189.
    sums_CK = np.array([[0.0, 2.0], [0.0, 3.0], [0.0, 0.0]])
    found = estimate(sums_CK, {"share": Bounded(share)}, resamples=100, seed=0)["share"]
    assert (found.low, found.high) == (0, pytest.approx(84.189, abs=1e-3))


@pytest.mark.parametrize(
    "options", [{"resamples": 99, "seed": 0}, {"resamples": 100, "seed": -1}, {"resamples": 10**20, "seed": 0}]
)
def test_options_that_cannot_be(sums_CK, options):
    with pytest.raises(InputError):
        estimate(sums_CK, {"share": share}, **options)
