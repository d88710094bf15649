"""How many requests at once: a hidden limit is found and used, found again when it moves, and shared with others."""

from __future__ import annotations

import pytest
from crowd import SAMPLE, Account, Process

from airflow_provider_supersim.api.concurrency import Concurrency, Started


@pytest.mark.parametrize("latency", [0.05, 0.2, 1])
@pytest.mark.parametrize("limit", [5, 20, 60, 90])
def test_a_hidden_limit_is_found_and_used(limit, latency):
    account = Account(limit, latency, Process())
    account.run(30)
    assert account.used_share(since=5) > 0.88
    assert max(one[0] for one in account.limits[round(5 / SAMPLE) :]) <= limit + 2


@pytest.mark.parametrize("limit", [20, 60, 90])
def test_once_it_is_found_few_are_refused(limit):
    process = Process()
    account = Account(limit, 0.1, process)
    account.run(5)
    process.served = process.refused = 0
    account.run(60)
    assert account.refused_share() < 0.01


def test_where_nothing_is_refused_it_stays_where_it_began():
    account = Account(1_000, 0.1, Process())
    account.run(10)
    assert {one[0] for one in account.limits} == {100}


@pytest.mark.parametrize("latency", [0.02, 0.2, 0.5, 1, 2])
def test_on_a_free_account_it_is_back_at_nine_tenths_within_fifteen_seconds(latency):
    process = Process()
    account = Account(1, latency, process)
    account.run(60)
    assert process.concurrency.limit <= 3
    account.limit = 1_000
    account.run(75)
    assert process.concurrency.limit >= 90


@pytest.mark.parametrize("latency", [0.02, 0.2, 1])
def test_after_a_crowd_has_gone_it_is_back_within_fifteen_seconds(latency):
    process = Process()
    account = Account(100, latency, process, *[Process(ends=60) for _ in range(30)])
    account.run(60)
    assert process.concurrency.limit <= 15
    account.run(75)
    assert process.concurrency.limit >= 90


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("apart", [0, 2])
def test_eight_processes_share_fairly_and_few_are_refused(apart, seed):
    account = Account(100, 0.2, *[Process(begins=apart * number) for number in range(8)], seed=seed)
    account.run(65)
    assert account.longest_below_half_of_the_mean() <= 10
    assert account.refused_share() < 0.03
    assert account.used_share(since=5) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_one_that_comes_later_gets_its_share_within_ten_seconds(seed):
    late = Process(begins=20)
    account = Account(100, 0.1, Process(), late, seed=seed)
    account.run(31)
    assert late.concurrency.limit >= 25
    assert late.refused < 40


def test_a_limit_that_moves_is_found_again():
    account = Account(20, 0.1, Process())
    for limit, until in [(20, 10), (60, 25), (12, 35), (90, 50)]:
        account.limit = limit
        account.run(until)
        assert limit * 0.75 <= account.limits[-1][0] <= limit + 1


def start(concurrency, now=0.0, *, under_way=None):
    return concurrency.start(now, concurrency.limit if under_way is None else under_way)


def test_of_many_that_left_together_those_that_were_not_refused_are_the_limit():
    concurrency = Concurrency(100)
    requests = [start(concurrency, under_way=number) for number in range(1, 101)]
    for number, request in enumerate(requests[:83]):
        concurrency.refused(request, 0.1, 99 - number)
    assert concurrency.limit == 17


def test_a_burst_of_refusals_near_the_limit_is_one_fall():
    concurrency = Concurrency(100)
    requests = [start(concurrency, under_way=number) for number in range(1, 101)]
    for number, request in enumerate(requests[:10]):
        concurrency.refused(request, 0.1, 99 - number)
    assert concurrency.limit == 80


def test_of_few_requests_that_were_all_refused_the_limit_is_not_those_that_are_left():
    concurrency = Concurrency(100)
    requests = [start(concurrency, under_way=number) for number in (1, 2, 3)]
    for number, request in enumerate(requests):
        concurrency.refused(request, 0.1, 2 - number)
    assert concurrency.limit == 80


def test_what_began_before_a_fall_says_nothing_new():
    concurrency = Concurrency(100)
    requests = [start(concurrency) for _ in range(100)]
    concurrency.refused(requests[0], 0.1, 99)
    for request in requests[1:]:
        concurrency.served(request, 60.0)
    assert concurrency.limit == 80


def test_requests_that_were_fewer_than_allowed_do_not_raise_it():
    concurrency = Concurrency(100)
    concurrency.refused(start(concurrency), 0.1, 99)
    for second in range(1, 60):
        concurrency.served(start(concurrency, second, under_way=30), second + 1)
    assert concurrency.limit == 80


def test_an_idle_hour_does_not_raise_it():
    concurrency = Concurrency(100)
    concurrency.refused(start(concurrency), 0.1, 99)
    concurrency.served(start(concurrency, 3600.0), 3600.01)
    assert concurrency.limit == 80


def test_it_grows_no_faster_than_rounds_of_requests_show_that_it_may():
    concurrency = Concurrency(100)
    for _ in range(30):
        concurrency.refused(start(concurrency), 0.0, 0)
    assert concurrency.limit == 1
    concurrency.served(start(concurrency), 60.0)  # a reply that took a minute
    assert concurrency.limit == 3


def test_beside_others_it_begins_low_and_doubles_with_each_round():
    concurrency = Concurrency(100)
    concurrency.begin_beside_others()
    limits = [concurrency.limit]
    for round_ in range(4):
        for request in [start(concurrency, float(round_)) for _ in range(concurrency.limit)]:
            concurrency.served(request, round_ + 1.0)
        limits.append(concurrency.limit)
    assert limits == [12, 24, 48, 96, 100]


def test_who_has_learned_a_limit_does_not_begin_again():
    concurrency = Concurrency(100)
    concurrency.refused(start(concurrency), 0.0, 99)
    concurrency.begin_beside_others()
    assert concurrency.limit == 80


def test_one_request_at_once_is_always_allowed():
    concurrency = Concurrency(100)
    for _ in range(40):
        concurrency.refused(start(concurrency), 0.0, 0)
    assert concurrency.limit == 1
    assert concurrency.start(0.0, 1) == Started(0.0, 1, 40, True)
