"""How many requests at once: a hidden limit is found, and found again when it moves, with few refusals."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_supersim.api.concurrency import ENOUGH, HOLD, LONGEST_HOLD, Concurrency


class Api:
    """Serves so many at once; the one that comes on top is refused."""

    def __init__(self, limit):
        self.limit = limit

    def take(self, allowed, requests):
        """Make requests as fast as is allowed, and return how many of them were refused."""
        refused = 0
        for _ in range(requests):
            if allowed.limit > self.limit:
                refused += 1
                allowed.refused(allowed.limit)
            else:
                allowed.served(allowed.limit)
        return refused


LIMITS = [1, 2, 3, 7, 12, 20, 25, 37, 50, 64, 75, 99, 100]


@pytest.mark.parametrize("limit", LIMITS)
def test_a_hidden_limit_is_found(limit):
    allowed = Concurrency(100)
    Api(limit).take(allowed, 1_000)
    assert limit <= allowed.limit <= limit + 1


@pytest.mark.parametrize("limit", LIMITS)
def test_once_it_is_found_few_are_refused(limit):
    allowed, api = Concurrency(100), Api(limit)
    api.take(allowed, 1_000)
    assert api.take(allowed, 10_000) <= 100
    assert allowed.limit in (limit, limit + 1)


@pytest.mark.parametrize(("before", "after"), [(20, 60), (20, 100), (60, 20), (100, 5), (50, 48), (1, 100)])
def test_a_limit_that_moves_is_found_again(before, after):
    allowed, api = Concurrency(100), Api(before)
    api.take(allowed, 2_000)
    api.limit = after
    api.take(allowed, 3_000)
    assert after <= allowed.limit <= after + 1


def test_where_nothing_is_refused_it_stays_where_it_began():
    allowed = Concurrency(100)
    Api(1_000).take(allowed, 1_000)
    assert allowed.limit == 100


def test_what_began_before_a_change_says_nothing_new():
    allowed = Concurrency(100)
    for _ in range(80):
        allowed.refused(100)
    assert allowed.limit == 50
    for _ in range(1_000):
        allowed.served(100)
    assert allowed.limit == 50


def test_a_number_is_judged_by_a_whole_round_of_answers():
    allowed = Concurrency(100)
    allowed.refused(100)
    for _ in range(49):
        allowed.served(50)
    assert allowed.limit == 50
    allowed.served(50)
    assert allowed.limit == 75


def test_a_small_number_is_judged_by_more_than_a_round():
    allowed = Concurrency(8)
    allowed.refused(8)
    for _ in range(ENOUGH - 1):
        allowed.served(4)
    assert allowed.limit == 4
    allowed.served(4)
    assert allowed.limit == 6


def looks(allowed, api, number):
    """Return the number of requests between looks beyond the limit that was found."""
    found, between = [], 0
    while len(found) < number:
        between += 1
        if api.take(allowed, 1):
            found.append(between)
            between = 0
    return found[1:]


def test_each_look_that_is_refused_doubles_the_time_to_the_next():
    allowed, api = Concurrency(100), Api(20)
    api.take(allowed, 1_000)
    times = looks(allowed, api, 8)
    assert all(later == min(2 * (earlier - 1), LONGEST_HOLD) + 1 for earlier, later in pairwise(times))
    assert times[-1] == LONGEST_HOLD + 1


def test_a_look_that_goes_well_is_followed_by_longer_ones():
    allowed, api = Concurrency(100), Api(20)
    api.take(allowed, 1_000)
    api.limit = 100
    seen = []
    for _ in range(8 * HOLD):
        api.take(allowed, 1)
        if not seen or allowed.limit != seen[-1]:
            seen.append(allowed.limit)
    assert seen == [20, 21, 23, 27, 35, 51, 83, 100]


def test_one_refusal_of_what_was_served_costs_little():
    allowed, api = Concurrency(100), Api(64)
    api.take(allowed, 1_000)
    allowed.refused(allowed.limit)
    assert allowed.limit == 56
    api.take(allowed, 200)
    assert allowed.limit >= 63


def test_one_request_at_once_is_always_allowed():
    allowed = Concurrency(100)
    for _ in range(20):
        allowed.refused(allowed.limit)
    assert allowed.limit == 1
