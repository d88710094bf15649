"""Send each command once: write ahead, send, look in the API where the outcome is unknown, record."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import AuthenticationError, SuperSimError, Verdict
from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.ledger import ABOUT_TO_SEND, CHUNK, Chunk, Entry, Ledger, fingerprint
from airflow_provider_supersim.delivery.reconcile import Lost, find
from airflow_provider_supersim.delivery.targets import Device

log = logging.getLogger(__name__)

#: Seconds after which a command that the list does not show was surely not accepted. The API promises nothing.
LAG = 30.0
LOOK_EVERY = 2.0
SAVE_WITHIN = 5.0  # seconds that a task which is being killed may still take to record what it knows


class NotNow(Exception):  # noqa: N818  # it is no error
    """Raised by ``may_leave`` where a command may not be sent at this moment."""


class _Job:
    """One command on its way."""

    __slots__ = ("chunk", "device", "entry", "tried", "unknown_since")

    def __init__(self, device: Device, entry: Entry, chunk: Chunk) -> None:
        self.device = device
        self.entry = entry
        self.chunk = chunk
        self.tried = False
        self.unknown_since = 0.0


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
        self._sim_sids: dict[str, str] = {}

    async def send(self, devices: Sequence[Device]) -> None:
        """Send each command exactly once, and return when the outcome of each is in the ledger.

        A device whose latest entry is about to be sent is looked up in the API first.

        :raises SuperSimError: the credentials are refused, or the API was out of reach for long: what was not sent yet
            is left for the next try
        :raises LedgerTakenError: a later try has taken over
        """
        self._left, self._done = len(devices), anyio.Event()
        if not devices:
            return
        jobs_in, jobs_out = anyio.create_memory_object_stream[_Job](CHUNK)  # no more is written ahead than this
        try:
            async with anyio.create_task_group() as group:
                for _ in range(min(self._concurrency, len(devices))):
                    group.start_soon(self._work, jobs_out)
                group.start_soon(self._reconcile, jobs_in)
                await self._feed(devices, jobs_in)
                await self._done.wait()
                group.cancel_scope.cancel()
        except ExceptionGroup as errors:  # not except*: before Python 3.11.4 that would put a group around it again
            raise _first(errors) from None
        finally:
            self._withdraw_waiting(jobs_out)
            jobs_in.close()
            jobs_out.close()
            with anyio.move_on_after(SAVE_WITHIN, shield=True):
                await self._ledger.save_changed()

    async def _feed(self, devices: Sequence[Device], jobs: MemoryObjectSendStream[_Job]) -> None:
        before = [one for one in devices if self._is_about_to_be_sent(one)]
        if before:
            log.info("%s command(s) were being sent when the last try ended: looking them up in the API", len(before))
        chunk_of = {sim: chunk for chunk in self._ledger.chunks for sim in chunk.entries} if before else {}
        for one in before:
            self._lose(_Job(one, self._ledger.entries[one.sim], chunk_of[one.sim]))
        for batch in self._ledger.batches([one for one in devices if not self._is_about_to_be_sent(one)]):
            leaving = [one for one in batch if self._leaves_now(one)]
            for _ in range(len(batch) - len(leaving)):
                self._finish()
            if not leaving:
                continue
            since = int((await self._client.date()).timestamp())
            contents = {one.sim: fingerprint(one.request) for one in leaving}
            chunk = await self._ledger.write_ahead(contents, since)
            self._untried[chunk.number] = len(leaving)
            for one in leaving:
                await jobs.send(_Job(one, chunk.entries[one.sim], chunk))

    def _leaves_now(self, one: Device) -> bool:
        try:
            self._may_leave(one)
        except NotNow:
            return False
        return True

    def _is_about_to_be_sent(self, one: Device) -> bool:
        entry = self._ledger.entries.get(one.sim)
        return entry is not None and entry.status == ABOUT_TO_SEND

    async def _work(self, jobs: MemoryObjectReceiveStream[_Job]) -> None:
        async for job in jobs:
            await self._send_one(job)

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
            job.entry.withdraw(str(why))
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
                job.entry.withdraw(str(error))
                job.chunk.changed = True
                raise
            job.entry.refuse(error)
            self._on_refused(job.device, error)
        else:
            self._accept(job, command)
        job.chunk.changed = True
        await self._record_tried(job)
        self._finish()

    def _accept(self, job: _Job, command: IpCommand) -> None:
        self._ledger.accept(job.chunk, job.entry, command)
        self._on_accepted(command)

    def _lose(self, job: _Job, error: SuperSimError | None = None) -> None:
        if error:
            log.info("Not known whether the command to SIM %s was accepted; looking it up: %s", job.device.sim, error)
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
            self._untried[job.chunk.number] -= 1
            if not self._untried[job.chunk.number]:
                await self._ledger.save(job.chunk)

    @staticmethod
    def _withdraw_waiting(jobs: MemoryObjectReceiveStream[_Job]) -> None:
        """Note of what was still waiting for its turn that it never left."""
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while True:
                job = jobs.receive_nowait()
                Dispatcher._withdraw_unsent(job)

    @staticmethod
    def _withdraw_unsent(job: _Job) -> None:
        job.entry.withdraw("the task ended before its turn")
        job.chunk.changed = True

    async def _reconcile(self, jobs: MemoryObjectSendStream[_Job]) -> None:
        """Look up all unknown outcomes together, again and again; send anew what was surely not accepted."""
        while True:
            await anyio.sleep(min(LOOK_EVERY, self._lag / 2))
            if not self._unknown:
                continue
            looked_at = time.monotonic()
            lost = [Lost(sim, job.device.sim_sid, job.entry, job.chunk.since) for sim, job in self._unknown.items()]
            for one, command in await find(self._client, lost, self._sim_sids):
                job = self._unknown.pop(one.sim)
                self._accept(job, command)
                self._finish()
            await self._ledger.save_changed()
            overdue = [job for job in self._unknown.values() if looked_at - job.unknown_since >= self._lag]
            await self._send_again(overdue, jobs)

    async def _send_again(self, overdue: list[_Job], jobs: MemoryObjectSendStream[_Job]) -> None:
        if overdue:
            await self._ledger.check_held()  # a later try looks for the same ones
        for job in overdue:
            del self._unknown[job.device.sim]
            if job.entry.renew(fingerprint(job.device.request), self._ledger.clears):
                await self._ledger.save(job.chunk)
            await jobs.send(job)
        if overdue:
            log.info("%s command(s) were not accepted, as the API's list shows: sending them again", len(overdue))


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
