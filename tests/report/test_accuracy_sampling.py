"""An accuracy of so many test samples is told with what their number leaves open; figures from Newcombe's tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.report.markdown import render_markdown
from lowtide.report.statistics import newcombe_points, wilson_percent
from lowtide.report.text import render_table, summary_lines

from tests.support.comparisons import compared, compared_several, waiting_run
from tests.support.records import make_record

SHARES = st.tuples(st.integers(1, 100_000), st.floats(0, 1)).map(lambda n: (round(n[0] * n[1]) / n[0], n[0]))


@pytest.mark.parametrize(
    ("right", "samples", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_a_single_accuracys_interval_is_wilsons(right: int, samples: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17, 857 (1998), table I, method 3."""
    found = wilson_percent(right / samples, samples)
    assert (found.low, found.high) == (pytest.approx(100 * low, abs=5e-3), pytest.approx(100 * high, abs=5e-3))


@pytest.mark.parametrize(
    ("after", "before", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((5, 56), (0, 29), -0.0381, 0.1926)],
)
def test_a_changes_interval_is_newcombes(
    after: tuple[int, int], before: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17, 873 (1998), table II, method 10."""
    found = newcombe_points((before[0] / before[1], before[1]), (after[0] / after[1], after[1]))
    assert (found.low, found.high) == (pytest.approx(100 * low, abs=5e-3), pytest.approx(100 * high, abs=5e-3))


@given(SHARES, SHARES)
def test_intervals_hold_the_figure_and_exchanging_the_runs_flips_the_change(
    before: tuple[float, int], after: tuple[float, int]
) -> None:
    share = wilson_percent(*before)
    assert 0 <= share.low <= 100 * before[0] + 1e-9
    assert 100 * before[0] - 1e-9 <= share.high <= 100
    change, back = newcombe_points(before, after), newcombe_points(after, before)
    assert change.low - 1e-9 <= 100 * (after[0] - before[0]) <= change.high + 1e-9
    assert (change.low, change.high) == (pytest.approx(-back.high, abs=1e-9), pytest.approx(-back.low, abs=1e-9))


@pytest.mark.parametrize(
    ("accuracy", "beyond", "headline", "told"),
    [
        (
            0.9862,
            False,
            "Test accuracy +0.12 points, which may be none (10,000 test samples leave -0.21 to +0.45 points open).",
            "The change of +0.12 points is no more than the choice of the test samples alone may make: -0.21 to +0.45 points",
        ),
        (
            0.981,
            True,
            "Test accuracy -0.40 points (10,000 test samples leave -0.76 to -0.04 points open).",
            "The change of -0.40 points is more than the choice of the test samples alone may make: -0.76 to -0.04 points",
        ),
    ],
)
def test_single_runs_say_whether_the_test_set_could_tell(
    accuracy: float, beyond: bool, headline: str, told: str
) -> None:
    report = compared(make_record(test_samples=10_000), waiting_run(test_samples=10_000, test_accuracy=accuracy))
    assert report.accuracy is not None
    assert report.accuracy.beyond_sampling is beyond
    assert report.headline.text.endswith(headline)
    page = render_markdown(report)
    assert told in page
    assert (
        "Both saw the same test set and mostly err on the same samples, so these bounds are wider than need be" in page
    )
    assert ("95 % by the test set's size", "98.24 to 98.72 %") in [row[:2] for row in render_table(report)]
    more = "more" if beyond else "no more"
    assert f", {more} than 10,000 test samples may make)" in "\n".join(summary_lines(report, {}))


def test_test_sets_of_different_sizes_are_not_called_the_same() -> None:
    page = render_markdown(compared(make_record(test_samples=10_000), waiting_run(test_samples=500)))
    assert "the two test sets are not the same size" in page
    assert "Both saw the same test set" not in page


def test_of_two_data_sets_the_accuracies_have_intervals_and_their_difference_has_none() -> None:
    """MNIST and Fashion-MNIST have ten thousand test samples each."""
    other = "model=shop.models:net; data=shop.data:clothes; zone=GB; effective_batch_size=512"
    report = compared(make_record(test_samples=10_000), waiting_run(test_samples=10_000, comparison_key=other))
    assert report.accuracy is not None
    assert report.accuracy.run_percent is not None
    assert (report.accuracy.change_points, report.accuracy.beyond_sampling) == (None, None)
    assert "same test set" not in render_markdown(report)


def test_a_record_that_does_not_know_its_test_samples_is_told_as_before() -> None:
    report = compared(make_record(), waiting_run(test_samples=10_000))
    assert report.headline.text.endswith("Test accuracy +0.12 points.")
    assert report.accuracy is not None
    assert (report.accuracy.baseline_percent, report.accuracy.change_points) == (None, None)
    assert report.accuracy.run_percent is not None
    assert compared(make_record(), waiting_run()).accuracy is None
    assert "95 %" not in render_markdown(compared(make_record(), waiting_run()))


def test_a_run_without_a_baseline_has_its_own_interval() -> None:
    page = render_markdown(compared(None, waiting_run(test_samples=10_000)))
    assert "the run's 98.37 to 98.83 % (10,000 test samples)." in page


def test_of_several_runs_their_spread_tells_more() -> None:
    runs = [waiting_run(test_samples=10_000, seed=k, ledger_sha256=f"c{k:063}") for k in range(2)]
    assert compared_several([make_record(test_samples=10_000)], runs).accuracy is None
