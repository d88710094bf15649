"""When the watcher looks, and how often: in virtual time, in which a week passes at once.

Sockets know nothing of virtual time, so a stand-in answers here. What a look believes is tested on the simulator, in
``tests/simulator/test_watcher.py``.
"""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace

import anyio
import pytest
from virtual_time import VirtualTimeLoop

from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadInputError,
    BadRequestError,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
    Verdict,
)
from airflow_provider_supersim.api.models import Direction, IpCommand, PayloadType, Status
from airflow_provider_supersim.api.requests import IP_COMMANDS
from airflow_provider_supersim.delivery.waiting import watcher as watch
from airflow_provider_supersim.delivery.waiting.status_reader import HOPELESS
from airflow_provider_supersim.delivery.waiting.waited import StatusesUnreadableError
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
    paused_for = 0.0

    def __init__(self, sids=("HG1",), settled_at=math.inf):
        self.sids = sids
        self.settled_at = settled_at
        self.asked = []  # when each request came
        self.error = None  # of each request
        self.refusals = {}  # by sid: the error of its single read
        self.listed = True  # the list shows the commands
        self.list_refusal = None  # the error of each page
        self.hangs = False

    @asynccontextmanager
    async def __call__(self):
        yield self

    def page_size(self, collection):
        return 1000

    async def get_ip_command(self, sid):
        await self._answer()
        if sid in self.refusals:
            raise self.refusals[sid]
        return self._command(sid)

    async def iter_ip_commands(self, *, direction):
        assert direction == Direction.TO_SIM
        for number, sid in enumerate(self.sids):
            if number % self.page_size(IP_COMMANDS) == 0:
                await self._answer()
                if self.list_refusal:
                    raise self.list_refusal
            if self.listed:
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


@pytest.mark.parametrize(("timeout", "ends_after"), [(0, 30), (1, 6), (5, 10), (20, 40), (60, 90), (3600, 3630)])
async def test_a_hanging_api_ends_a_wait_soon_after_its_deadline(timeout, ends_after):
    api = Api()
    api.hangs = True
    began = now()
    waited = await Watcher(api).wait(["HG1"], interval=5, timeout=timeout)

    assert now() - began == pytest.approx(ends_after, abs=0.01)
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


async def test_an_error_of_one_waiter_about_a_command_that_is_gone_ends_no_other_wait():
    def broken(sid):
        raise KeyError(sid)

    api = Api(["HG1"], settled_at=now() + 100)
    api.refusals["HG2"] = refusal(404)
    watcher = Watcher(api)
    other = asyncio.create_task(watcher.wait(["HG1"], interval=5, timeout=600))
    with pytest.raises(KeyError, match="HG2"):
        await watcher.wait(["HG2"], interval=5, timeout=600, on_read=lambda _: None, on_gone=broken)

    assert (await other).settled


@pytest.mark.parametrize(
    ("interval", "timeout", "error"),
    [
        (0, 60, ValueError),
        (math.nan, 60, ValueError),
        (5, -1, ValueError),
        (5, math.nan, ValueError),
        ("5", 60, ValueError),
        (timedelta(seconds=5), 60, ValueError),
        (None, 60, ValueError),
        (True, 60, ValueError),
        (5, "60", ValueError),
        (5, timedelta(seconds=60), ValueError),
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


@pytest.mark.parametrize("sid", ["", "..", ".", "HG 1", "HG1/x", "HG1?x", None, 7])
async def test_a_sid_that_can_be_none_ends_no_other_wait(sid):
    api = Api(["HG1"], settled_at=now() + 12)
    watcher = Watcher(api)
    other = asyncio.create_task(watcher.wait(["HG1"], interval=5, timeout=60))
    await anyio.sleep(1)
    with pytest.raises(BadInputError, match="sid"):
        await watcher.wait([sid], interval=5, timeout=60)

    assert (await other).settled


def refusal(status):
    kind = {403: AuthenticationError, 404: NotFoundError}.get(status, BadRequestError)
    return kind("no", request="GET /v1/IpCommands/HG2", verdict=Verdict.REFUSED, status=status)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("status", [400, 403, 404, 414])
async def test_a_command_that_the_api_refuses_to_show_ends_its_own_wait_alone(status, listed):
    api = Api(["HG1", *[f"HG{number}" for number in range(3, 9)]], settled_at=now() + 12)
    api.refusals["HG2"], api.listed = refusal(status), listed
    watcher = Watcher(api)
    others = [asyncio.create_task(watcher.wait([sid], interval=5, timeout=60)) for sid in api.sids]
    refused = await watcher.wait(["HG2"], interval=5, timeout=60)

    assert (refused.unread, refused.retryable) == (["HG2"], False)
    assert f"answered {status}" in refused.error
    assert all([(await other).settled for other in others])


async def test_a_look_goes_on_without_the_command_that_the_api_refuses_to_show():
    api, read, refused = Api([f"HG{number}" for number in range(3, 90)]), [], {}
    api.refusals["HG2"] = refusal(403)
    await Watcher(api).look(
        ["HG2", *api.sids], pause=5, timeout=60, on_read=read.append, on_refused=refused.__setitem__
    )

    assert sorted(command.sid for command in read) == sorted(api.sids)
    assert refused == {"HG2": api.refusals["HG2"]}


async def test_whoever_waits_for_many_asks_again_for_the_one_that_is_refused_and_not_without_a_pause():
    api = Api(["HG1"], settled_at=now() + 1)
    api.refusals["HG2"] = refusal(404)
    began = now()
    waited = await Watcher(api).wait(["HG1", "HG2"], interval=5, timeout=60, on_read=lambda _: None)

    assert (waited.error, now() - began) == (None, pytest.approx(60, abs=0.1))
    assert len(api.rounds()) < 12


def for_a_fleet(api, sids, how):
    """Wait as a rollout does: in its worker, in the triggerer, or with one look."""
    if how == "look":
        return Watcher(api).look(sids, pause=5, timeout=600, on_read=lambda _: None, on_gone=lambda _: None)
    return Watcher(api).wait(sids, interval=5, timeout=600, on_read=lambda _: None, on_gone=lambda _: None)


async def error_of(waiting):
    """Return how a wait ended that must end with an error."""
    try:
        waited = await waiting
    except StatusesUnreadableError as error:
        waited = error.waited
    assert waited
    return waited


@pytest.mark.parametrize("how", ["wait", "look"])
@pytest.mark.parametrize("number", [1, 2, 30])
@pytest.mark.parametrize("status", [400, 403, 414])
async def test_when_every_read_is_refused_waiting_for_a_fleet_ends_after_one_round(status, number, how):
    api = Api([f"HG{one}" for one in range(number)])
    api.refusals = dict.fromkeys(api.sids, refusal(status))
    api.list_refusal = refusal(status)
    waited = await error_of(for_a_fleet(api, api.sids, how))

    assert (waited.retryable, waited.credentials_refused) == (False, status == 403)
    assert len(api.asked) <= number + 1
    assert len(api.rounds()) == 1


@pytest.mark.parametrize("how", ["wait", "look"])
async def test_many_refusals_without_one_status_end_the_wait_for_a_fleet_although_the_list_is_shown(how):
    api = Api([f"HG{one}" for one in range(2_000)])
    api.listed = False
    api.refusals = dict.fromkeys(api.sids, refusal(403))
    waited = await error_of(for_a_fleet(api, api.sids, how))

    assert (waited.retryable, waited.credentials_refused) == (False, True)
    assert len(api.asked) < 10 + 100 + HOPELESS


@pytest.mark.parametrize("how", ["wait", "look"])
@pytest.mark.parametrize("number", [1, 2])
async def test_what_may_not_be_read_singly_is_read_from_the_list(number, how):
    api = Api([f"HG{one}" for one in range(number)], settled_at=now())
    api.refusals = dict.fromkeys(api.sids, refusal(403))
    await for_a_fleet(api, api.sids, how)

    assert len(api.asked) == number + 1


async def test_a_few_that_are_refused_end_no_wait_for_a_fleet():
    api, read = Api(settled_at=now() + 12), []
    refused = [f"HG{one}" for one in range(2, HOPELESS)]
    api.refusals = dict.fromkeys(refused, refusal(403))
    waiting = Watcher(api).wait(["HG1", *refused], interval=5, timeout=600, on_read=read.append)

    assert (await waiting).error is None
    assert {command.sid for command in read} == {"HG1"}


async def test_one_single_read_that_fails_keeps_no_other_from_being_read():
    api, read = Api([f"HG{number}" for number in range(25)]), []
    api.listed = False
    api.refusals["HG7"] = ServerError("down", request="GET", verdict=Verdict.TRY_AGAIN, status=503)
    looking = asyncio.create_task(Watcher(api).look(api.sids, pause=5, timeout=600, on_read=read.append))
    await anyio.sleep(1)
    assert sorted(command.sid for command in read) == sorted(set(api.sids) - {"HG7"})

    await anyio.sleep(20)
    api.refusals.clear()
    await looking
    assert len(read) == 25


async def test_when_every_single_read_fails_a_round_gives_up_early():
    api = Api([f"HG{number}" for number in range(2_000)])
    api.listed = False
    error = ServerError("down", request="GET", verdict=Verdict.TRY_AGAIN, status=503)
    api.refusals = dict.fromkeys(api.sids, error)
    with pytest.raises(StatusesUnreadableError):
        await Watcher(api).look(api.sids, pause=5, timeout=3600, on_read=lambda _: None)
    assert len(api.asked) < 10 * (100 + HOPELESS)


async def test_busy_is_no_failure(caplog):
    api = Api(settled_at=now() + 3600)
    api.error = TooManyRequestsError("busy", request="GET", verdict=Verdict.TRY_AGAIN, status=429)
    waiting = asyncio.create_task(Watcher(api).wait(["HG1"], interval=5, timeout=7200))
    await anyio.sleep(3600)  # in which each client has waited two minutes for each request
    api.error = None
    assert (await waiting).settled
    assert not caplog.records


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_look_that_reads_nothing_ends_a_while_after_its_time(hangs):
    api = Api()
    api.hangs = hangs
    api.error = TooManyRequestsError("busy", request="GET", verdict=Verdict.TRY_AGAIN, status=429)
    began = now()
    with anyio.fail_after(WEEK), pytest.raises(StatusesUnreadableError) as failure:
        await Watcher(api).look(["HG1"], pause=5, timeout=3, on_read=lambda _: None)

    assert now() - began == pytest.approx(3 + watch.GRACE, abs=0.1)
    assert (failure.value.waited.unread, failure.value.waited.retryable) == ([], True)


async def test_a_look_that_the_api_has_asked_to_pause_goes_on_after_the_pause():
    api, until = Api(), now() + 300
    api.error = TooManyRequestsError("busy", request="GET", verdict=Verdict.TRY_AGAIN, status=429)
    type(api).paused_for = property(lambda _: max(0.0, until - now()))
    try:
        looking = asyncio.create_task(Watcher(api).look(["HG1"], pause=5, timeout=3, on_read=lambda _: None))
        await anyio.sleep(300)
        assert not looking.done()
        api.error = None
        await looking
    finally:
        type(api).paused_for = 0.0


async def test_a_look_ends_although_the_api_asks_for_one_pause_after_the_other(monkeypatch):
    api, began = Api(), now()
    api.error = TooManyRequestsError("busy", request="GET", verdict=Verdict.TRY_AGAIN, status=429)
    monkeypatch.setattr(Api, "paused_for", 60.0)
    with anyio.move_on_after(WEEK / 7), pytest.raises(StatusesUnreadableError) as failure:
        await Watcher(api).look(["HG1"], pause=5, timeout=3, on_read=lambda _: None)

    assert failure.value.waited.retryable
    assert now() - began == pytest.approx(3 + watch.BUSY + watch.GRACE, abs=1)


async def test_a_look_goes_on_for_as_long_as_it_reads_some():
    class Slow(Api):
        async def get_ip_command(self, sid):
            await anyio.sleep(20)
            return await super().get_ip_command(sid)

    api, read = Slow([f"HG{number}" for number in range(10)]), []
    api.vendor = SimpleNamespace(max_concurrency=1)
    api.listed = False
    began = now()
    await Watcher(api).look(api.sids, pause=5, timeout=0, on_read=read.append)
    assert (len(read), now() - began) == (10, pytest.approx(200, abs=1))


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
