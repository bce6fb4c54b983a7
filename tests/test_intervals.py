"""Bootstrap intervals against scipy's, against the theory of the mean, and on cases that can be reckoned by hand."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats

from utils.evaluation import Interval, bootstrap, bootstrap_runs, intervals, paired_bootstrap


def hits(share: float, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < share


def scipys(statistic, *samples, paired=False, draws, seed=3):
    found = stats.bootstrap(
        samples,
        statistic,
        paired=paired,
        vectorized=False,
        n_resamples=draws,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return found.confidence_interval


def test_text_form():
    interval = Interval(0.8671, 0.8269, 0.9031)
    assert str(interval) == f"{interval}" == "0.867 (0.827 to 0.903)"
    assert f"{interval:.1%}" == "86.7% (82.7% to 90.3%)"


def test_bootstrap_is_scipys():
    values = np.random.default_rng(0).random(300)
    ours = bootstrap(values, seed=3)
    theirs = scipys(np.mean, values, draws=2000)
    # The same draws out of the same generator: not nearly but exactly the same bounds.
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert ours.value == pytest.approx(values.mean())
    assert ours.low < ours.value < ours.high


def test_paired_bootstrap_is_scipys_and_narrower_than_two_sets():
    noise = 0.1 * np.random.default_rng(5).random(300)
    before, after = hits(0.6, 300) + noise, hits(0.6, 300) | hits(0.1, 300, 1)
    ours = paired_bootstrap(before, after, draws=500, seed=3)
    theirs = scipys(
        lambda first, second: np.mean(second) - np.mean(first), before, after.astype(float), paired=True, draws=500
    )
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    shuffled = np.random.default_rng(0).permutation(after)
    alone = paired_bootstrap(before, shuffled, seed=3)
    assert ours.high - ours.low < 0.7 * (alone.high - alone.low)
    with pytest.raises(ValueError, match="same items of both"):
        paired_bootstrap(before, after[:-1])


def test_weighted_bootstrap_is_scipys_of_the_captions_of_drawn_images():
    generator = np.random.default_rng(2)
    counts = generator.integers(1, 9, 120)
    values = generator.random(120)

    def mean_over_captions(images):
        images = images.astype(int)
        return np.sum(values[images] * counts[images]) / counts[images].sum()

    ours = bootstrap(values, counts, draws=500, seed=3)
    theirs = scipys(mean_over_captions, np.arange(120), draws=500)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert ours.value == pytest.approx(np.average(values, weights=counts))


def test_figure_of_several_metrics_is_the_mean_of_their_means_and_drawn_together():
    first = hits(0.5, 200).astype(float)
    both = bootstrap(np.stack([first, 1 - first], axis=1))
    # What one metric loses the other gains in every draw, as both are of the same items.
    assert both.value == pytest.approx(0.5) and both.high - both.low < 1e-9


def test_interval_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = [
        (interval := bootstrap(generator.random(200) < 0.6, draws=400, seed=trial)).low <= 0.6 <= interval.high
        for trial in range(400)
    ]
    # 95 % are promised; 400 trials scatter by 1.1 %, and hits of 200 images are grainy.
    assert 0.92 <= np.mean(covered) <= 0.98


def test_runs_join_both_kinds_of_chance():
    generator = np.random.default_rng(1)
    luck = np.array([0.50, 0.58, 0.66, 0.74, 0.82])[:, None]
    runs = (generator.random((5, 400)) < luck).astype(float)
    joined, pictures = bootstrap_runs(runs), bootstrap(runs.mean(axis=0))
    assert joined.value == pytest.approx(runs.mean())
    # Variance of the mean of drawn runs plus that of drawn items, as for two crossed random factors.
    spread = np.sqrt(runs.mean(axis=1).var() / 5 + runs.mean(axis=0).var() / 400)
    assert (joined.high - joined.low) / 2 == pytest.approx(1.96 * spread, rel=0.1)
    assert joined.high - joined.low > 1.5 * (pictures.high - pictures.low)


def test_one_run_or_equal_runs_are_the_plain_bootstrap():
    values = hits(0.7, 500).astype(float)
    plain = bootstrap(values, draws=4000)
    for runs in (values[None], np.stack([values] * 3)):
        joined = bootstrap_runs(runs, draws=4000)
        assert (joined.low, joined.high) == pytest.approx((plain.low, plain.high), abs=0.004)


def test_same_seed_same_interval_in_pieces_too(monkeypatch):
    values, runs = np.random.default_rng(4).random(300), np.stack([hits(0.7, 300, seed) for seed in range(3)])
    whole = bootstrap(values), bootstrap_runs(runs)
    assert whole == (bootstrap(values), bootstrap_runs(runs))
    assert whole[0] != bootstrap(values, seed=1)
    for cells in (7 * 300, 1):  # a few draws at once, and one
        monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", cells)
        assert bootstrap(values) == whole[0]


def test_memory_is_bounded_for_a_large_set():
    values = hits(0.7, 200_000).astype(float)
    tracemalloc.start()
    interval = bootstrap(values, draws=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert interval.low < 0.7 < interval.high
    assert peak < 100e6  # all draws at once would take 320 MB


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([], None, "at least one item"),
        (np.ones((2, 2, 2)), None, "at least one item"),
        ([0.5, np.nan], None, "not finite"),
        ([0.5, 1.0], [1.0], "one above 0 for each"),
        ([0.5, 1.0], [1.0, 0.0], "one above 0 for each"),
    ],
)
def test_what_has_no_interval_is_said_in_a_sentence(values, weights, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.array(values), None if weights is None else np.array(weights))


def test_runs_of_different_items_are_refused():
    with pytest.raises(ValueError, match="all of the same items"):
        bootstrap_runs(np.ones(5))
    with pytest.raises(ValueError, match="at least one item"):
        bootstrap_runs(np.ones((2, 0)))
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_runs(np.full((2, 3), np.nan))
