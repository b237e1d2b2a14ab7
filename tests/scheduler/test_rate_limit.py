"""Retry-After: kept, bounded, and not forgotten by a shorter one."""

import pytest
from lowtide.grid.http import LONGEST_HOLD_S, RateLimitHold


class Watch:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def test_a_provider_is_left_alone_for_as_long_as_it_asked() -> None:
    watch = Watch()
    rate_limit = RateLimitHold(watch)
    assert rate_limit.remaining_s() == 0.0
    rate_limit.hold(60.0)
    watch.s += 59.0
    assert rate_limit.remaining_s() == pytest.approx(1.0)
    watch.s += 1.0
    assert rate_limit.remaining_s() == 0.0


@pytest.mark.parametrize("asked", [10_000.0, 1e12])
def test_no_provider_is_left_alone_for_more_than_an_hour(asked: float) -> None:
    watch = Watch()
    rate_limit = RateLimitHold(watch)
    rate_limit.hold(asked)
    assert rate_limit.remaining_s() == LONGEST_HOLD_S


def test_a_shorter_wish_does_not_shorten_an_earlier_one_and_none_changes_nothing() -> None:
    rate_limit = RateLimitHold(Watch())
    for wish in (60.0, 5.0, 0.0):
        rate_limit.hold(wish)
    assert rate_limit.remaining_s() == 60.0
