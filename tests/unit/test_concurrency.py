"""How many requests at once: a hidden limit is found and used, found again when it moves, and shared with others."""

from __future__ import annotations

import pytest
from crowd import SAMPLE, Account, Process

from airflow_provider_supersim.api.concurrency import BEGINS, KEPT, Ceiling, Concurrency, Started

counts = pytest.mark.parametrize("counts", [True, False], ids=["counted", "not-counted"])


@counts
@pytest.mark.parametrize("latency", [0.05, 0.2, 1])
@pytest.mark.parametrize("limit", [5, 20, 60, 90])
def test_a_hidden_limit_is_found_and_used(limit, latency, counts):
    account = Account(limit, latency, Process(), counts=counts)
    account.run(40)
    assert account.used_share(since=10) > 0.88
    assert max(one[0] for one in account.limits[round(10 / SAMPLE) :]) <= limit + 3


@counts
@pytest.mark.parametrize("limit", [20, 60, 90])
def test_once_it_is_found_few_are_refused(limit, counts):
    process = Process()
    account = Account(limit, 0.1, process, counts=counts)
    account.run(5)
    process.served = process.refused = 0
    account.run(60)
    assert account.refused_share() < 0.005


@counts
@pytest.mark.parametrize(("latency", "within"), [(0.05, 1), (0.2, 2), (1, 8)])
def test_alone_it_is_at_the_most_after_a_few_rounds(latency, within, counts):
    account = Account(100, latency, Process(), counts=counts)
    account.run(60)
    assert {one[0] for one in account.limits[round(within / SAMPLE) :]} == {100}
    assert account.refused_share() == 0


@pytest.mark.parametrize("reads_every", [1e-6, 0.015])
@pytest.mark.parametrize("limit", [20, 60, 100])
def test_alone_on_an_account_that_counts_it_uses_the_whole_limit(limit, reads_every):
    """Also if the process is busy: while answers wait to be read, more are under way than the API has at work."""
    account = Account(limit, 0.1, Process(reads_every=reads_every), counts=True)
    account.run(60)
    limits = [one[0] for one in account.limits[round(10 / SAMPLE) :]]
    assert limit <= sum(limits) / len(limits) <= limit + 1


def test_an_api_that_counts_is_asked_for_the_most_after_one_round():
    process = Process()
    account = Account(100, 1.0, process, counts=True)
    account.run(1.0)
    assert process.concurrency.limit == BEGINS
    account.run(2.5)
    assert process.concurrency.limit == 100


@counts
@pytest.mark.parametrize("latency", [0.02, 0.2, 0.5, 1, 2])
def test_on_a_free_account_it_is_back_at_nine_tenths_within_fifteen_seconds(latency, counts):
    process = Process()
    account = Account(1, latency, process, counts=counts)
    account.run(60)
    assert process.concurrency.limit <= 3
    account.limit = 1_000
    account.run(75)
    assert process.concurrency.limit >= 90


@pytest.mark.parametrize(
    ("counts", "others", "latency"),
    [(True, others, latency) for others in (3, 7, 30) for latency in (0.2, 1, 5)]
    + [(False, others, latency) for others in (3, 7, 30) for latency in (0.2, 2)],
)
def test_after_a_crowd_has_gone_it_is_back_within_fifteen_seconds(others, latency, counts):
    process = Process()
    account = Account(100, latency, process, *[Process(ends=60) for _ in range(others)], counts=counts)
    account.run(60)
    assert process.concurrency.limit <= 50
    account.run(75)
    assert process.concurrency.limit >= 90


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("apart", [0, 2])
@pytest.mark.parametrize(
    ("counts", "latency", "most_refused"),
    [(True, 0.2, 0.005), (True, 1, 0.01), (True, 5, 0.03), (False, 0.2, 0.015), (False, 1, 0.04)],
)
def test_eight_processes_use_the_account_and_few_are_refused(counts, latency, most_refused, apart, seed):
    processes = [Process(begins=apart * number) for number in range(8)]
    account = Account(100, latency, *processes, counts=counts, seed=seed)
    account.run(45)
    assert account.refused_share() <= most_refused
    assert account.used_share(since=20) > 0.9


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("number", [2, 8])
@pytest.mark.parametrize("latency", [0.1, 0.2])
@pytest.mark.parametrize("apart", [0, 2])
def test_an_account_that_counts_is_shared_fairly(number, latency, apart, seed):
    processes = [Process(begins=apart * each) for each in range(number)]
    account = Account(100, latency, *processes, counts=True, seed=seed)
    account.run(45)
    assert account.longest_below_half_of_the_mean() <= 10


@pytest.mark.parametrize("limit", [40, 60, 100])
@pytest.mark.parametrize("number", [2, 8])
def test_of_an_account_that_counts_any_limit_is_found(limit, number):
    account = Account(limit, 0.2, *[Process() for _ in range(number)], counts=True)
    account.run(40)
    assert account.refused_share() <= 0.03
    assert account.used_share(since=15) > 0.85


@counts
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("spread", [0.02, 2])  # seconds in which they begin
def test_eight_rollouts_of_four_hundred_have_few_requests_refused(spread, seed, counts):
    processes = [Process(begins=spread * number / 8, commands=400) for number in range(8)]
    account = Account(100, 0.2, *processes, counts=counts, seed=seed)
    account.run(40)
    assert sum(process.served for process in processes) == 8 * 401  # each with a first request of its own
    assert account.refused_share() <= 0.02


@counts
@pytest.mark.parametrize("seed", range(5))
def test_one_that_comes_later_gets_its_share(seed, counts):
    late = Process(begins=20)
    account = Account(100, 0.1, Process(), late, seed=seed, counts=counts)
    account.run(40)
    assert late.concurrency.limit >= 25
    assert late.refused < 40


@counts
def test_a_limit_that_moves_is_found_again(counts):
    account = Account(20, 0.1, Process(), counts=counts)
    for limit, until in [(20, 20), (60, 60), (12, 80), (90, 120)]:
        account.limit = limit
        account.run(until)
        assert limit * 0.75 <= account.limits[-1][0] <= limit + 3


@pytest.mark.parametrize("most", [12, 20, 50])
def test_shares_of_the_limit_are_used_whole_beside_each_other(most):
    """As shards do, whose parts make the whole."""
    processes = [Process(most=most) for _ in range(100 // most)]
    account = Account(100, 0.2, *processes, counts=True)
    account.run(30)
    assert account.used_share(since=5) > 0.9
    assert account.refused_share() < 0.005


def test_of_those_that_wait_few_try_while_even_one_at_once_is_too_much():
    """A process that gets nothing must not spend its place on one refusal after the other."""
    unlucky = Process(begins=1)
    account = Account(1, 30.0, Process(), unlucky)
    unlucky.served = 1  # it has begun before
    account.run(29)
    assert unlucky.refused < 40


# What single answers do.


def start(concurrency, now=0.0, *, under_way=None):
    return concurrency.start(now, concurrency.limit if under_way is None else under_way)


def at_a_hundred():
    """Return a concurrency that has found its most."""
    concurrency = Concurrency(100)
    concurrency.served(start(concurrency), 0.0, BEGINS, BEGINS)
    assert concurrency.limit == 100
    return concurrency


def refuse(concurrency, request=None, *, still_under_way=99):
    concurrency.refused(request or start(concurrency), 0.1, still_under_way, None)


def test_of_many_that_left_together_those_that_were_not_refused_are_the_limit():
    concurrency = at_a_hundred()
    requests = [start(concurrency, under_way=number) for number in range(1, 101)]
    for number, request in enumerate(requests[:83]):
        refuse(concurrency, request, still_under_way=99 - number)
    assert concurrency.limit == 17


def test_a_refusal_of_a_request_that_was_alone_is_one_fall():
    """What refused it was not a limit of requests at once."""
    concurrency = Concurrency(100)
    concurrency.refused(start(concurrency, under_way=1), 0.1, 0, 1)
    assert concurrency.limit == int(BEGINS * KEPT)


def test_a_burst_of_refusals_near_the_limit_is_one_fall():
    concurrency = at_a_hundred()
    requests = [start(concurrency, under_way=number) for number in range(1, 101)]
    for number, request in enumerate(requests[:10]):
        refuse(concurrency, request, still_under_way=99 - number)
    assert concurrency.limit == 80


def test_of_few_requests_that_were_all_refused_the_limit_is_not_those_that_are_left():
    concurrency = at_a_hundred()
    requests = [start(concurrency, under_way=number) for number in (1, 2, 3)]
    for number, request in enumerate(requests):
        refuse(concurrency, request, still_under_way=2 - number)
    assert concurrency.limit == 80


@pytest.mark.parametrize("at_work", [None, 80])
def test_what_began_before_a_fall_says_nothing_new(at_work):
    concurrency = at_a_hundred()
    requests = [start(concurrency) for _ in range(100)]
    refuse(concurrency, requests[0])
    for request in requests[1:]:
        concurrency.served(request, 60.0, 80, at_work)
    assert concurrency.limit == 80


@pytest.mark.parametrize("at_work", [None, 30, 40])
def test_requests_that_were_fewer_than_allowed_do_not_raise_it(at_work):
    concurrency = at_a_hundred()
    refuse(concurrency)
    for second in range(1, 60):
        concurrency.served(start(concurrency, second, under_way=30), second + 1, 30, at_work)
    assert concurrency.limit == 80


def test_an_idle_hour_does_not_raise_it():
    concurrency = at_a_hundred()
    refuse(concurrency)
    concurrency.served(start(concurrency, 3600.0), 3600.01, 80, None)
    assert concurrency.limit == 80


def test_it_grows_no_faster_than_rounds_of_requests_show_that_it_may():
    concurrency = Concurrency(100)
    for _ in range(30):
        refuse(concurrency, still_under_way=0)
    limits = []
    for minute in range(1, 6):
        concurrency.served(start(concurrency, 60.0 * minute - 60), 60.0 * minute, 1, None)  # replies that take a minute
        limits.append(concurrency.limit)
    assert limits == [2, 4, 8, 16, 32]


def test_if_the_api_does_not_count_it_begins_low_and_doubles_with_each_round():
    concurrency = Concurrency(100)
    limits = [concurrency.limit]
    for round_ in range(4):
        for request in [start(concurrency, float(round_)) for _ in range(concurrency.limit)]:
            concurrency.served(request, round_ + 1.0, concurrency.limit, None)
        limits.append(concurrency.limit)
    assert limits == [8, 16, 32, 64, 100]


def test_if_the_account_is_full_the_limit_falls_without_a_refusal_and_grows_when_it_is_not():
    concurrency = at_a_hundred()
    concurrency.served(start(concurrency, 1.0), 2.0, 100, 101)
    fallen = concurrency.limit
    assert 75 < fallen < 100
    concurrency.served(start(concurrency, 2.0), 3.0, fallen, fallen + 1)
    assert concurrency.limit > fallen


def test_who_has_much_of_a_full_account_gives_up_a_larger_part_than_who_has_little():
    much, little = at_a_hundred(), Concurrency(100)
    much.served(start(much, 1.0), 2.0, 100, 104)
    little.served(start(little, 1.0), 2.0, 8, 104)
    assert much.limit / 100 < little._exact / 8 < 1


@pytest.mark.parametrize("at_work", [500, 10**9])
def test_a_count_that_nothing_confirms_does_not_hold_it_down_for_ever(at_work):
    concurrency = at_a_hundred()
    for second in range(60):
        concurrency.served(start(concurrency, second), second + 0.5, concurrency.limit, at_work)
    assert concurrency.limit >= 90


def test_a_refused_count_is_forgotten_slowly():
    ceiling = Ceiling(100)
    ceiling.refused(61, 0.0)
    assert [round(ceiling.at(now)) for now in (0, 20, 25, 30, 60)] == [60, 60, 62, 80, 100]


def test_one_request_at_once_is_always_allowed():
    concurrency = Concurrency(100)
    for _ in range(40):
        refuse(concurrency, still_under_way=0)
    assert concurrency.limit == 1
    assert concurrency.start(0.0, 1) == Started(0.0, 1, 40, True)
    assert concurrency.in_vain > 20
    concurrency.served(start(concurrency), 1.0, 1, None)
    assert concurrency.in_vain == 0
