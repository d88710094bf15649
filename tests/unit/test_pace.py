"""The pace: what the search for the concurrency is told, the vendor's pause, and a hard ceiling on the rate."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import anyio
import pytest
from virtual_time import VirtualTimeLoop

from airflow_provider_supersim.api import pace as pace_module
from airflow_provider_supersim.api.errors import ServerError, TooManyRequestsError, Verdict
from airflow_provider_supersim.api.pace import Pace

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture(autouse=True)
def _virtual_time(monkeypatch):
    now = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(pace_module, "time", now)


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

        with suppress(TooManyRequestsError, ServerError):
            await self.pace.run(request, rated=rated)

    async def many(self, number, error=None, **kwargs):
        async with anyio.create_task_group() as group:
            for _ in range(number):
                group.start_soon(lambda: self.one(error, **kwargs))


async def test_no_more_than_the_concurrency_are_under_way():
    requests = Requests(Pace(7))
    await requests.many(50)
    assert requests.most == 7
    assert len(requests.began) == 50


async def test_a_burst_of_429s_halves_the_concurrency_once():
    pace = Pace(100)
    await Requests(pace).many(100, too_many())
    assert pace.concurrency == 50


async def test_answers_count_where_as_many_as_allowed_were_under_way():
    pace = Pace(32)
    await Requests(pace).many(32, too_many())
    for _ in range(100):
        await Requests(pace).many(15)
    assert pace.concurrency == 16
    await Requests(pace).many(200)
    assert pace.concurrency > 16


async def test_those_who_wait_go_on_when_more_are_allowed():
    pace = Pace(32)
    await Requests(pace).many(32, too_many())
    requests = Requests(pace)
    await requests.many(500)
    assert requests.most > 16
    assert len(requests.began) == 500


async def test_other_failures_say_nothing_about_the_pace():
    pace = Pace(8)
    error = ServerError("down", request="GET /", verdict=Verdict.TRY_AGAIN, status=503, retry_after=60)
    await Requests(pace).many(8, error)
    assert pace.concurrency == 8


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
        "Pausing for 30 seconds: the API answered 429 with Retry-After. Sending resumes by itself. [pausing]"
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
    assert [record.getMessage() for record in caplog.records] == [
        "Slowing to 4 requests at once: the API answered 429",
        "Slowing to 1 request at once: the API answered 429 10 times in 10 seconds",
        "Slowing to 1 request at once: the API answered 429 10 times in 10 seconds",
    ]


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
    requests = Requests(Pace(100, rate))
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


async def test_without_a_limit_in_the_way_nobody_waits():
    requests = Requests(Pace(1000))
    began = now()
    await requests.many(1000)
    assert now() - began < 1.1
