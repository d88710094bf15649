"""Send each command once: write ahead, send, look in the API if the outcome is unknown, record."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import AuthenticationError, SuperSimError, Verdict
from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.once.before import Bound
from airflow_provider_supersim.delivery.once.job import Job, NotNow
from airflow_provider_supersim.delivery.once.last_save import save_last
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger
from airflow_provider_supersim.delivery.once.outcomes import Outcomes
from airflow_provider_supersim.delivery.once.recognise import fingerprint
from airflow_provider_supersim.delivery.once.reconcile import LAG, LOOK_EVERY
from airflow_provider_supersim.delivery.once.unknown_outcomes import UnknownOutcomes
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import State

#: Above this many unknown outcomes nothing new leaves: an API that answers 5xx to everything must not be sent a
#: million.
MOST_UNKNOWN = 1_000
ENDED = "the task ended before its turn"  # why a command was withdrawn
SAVE_WITHIN = 5.0  # seconds that a task which is being killed may still take to record what it knows


class Dispatcher:
    """Sends commands through one client and one ledger.

    :param concurrency: maximum number of commands under way at once
    :param lag: seconds for which the API's list may not yet show a command that was accepted; default 30
    :param on_accepted: called with each command that the API accepts
    :param on_refused: called with each device whose command the API refuses, and with the refusal
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
        self._may_leave = may_leave
        # No more is written ahead than fits in here.
        self._queue: asyncio.Queue[Job] = asyncio.Queue(CHUNK)
        self._with_workers: set[Job] = set()
        self._bound = Bound(client, ledger.has_sid)
        self._outcomes = Outcomes(ledger, self._bound, on_accepted=on_accepted, on_refused=on_refused)
        self._unknown = UnknownOutcomes(client, ledger, self._outcomes, lag=lag, send_again=self._queue.put)

    async def send(self, devices: Sequence[Device]) -> None:
        """Send a command to each, as :meth:`send_stream` does."""

        async def stream() -> AsyncIterator[Device]:
            for one in devices:
                yield one

        await self.send_stream(stream())

    async def send_stream(self, devices: AsyncIterator[Device]) -> None:
        """Send each command exactly once, and return when the ledger has the outcome of each.

        A device whose latest entry is about to be sent is looked up in the API first.

        :param devices: asked for when there is room for more
        :raises SuperSimError: the credentials are refused, or for long the API was out of reach or answered 5xx to
            everything. What was not sent yet is left for the next try
        :raises LedgerTakenError: a later try has taken over
        """
        self._outcomes.begin()
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._concurrency):
                    group.start_soon(self._work)
                group.start_soon(self._unknown.look_up)
                await self._feed(devices)
                self._outcomes.finish()
                await self._outcomes.all_known()
                group.cancel_scope.cancel()
        except ExceptionGroup as errors:  # not except*: before Python 3.11.4 it would put a group around it again
            raise _first(errors) from None
        finally:
            for job in self._take_from_queue(lambda _: True):
                self._outcomes.withdraw(job, ENDED)
            with anyio.move_on_after(SAVE_WITHIN, shield=True):
                await save_last(self._ledger, after=sys.exc_info()[1])

    async def recall(self, which: Callable[[Device], bool], why: str) -> None:
        """Take commands back that have not left, at once, wherever they wait for their turn.

        What is under way ends and is recorded; what is looked up is looked up to the end.

        :param which: returns true for each device whose command is taken back
        :param why: for the ledger
        """
        recalled = self._take_from_queue(which)
        for job in recalled:
            self._outcomes.withdraw(job, why)
        for job in self._with_workers:
            if not job.left and which(job.device):
                job.recall(why)
        for job in recalled:
            await self._outcomes.conclude(job)

    async def _feed(self, devices: AsyncIterator[Device]) -> None:
        async for batch in self._ledger.batches(self._without_unknown(devices)):
            while len(self._unknown) >= MOST_UNKNOWN:  # noqa: ASYNC110  # outcomes come in groups, every two seconds
                await anyio.sleep(LOOK_EVERY / 4)
            if leaving := [one for one in batch if self._leaves_now(one)]:
                await self._write_ahead(leaving)

    async def _without_unknown(self, devices: AsyncIterator[Device]) -> AsyncIterator[Device]:
        """Keep back the devices over whose command an earlier try died, and look these up."""
        async for one in devices:
            entry = self._ledger.entry(one.sim)
            if entry is not None and entry.status == State.ABOUT_TO_SEND:
                self._outcomes.expect_tried()
                self._unknown.add(Job(one, entry, tried=True))
            else:
                yield one

    async def _write_ahead(self, leaving: Sequence[Device]) -> None:
        before = await self._bound.now()
        entries = await self._ledger.write_ahead({one.sim: fingerprint(one.request) for one in leaving}, before)
        self._outcomes.expect(entries[0].chunk, len(leaving))
        for one, entry in zip(leaving, entries, strict=True):
            await self._queue.put(Job(one, entry))

    def _leaves_now(self, one: Device) -> bool:
        try:
            self._may_leave(one)
        except NotNow:
            return False
        return True

    async def _work(self) -> None:
        while True:
            job: Job | None = None
            with anyio.CancelScope() as scope:
                while not scope.cancel_called:
                    job = await self._queue.get()
                    await self._run(job, scope)
            if job and scope.cancelled_caught:
                await self._outcomes.conclude(job)

    async def _run(self, job: Job, scope: anyio.CancelScope) -> None:
        """Take a command from the queue to its outcome, or to a look-up.

        :param scope: cancelled to take the command back
        """
        job.scope = scope
        self._with_workers.add(job)
        try:
            known = await self._send_one(job)
        finally:
            self._with_workers.discard(job)
        await (self._outcomes.conclude(job) if known else self._outcomes.record_tried(job))

    async def _send_one(self, job: Job) -> bool:
        """Send the command of a job; return whether its outcome is known.

        :raises SuperSimError: no other command would fare better
        """

        def leave() -> None:
            self._may_leave(job.device)
            job.leave()

        try:
            self._may_leave(job.device)  # asked here too: what may not leave need not wait for the pace
            command = await self._client.send(job.device.request, may_leave=leave, came_back=job.come_back)
        except NotNow as why:
            self._outcomes.withdraw(job, str(why))
        except anyio.get_cancelled_exc_class():
            if not job.left:  # it waited for its turn
                self._outcomes.withdraw(job, job.recalled or ENDED)
            raise
        except SuperSimError as error:
            if error.verdict is Verdict.UNKNOWN:
                self._unknown.add_without_reply(job, error)
                return False
            if error.verdict is Verdict.TRY_AGAIN or isinstance(error, AuthenticationError):
                self._outcomes.withdraw(job, str(error))
                raise
            self._outcomes.refuse(job, error)
        else:
            self._outcomes.accept(job, command)
        return True

    def _take_from_queue(self, which: Callable[[Device], bool]) -> list[Job]:
        """Take the jobs for these devices out of the queue; the others keep their order."""
        taken = []
        for _ in range(self._queue.qsize()):
            job = self._queue.get_nowait()
            if which(job.device):
                taken.append(job)
            else:
                self._queue.put_nowait(job)
        return taken


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """Return the first error. The others came while the other workers were ended."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
