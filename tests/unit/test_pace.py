"""The pace: what the search for the concurrency is told, the vendor's pause, and a hard ceiling on the rate."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import suppress
from itertools import pairwise
from threading import Thread
from types import SimpleNamespace

import anyio
import pytest
from virtual_time import VirtualTimeLoop

from airflow_provider_supersim.api import pace as pace_module
from airflow_provider_supersim.api.errors import NotFoundError, ServerError, TooManyRequestsError, Verdict
from airflow_provider_supersim.api.pace import Pace, pace_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch):
    monkeypatch.setattr(pace_module, "time", SimpleNamespace(monotonic=now))


def now():
    return asyncio.get_running_loop().time()


def too_many(retry_after=None):
    return TooManyRequestsError(
        "slow down", request="POST /v1/IpCommands", verdict=Verdict.TRY_AGAIN, status=429, retry_after=retry_after
    )


class Requests:
    """Makes requests that take a second each and notes when they began."""

    def __init__(self, pace):
        self.pace = pace
        self.began = []
        self.under_way = 0
        self.most = 0

    async def one(self, error=None, *, rated=True, seconds=1.0):
        async def request():
            self.began.append(now())
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                await anyio.sleep(seconds)
            finally:
                self.under_way -= 1
            if error:
                raise error

        with suppress(TooManyRequestsError, ServerError, NotFoundError):
            await self.pace.run(request, rated=rated)

    async def many(self, number, error=None, **kwargs):
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(lambda: self.one(error, **kwargs))


async def at_its_most(pace):
    """Return the pace after the API has shown that nobody else uses the account."""
    pace.at_work = 1
    await Requests(pace).many(8, rated=False)
    pace.at_work = None
    return pace


async def test_no_more_than_the_concurrency_are_under_way():
    requests = Requests(Pace(7))
    await requests.many(50)
    assert requests.most == 7
    assert len(requests.began) == 50


async def refuse(pace, number, *, still_under_way):
    """Make so many requests at once that are refused, beside some that are still under way then."""
    async with anyio.create_task_group() as group:
        for _ in range(still_under_way):
            group.start_soon(lambda: Requests(pace).one(seconds=2))
        await Requests(pace).many(number, too_many())


async def test_of_a_burst_those_that_are_not_refused_are_the_limit():
    pace = await at_its_most(Pace(100))
    await refuse(pace, 83, still_under_way=17)
    assert pace.concurrency == 17


async def test_answers_count_where_as_many_as_allowed_were_under_way():
    pace = await at_its_most(Pace(32))
    await refuse(pace, 16, still_under_way=16)
    assert pace.concurrency == 16
    for _ in range(100):
        await Requests(pace).many(15)
    assert pace.concurrency == 16
    await Requests(pace).many(200)
    assert pace.concurrency > 16


async def test_those_who_wait_go_on_when_more_are_allowed():
    pace = await at_its_most(Pace(32))
    await refuse(pace, 16, still_under_way=16)
    requests = Requests(pace)
    await requests.many(500)
    assert requests.most > 16
    assert len(requests.began) == 500


@pytest.mark.parametrize(("at_work", "then"), [(None, 9), (1, 100), (8, 100), (90, 9), (100, 7)])
async def test_what_the_api_says_of_the_account_decides_how_it_goes_on(at_work, then):
    pace = Pace(100)
    assert pace.concurrency == 8
    pace.at_work = at_work
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(lambda number=number: Requests(pace).one(seconds=1.7 - number / 10))
        await anyio.sleep(1.05)
        assert pace.concurrency == then


async def test_other_failures_say_nothing_about_the_pace():
    pace = Pace(8)
    error = ServerError("down", request="GET /", verdict=Verdict.TRY_AGAIN, status=503, retry_after=60)
    await Requests(pace).many(8, error)
    assert pace.concurrency == 8


async def test_a_request_that_the_api_looks_at_and_refuses_was_served():
    pace = await at_its_most(Pace(32))
    await refuse(pace, 16, still_under_way=16)
    error = NotFoundError("no such SIM", request="POST /v1/IpCommands", verdict=Verdict.REFUSED, status=404)
    await Requests(pace).many(300, error)
    assert pace.concurrency > 20


async def test_everybody_waits_as_long_as_the_vendor_asked():
    pace = Pace(8)
    requests = Requests(pace)
    await requests.one(too_many(retry_after=30))
    paused_at = now()
    await requests.many(4, rated=False)
    assert all(began >= paused_at + 30 for began in requests.began[1:])


async def test_the_longest_pause_holds():
    requests = Requests(Pace(8))
    await requests.one(too_many(retry_after=30))
    asked_at = now()
    async with anyio.create_task_group() as group:
        group.start_soon(requests.one)
        requests.pace._pause(too_many(retry_after=5))
    assert requests.began[-1] >= asked_at + 30


async def test_a_long_pause_is_explained_once(caplog):
    caplog.set_level("WARNING")
    await Requests(Pace(8)).many(8, too_many(retry_after=30))
    (record,) = caplog.records
    assert record.getMessage() == (
        "Pausing for 30 seconds: 429 with Retry-After from the API. Sending resumes by itself. [pausing]"
    )


async def test_a_short_pause_is_not(caplog):
    caplog.set_level("WARNING")
    await Requests(Pace(8)).many(8, too_many(retry_after=1))
    assert not caplog.records


async def test_refusals_are_told_of_every_ten_seconds(caplog):
    caplog.set_level("INFO")
    pace = Pace(8)
    for _ in range(25):
        await Requests(pace).one(too_many())
    first, *others = [record.getMessage() for record in caplog.records]
    assert first == "Slowing to 6 requests at once: 429 from the API"
    assert others
    for message in others:
        said = re.fullmatch(r"Slowing to 1 request at once: 429 \d+ times? in (\d+) seconds from the API", message)
        assert int(said[1]) >= 10


async def test_if_even_one_at_once_is_refused_all_rest_longer_and_longer_up_to_a_few_seconds():
    pace = Pace(1)
    requests = Requests(pace)
    for _ in range(12):
        await requests.one(too_many(), seconds=0)
    rests = [later - began for began, later in pairwise(requests.began)]
    assert 0.2 <= rests[0] <= 0.6
    assert all(1.4 <= one <= 3.1 for one in rests[-5:])
    await requests.one(seconds=0)
    began = now()
    await requests.one(seconds=0)
    assert requests.began[-1] - began < 0.1


async def test_those_who_wait_are_held_back_by_a_pause_that_begins_meanwhile():
    pace = Pace(1)
    requests = Requests(pace)
    async with anyio.create_task_group() as group:
        group.start_soon(requests.one, too_many(retry_after=30))
        group.start_soon(requests.one)
    assert requests.began[1] - requests.began[0] >= 31


def most_in_a_second(began):
    return max(sum(start <= other < start + 1.0 - 1e-6 for other in began) for start in began)


@pytest.mark.parametrize("rate", [0.5, 1, 10, 50])
async def test_the_rate_is_a_ceiling(rate):
    requests = Requests(await at_its_most(Pace(100, rate)))
    await requests.many(60)
    assert most_in_a_second(requests.began) <= max(1, rate)
    assert max(requests.began) - min(requests.began) == pytest.approx(59 / rate, rel=0.05)


async def test_the_rate_is_a_ceiling_after_a_pause_too():
    requests = Requests(Pace(100, 10))
    async with anyio.create_task_group() as group:
        group.start_soon(requests.one, too_many(retry_after=30))
        for _ in range(100):
            group.start_soon(requests.one)
    assert most_in_a_second(requests.began) <= 10


async def test_the_rate_is_a_ceiling_after_a_slow_time_too():
    requests = Requests(Pace(2, 10))
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: requests.one(seconds=20))
        group.start_soon(lambda: requests.one(seconds=20))
        for _ in range(100):
            group.start_soon(lambda: requests.one(seconds=0.001))
    assert most_in_a_second(requests.began) <= 10


async def test_reads_do_not_count_against_the_rate_nor_wait_for_it():
    requests = Requests(Pace(10, 1))
    began = now()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(requests.one)
        await anyio.sleep(0.5)
        await requests.many(30, rated=False, seconds=0.1)
        assert now() - began < 2


async def test_a_place_is_given_back_when_the_one_who_waits_is_cancelled():
    pace = Pace(1, 1)
    requests = Requests(pace)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(requests.one)
        await anyio.sleep(1.5)
        group.cancel_scope.cancel()
    await requests.many(2)
    assert requests.most == 1
    assert requests.under_way == 0


async def test_a_place_is_given_back_when_it_is_given_out_and_its_taker_cancelled_in_one_moment():
    pace = Pace(1)
    async with anyio.create_task_group() as group:
        ended = anyio.Event()
        group.start_soon(lambda: pace.run(ended.wait, rated=False))
        await anyio.sleep(0.1)
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(lambda: Requests(pace).one())
            await anyio.sleep(0.1)
            ended.set()
            await anyio.lowlevel.checkpoint()
            waiting.cancel_scope.cancel()
    with anyio.fail_after(5):
        await Requests(pace).one()


async def test_who_waits_for_a_place_takes_it_in_the_order_of_asking():
    requests, order = Requests(Pace(1)), []

    async def ask(number):
        await requests.one()
        order.append(number)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(ask, number)
            await anyio.sleep(0.001)
    assert order == list(range(20))


def test_all_clients_of_an_account_share_a_pace():
    pace = pace_of("account", 100, None)
    assert pace_of("account", 100, None) is pace
    assert pace_of("another", 100, None) is not pace
    assert pace_of("account", 50, None) is not pace


def test_threads_with_event_loops_of_their_own_share_its_places():
    """Each thread has a loop, as each session of a hook has. No other can be under way while one is."""
    pace, in_hand, most, made = Pace(3), [], [], []

    async def request():
        in_hand.append(1)
        most.append(len(in_hand))
        await asyncio.sleep(0.001)
        in_hand.pop()
        made.append(1)

    async def many():
        await asyncio.gather(*[pace.run(request, rated=False) for _ in range(50)])

    threads = [Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 3
    assert len(made) == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_begins_with_a_pace_of_its_own():
    """What is under way in the parent is not the child's to wait for."""
    pace = pace_of("forked", 1, None)
    child = os.fork()
    if not child:
        os._exit(0 if pace_of("forked", 1, None) is not pace else 1)
    assert os.waitpid(child, 0)[1] == 0


async def test_without_a_limit_in_the_way_nobody_waits():
    requests = Requests(await at_its_most(Pace(1000)))
    began = now()
    await requests.many(1000)
    assert now() - began < 1.1
