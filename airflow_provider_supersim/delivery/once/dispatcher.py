"""Send each command once: write ahead, send, look in the API where the outcome is unknown, record."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import AuthenticationError, SuperSimError, Verdict
from airflow_provider_supersim.api.models import Direction, IpCommand
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger, fingerprint
from airflow_provider_supersim.delivery.once.reconcile import Lost, find, recent
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.state.states import State

log = logging.getLogger(__name__)

#: Seconds after which a command that the list does not show was surely not accepted. The API promises nothing.
LAG = 30.0
LOOK_EVERY = 2.0
#: Unknown outcomes above which nothing new leaves: an API that answers 5xx to everything must not be sent a million.
MOST_UNKNOWN = 1_000
#: Times that one command is sent whose outcome stays unknown each time, and that the list never shows: with the default
#: lag, some five minutes.
MOST_SENDINGS = 10
SAVE_WITHIN = 5.0  # seconds that a task which is being killed may still take to record what it knows


class NotNow(Exception):  # noqa: N818  # it is no error
    """Raised by ``may_leave`` where a command may not be sent at this moment."""


class _Job:
    """One command on its way."""

    __slots__ = ("alone", "device", "entry", "error", "in_vain", "tried", "unknown_since")

    def __init__(self, device: Device, entry: Entry) -> None:
        self.device = device
        self.entry = entry
        self.tried = False
        self.error: SuperSimError | None = None  # of the last sending, where its outcome was not known
        self.alone = 0  # sendings of unknown outcome while others were accepted
        self.in_vain = 0  # such sendings in a row while none was: an outage, which says nothing against this command
        self.unknown_since = time.monotonic()


class Dispatcher:
    """Sends commands through one client and one ledger.

    :param lag: seconds for which the API's list may not yet show a command that was accepted
    :param on_accepted: called with each command as the API has accepted it
    :param on_refused: called with each device whose command the API has refused, and the refusal
    :param may_leave: called right before a request leaves; raises :class:`NotNow` to hold the command back
    """

    def __init__(
        self,
        client: AsyncSuperSimClient,
        ledger: Ledger,
        *,
        concurrency: int,
        lag: float = LAG,
        on_accepted: Callable[[IpCommand], None] = lambda _: None,
        on_refused: Callable[[Device, SuperSimError], None] = lambda _, __: None,
        may_leave: Callable[[Device], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._concurrency = concurrency
        self._lag = lag
        self._on_accepted = on_accepted
        self._on_refused = on_refused
        self._may_leave = may_leave
        self._unknown: dict[str, _Job] = {}
        self._untried: Counter[int] = Counter()  # by chunk
        self._left = 0  # commands whose outcome is not known yet
        self._done = anyio.Event()
        self._accepted_at = 0.0
        self._sim_sids: dict[str, str] = {}

    async def send(self, devices: Sequence[Device]) -> None:
        """Send a command to each; as :meth:`send_stream`."""

        async def stream() -> AsyncIterator[Device]:
            for one in devices:
                yield one

        await self.send_stream(stream())

    async def send_stream(self, devices: AsyncIterator[Device]) -> None:
        """Send each command exactly once, and return when the outcome of each is in the ledger.

        A device whose latest entry is about to be sent is looked up in the API first.

        :param devices: asked for when there is room for more
        :raises SuperSimError: the credentials are refused, or the API was out of reach, or answered 5xx to everything,
            for long: what was not sent yet is left for the next try
        :raises LedgerTakenError: a later try has taken over
        """
        self._left, self._done = 1, anyio.Event()  # what has still to be fed counts as one
        # No more is written ahead than this. asyncio's own queue, for anyio's stream took a tenth of a command's CPU.
        jobs: asyncio.Queue[_Job] = asyncio.Queue(CHUNK)
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._concurrency):
                    group.start_soon(self._work, jobs)
                group.start_soon(self._reconcile, jobs)
                await self._feed(devices, jobs)
                self._finish()
                await self._done.wait()
                group.cancel_scope.cancel()
        except ExceptionGroup as errors:  # not except*: before Python 3.11.4 that would put a group around it again
            raise _first(errors) from None
        finally:
            while not jobs.empty():  # what was still waiting for its turn never left
                self._withdraw_unsent(jobs.get_nowait())
            with anyio.move_on_after(SAVE_WITHIN, shield=True):
                await self._ledger.save_changed()

    async def read_list(self) -> None:
        """Tell the ledger of each of its commands that the API's list shows, page by page."""
        async for command in recent(self._client.iter_ip_commands(direction=Direction.TO_SIM), self._ledger.began):
            self._ledger.settle(command)

    async def _feed(self, devices: AsyncIterator[Device], jobs: asyncio.Queue[_Job]) -> None:
        async for batch in self._ledger.batches(self._without_lost(devices)):
            while len(self._unknown) >= MOST_UNKNOWN:  # noqa: ASYNC110  # they go by in groups, every two seconds
                await anyio.sleep(LOOK_EVERY / 4)
            if leaving := [one for one in batch if self._leaves_now(one)]:
                await self._write_ahead(leaving, jobs)

    async def _without_lost(self, devices: AsyncIterator[Device]) -> AsyncIterator[Device]:
        """Keep back those over whose command an earlier try died, to be looked up."""
        async for one in devices:
            entry = self._ledger.entry(one.sim)
            if entry is not None and entry.status == State.ABOUT_TO_SEND:
                self._left += 1
                self._lose(_Job(one, entry))
            else:
                yield one

    async def _write_ahead(self, leaving: Sequence[Device], jobs: asyncio.Queue[_Job]) -> None:
        since = int((await self._client.date()).timestamp())
        entries = await self._ledger.write_ahead({one.sim: fingerprint(one.request) for one in leaving}, since)
        self._untried[entries[0].chunk] = len(leaving)
        self._left += len(leaving)
        for one, entry in zip(leaving, entries, strict=True):
            await jobs.put(_Job(one, entry))

    def _leaves_now(self, one: Device) -> bool:
        try:
            self._may_leave(one)
        except NotNow:
            return False
        return True

    async def _work(self, jobs: asyncio.Queue[_Job]) -> None:
        while True:
            await self._send_one(await jobs.get())

    async def _send_one(self, job: _Job) -> None:
        left = job.tried

        def leave() -> None:
            nonlocal left
            self._may_leave(job.device)
            left = True

        try:
            self._may_leave(job.device)  # asked here too, for what may not leave need not wait for the pace
            command = await self._client.send(job.device.request, may_leave=leave)
        except NotNow as why:
            self._ledger.withdraw(job.entry, str(why))
        except anyio.get_cancelled_exc_class():
            if not left:  # it waited for the pace
                self._withdraw_unsent(job)
            raise
        except SuperSimError as error:
            if error.verdict is Verdict.UNKNOWN:
                self._lose(job, error)
                await self._record_tried(job)
                return
            if error.verdict is Verdict.TRY_AGAIN or isinstance(error, AuthenticationError):
                self._ledger.withdraw(job.entry, str(error))
                raise
            self._refuse(job, error)
        else:
            self._accept(job, command)
        await self._record_tried(job)
        self._finish()

    def _accept(self, job: _Job, command: IpCommand) -> None:
        self._accepted_at = time.monotonic()
        self._ledger.accept(job.entry, command)
        self._on_accepted(command)

    def _refuse(self, job: _Job, error: SuperSimError) -> None:
        self._ledger.refuse(job.entry, error)
        self._on_refused(job.device, error)

    def _lose(self, job: _Job, error: SuperSimError | None = None) -> None:
        if error:
            log.info("Not known whether the command to SIM %s was accepted; looking it up: %s", job.device.sim, error)
            job.error = error
            if self._accepted_at > job.unknown_since:
                job.alone, job.in_vain = job.alone + 1, 0
            else:
                job.in_vain += 1
        job.unknown_since = time.monotonic()
        self._unknown[job.device.sim] = job

    def _finish(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._done.set()

    async def _record_tried(self, job: _Job) -> None:
        """Write the job's chunk when the last of its commands has been tried."""
        if not job.tried:
            job.tried = True
            chunk = job.entry.chunk
            self._untried[chunk] -= 1
            if not self._untried[chunk]:
                del self._untried[chunk]
                await self._ledger.save(chunk)

    def _withdraw_unsent(self, job: _Job) -> None:
        self._ledger.withdraw(job.entry, "the task ended before its turn")

    async def _reconcile(self, jobs: asyncio.Queue[_Job]) -> None:
        """Look up all unknown outcomes together, again and again; send anew what was surely not accepted."""
        while True:
            await anyio.sleep(min(LOOK_EVERY, self._lag / 2))
            if not self._unknown:
                continue
            looked_at = time.monotonic()
            lost = [
                Lost(sim, job.device.sim_sid, job.entry, self._ledger.since(job.entry))
                for sim, job in self._unknown.items()
            ]
            for one, command in await find(self._client, lost, self._sim_sids):
                job = self._unknown.pop(one.sim)
                self._accept(job, command)
                self._finish()
            await self._ledger.save_changed()
            overdue = [job for job in self._unknown.values() if looked_at - job.unknown_since >= self._lag]
            await self._send_again(overdue, jobs)

    async def _send_again(self, overdue: list[_Job], jobs: asyncio.Queue[_Job]) -> None:
        if not overdue:
            return
        await self._ledger.check_held()  # a later try looks for the same ones
        again = 0
        for job in overdue:
            del self._unknown[job.device.sim]
            if job.error and max(job.alone, job.in_vain) >= MOST_SENDINGS:
                self._give_up(job, job.error)
                continue
            if self._ledger.renew(job.entry, fingerprint(job.device.request)):
                await self._ledger.save(job.entry.chunk)
            await jobs.put(job)
            again += 1
        if again:
            log.info("%s command(s) were not accepted, as the API's list shows: sending them again", again)

    def _give_up(self, job: _Job, error: SuperSimError) -> None:
        """Take a command that the API cannot answer for one that it refuses.

        :raises SuperSimError: it answers no other either
        """
        if job.alone >= MOST_SENDINGS:
            self._refuse(job, error)
            self._finish()
            return
        log.error(
            "The API has accepted nothing for long, and its list shows nothing of what was sent %s times meanwhile: "
            "giving up. The next try goes on from here",
            job.in_vain,
        )
        self._ledger.withdraw(job.entry, str(error))
        raise error


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
