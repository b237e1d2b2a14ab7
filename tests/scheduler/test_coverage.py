"""Covering a span: exactly once, without gaps, the better source first."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowtide.config.zones import find_zone
from lowtide.grid.providers.offline import country_mean_reading, profile_readings
from lowtide.grid.series import cover
from lowtide.records import Reading

from tests.support.grid import HOUR, T0, reading

GB = find_zone("GB")
SECONDS = st.integers(-7_200, 20_000)
LAYERS = st.lists(st.tuples(SECONDS, st.integers(1, 5_000)), max_size=6)


def layer(spans: list[tuple[int, int]]) -> tuple[Reading, ...]:
    return tuple(reading(float(i), T0 + timedelta(seconds=s), timedelta(seconds=n)) for i, (s, n) in enumerate(spans))


def always(start: datetime, end: datetime) -> tuple[Reading, ...]:
    return (country_mean_reading(GB, start, end),)


@given(LAYERS, LAYERS, SECONDS, st.integers(1, 30_000))
def test_the_pieces_fill_the_span_exactly(
    first: list[tuple[int, int]], second: list[tuple[int, int]], begin: int, length: int
) -> None:
    start, duration = T0 + timedelta(seconds=begin), timedelta(seconds=length)
    pieces = cover(start, start + duration, [lambda *_: layer(first), lambda *_: layer(second), always])
    assert sum((piece.end - piece.start for piece in pieces), timedelta(0)) == duration
    assert (pieces[0].start, pieces[-1].end) == (start, start + duration)
    assert all(a.end == b.start for a, b in pairwise(pieces))


@given(LAYERS)
def test_a_later_source_never_displaces_an_earlier_one(spans: list[tuple[int, int]]) -> None:
    best = layer(spans)
    for piece in cover(T0, T0 + 3 * HOUR, [lambda *_: best, always]):
        covered = any(r.start < piece.end and piece.start < r.end for r in best)
        assert covered == (piece.source == "neso")


def test_a_span_is_split_at_the_boundaries_and_clipped_at_its_ends() -> None:
    pieces = cover(T0 + HOUR / 4, T0 + 1.5 * HOUR, [lambda *span: profile_readings(GB, *span)])
    assert [(p.start, p.end) for p in pieces] == [(T0 + HOUR / 4, T0 + HOUR), (T0 + HOUR, T0 + 1.5 * HOUR)]


def test_an_empty_span_has_no_pieces_and_a_backward_one_is_refused() -> None:
    assert cover(T0, T0, [always]) == ()
    with pytest.raises(ValueError, match="backwards"):
        cover(T0, T0 - HOUR, [always])
