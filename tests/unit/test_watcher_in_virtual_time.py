"""When the watcher looks, and how often: in virtual time, in which a week passes at once.

Sockets know nothing of virtual time, so a stand-in answers here. What a look believes is tested on the simulator, in
``tests/simulator/test_watcher.py``.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace

import anyio
import pytest
from virtual_time import VirtualTimeLoop

from airflow_provider_supersim.api.errors import ServerError, Verdict
from airflow_provider_supersim.api.models import Direction, IpCommand, PayloadType, Status
from airflow_provider_supersim.api.requests import IP_COMMANDS
from airflow_provider_supersim.delivery.waiting import watcher as watch
from airflow_provider_supersim.delivery.waiting.watcher import PAUSES, Watcher

pytestmark = pytest.mark.anyio

WEEK = 7 * 86_400.0
SLOWEST = PAUSES[-1] * (1 + watch.JITTER)


@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.fixture
def steady(monkeypatch):
    """Pauses without their random part."""
    monkeypatch.setattr(watch, "JITTER", 0.0)


def now():
    return asyncio.get_running_loop().time()


class Api:
    """An account whose commands are all settled at one time. Each request takes no time."""

    vendor = SimpleNamespace(max_concurrency=100)

    def __init__(self, sids=("HG1",), settled_at=math.inf):
        self.sids = sids
        self.settled_at = settled_at
        self.asked = []  # when each request came
        self.error = None
        self.hangs = False

    @asynccontextmanager
    async def __call__(self):
        yield self

    def page_size(self, collection):
        return 1000

    async def get_ip_command(self, sid):
        await self._answer()
        return self._command(sid)

    async def iter_ip_commands(self, *, direction):
        assert direction == Direction.TO_SIM
        for number, sid in enumerate(self.sids):
            if number % self.page_size(IP_COMMANDS) == 0:
                await self._answer()
            yield self._command(sid)

    async def _answer(self):
        self.asked.append(now())
        if self.hangs:
            await anyio.sleep_forever()
        if self.error:
            raise self.error

    def _command(self, sid):
        status = Status.SENT if now() >= self.settled_at else Status.QUEUED
        return IpCommand(sid=sid, status=status, direction=Direction.TO_SIM, payload_type=PayloadType.TEXT)

    def rounds(self):
        """Return when each round began: requests of one moment are of one round."""
        return sorted({round(at, 2) for at in self.asked})


def pauses(moments):
    return [later - earlier for earlier, later in pairwise(moments)]


async def test_it_asks_less_often_when_nothing_moves(steady):
    api = Api()
    await Watcher(api).wait(["HG1"], interval=10, timeout=150)

    until_the_deadline = 150 - (10 + 15 + 22.5 + 33.75 + 40)
    assert pauses(api.rounds()) == pytest.approx([10, 15, 22.5, 33.75, 40, until_the_deadline], abs=0.01)


async def test_it_asks_less_often_while_rounds_fail(steady):
    api = Api()
    api.error = ServerError("down", request="GET /v1/IpCommands", verdict=Verdict.TRY_AGAIN, status=503)
    waited = await Watcher(api).wait(["HG1"], interval=10, timeout=WEEK)

    assert pauses(api.rounds()) == pytest.approx([15, 22.5, 33.75] + 6 * [40], abs=0.01)
    assert len(api.asked) == watch.FAILED_ROUNDS
    assert (waited.unread, waited.retryable) == (["HG1"], True)


async def test_a_week_of_waiting_ends_as_an_hour_does():
    api = Api(settled_at=now() + WEEK)
    began = now()
    waited = await Watcher(api).wait(["HG1"], interval=60, timeout=2 * WEEK)

    assert waited.settled
    assert len(api.asked) > 2_000  # 1.5 to the power of that would be more than a float can hold
    assert now() - began < WEEK + 60 * SLOWEST + 0.1


async def test_somebody_new_makes_it_ask_as_often_as_at_first(steady):
    api = Api(["HG1", "HG2"])
    watcher = Watcher(api)
    first = asyncio.create_task(watcher.wait(["HG1"], interval=10, timeout=1000))
    await anyio.sleep(500)
    came, earlier = now(), api.rounds()
    second = asyncio.create_task(watcher.wait(["HG2"], interval=10, timeout=500))
    await asyncio.gather(first, second)

    new = api.rounds()[len(earlier) :]
    assert new[0] - came <= 10
    assert pauses(new)[:4] == pytest.approx([10, 15, 22.5, 33.75], abs=0.01)


async def test_at_the_deadline_it_has_just_looked():
    api = Api(settled_at=now() + 29)
    waited = await Watcher(api).wait(["HG1"], interval=60, timeout=30)

    assert waited.settled
    assert pauses(api.rounds()) == pytest.approx([30], abs=0.01)


async def test_somebody_new_does_not_wait_out_a_long_pause_of_others():
    api = Api(["HG1", "HG2"], settled_at=now() + 1)
    watcher, began = Watcher(api), now()
    patient = asyncio.create_task(watcher.wait(["HG1"], interval=3600, timeout=7200))
    await anyio.sleep(2)

    assert (await watcher.wait(["HG2"], interval=5, timeout=60)).settled
    assert (await patient).settled  # the other is served on the way
    assert now() - began < 10


async def test_nobody_new_makes_it_ask_more_often_than_wanted():
    sids = [f"HG{number}" for number in range(200)]
    api, tasks = Api(sids, settled_at=now() + 100), []
    watcher, began = Watcher(api), now()
    for sid in sids:  # one each half second
        tasks.append(asyncio.create_task(watcher.wait([sid], interval=5, timeout=600)))
        await anyio.sleep(0.5)
    await asyncio.gather(*tasks)

    assert min(pauses(api.rounds())) >= 5 * (1 - watch.JITTER) - 0.02
    assert now() - began < 100 + 5 * SLOWEST


async def test_many_waiters_share_their_requests():
    sids = [f"HG{number}" for number in range(2_000)]
    api = Api(sids, settled_at=now() + 12)
    watcher = Watcher(api)
    waits = [asyncio.create_task(watcher.wait([sid], interval=5, timeout=600)) for sid in sids]

    assert [[command.sid for command in (await wait).commands] for wait in waits] == [[sid] for sid in sids]
    assert len(api.rounds()) <= 4  # at about 0, 5 and 12.5 seconds
    assert len(api.asked) <= 2 * len(api.rounds())  # pages


async def test_a_hanging_api_ends_a_while_after_the_deadline():
    api = Api()
    api.hangs = True
    began = now()
    waited = await Watcher(api).wait(["HG1"], interval=5, timeout=60)

    assert now() - began == pytest.approx(60 + watch.GRACE, abs=0.01)
    assert (waited.settled, waited.unread, waited.error) == (False, ["HG1"], None)


async def test_an_error_of_one_waiter_ends_no_other_wait():
    def broken(command):
        raise KeyError(command.sid)

    api = Api(["HG1", "HG2"], settled_at=now() + 12)
    watcher = Watcher(api)
    other = asyncio.create_task(watcher.wait(["HG1", "HG2"], interval=5, timeout=60))
    with pytest.raises(KeyError, match="HG1"):
        await watcher.wait(["HG1"], interval=5, timeout=60, on_read=broken)

    assert (await other).settled


@pytest.mark.parametrize(
    ("interval", "timeout", "error"),
    [
        (0, 60, ValueError),
        (math.nan, 60, ValueError),
        (5, -1, ValueError),
        (5, math.nan, ValueError),
        ("5", 60, TypeError),
    ],
)
async def test_an_argument_that_cannot_be_right_ends_no_other_wait(interval, timeout, error):
    api = Api(["HG1", "HG2"], settled_at=now() + 12)
    watcher = Watcher(api)
    other = asyncio.create_task(watcher.wait(["HG1"], interval=5, timeout=60))
    await anyio.sleep(1)
    with pytest.raises(error):
        await watcher.wait(["HG2"], interval=interval, timeout=timeout)

    assert (await other).settled
    assert len(api.asked) <= 4


@pytest.mark.parametrize("one_by_one", [False, True])
async def test_work_grows_with_the_number_of_waiters_and_no_faster(one_by_one):
    few, many = [await calls_for(number, one_by_one=one_by_one) for number in (200, 2_000)]

    assert many < 12 * few


async def calls_for(number, *, one_by_one):
    """Return how many calls of functions serve so many waiters."""
    sids = [f"HG{one}" for one in range(number)]
    api, calls, tasks = Api(sids, settled_at=now() + 12), 0, []
    watcher = Watcher(api)

    def count(frame, event, argument):
        nonlocal calls
        calls += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for sid in sids:
            tasks.append(asyncio.create_task(watcher.wait([sid], interval=5, timeout=600)))
            if one_by_one:
                await asyncio.sleep(0)
        waits = await asyncio.gather(*tasks)
    finally:
        sys.setprofile(before)
    assert all(waited.settled for waited in waits)
    return calls
