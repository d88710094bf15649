"""Send each command once: write ahead, send, look in the API if the outcome is unknown, record."""

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
from airflow_provider_supersim.delivery.once.before import Bound, until_older
from airflow_provider_supersim.delivery.once.job import Job, NotNow
from airflow_provider_supersim.delivery.once.ledger import CHUNK, Ledger
from airflow_provider_supersim.delivery.once.outage import Outage
from airflow_provider_supersim.delivery.once.recognise import Wanted, fingerprint
from airflow_provider_supersim.delivery.once.reconcile import look_up
from airflow_provider_supersim.delivery.once.sims import SimBook
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import State
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)

#: Seconds after which a command that the API's list does not show was not accepted. The API promises no number.
LAG = 30.0
LOOK_EVERY = 2.0
#: Above this many unknown outcomes nothing new leaves: an API that answers 5xx to everything must not be sent a
#: million.
MOST_UNKNOWN = 1_000
NAMED = 5  # devices in one message
#: Why a command is not sent again, and not known to be accepted.
CANNOT_TELL = "not known whether the API accepted it: its list has a row that may be it"
SAVE_WITHIN = 5.0  # seconds that a task which is being killed may still take to record what it knows


class Dispatcher:
    """Sends commands through one client and one ledger.

    :param concurrency: most commands under way at once
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
        self._lag = lag
        self._on_accepted = on_accepted
        self._on_refused = on_refused
        self._may_leave = may_leave
        # No more is written ahead than fits in here. asyncio's own queue: anyio's stream took a tenth of a command's
        # CPU.
        self._queue: asyncio.Queue[Job] = asyncio.Queue(CHUNK)
        self._with_workers: set[Job] = set()
        self._unknown: dict[str, Job] = {}  # by SIM: those whose outcome is looked up
        self._untried: Counter[int] = Counter()  # by chunk: how many of its commands have not been tried
        self._without_outcome = 0
        self._done = anyio.Event()
        self._accepted_at = 0.0
        self._outage = Outage()
        self._sims = SimBook()
        self._bound = Bound(client, ledger.has_sid)

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
        self._without_outcome, self._done = 1, anyio.Event()  # the feeding counts as one, so that it is waited for
        try:
            async with anyio.create_task_group() as group:
                for _ in range(self._concurrency):
                    group.start_soon(self._work)
                group.start_soon(self._look_up_unknown)
                await self._feed(devices)
                self._finish()
                await self._done.wait()
                group.cancel_scope.cancel()
        except ExceptionGroup as errors:  # not except*: before Python 3.11.4 it would put a group around it again
            raise _first(errors) from None
        finally:
            for job in self._take_from_queue(lambda _: True):
                self._withdraw(job, "the task ended before its turn")
            with anyio.move_on_after(SAVE_WITHIN, shield=True):
                await self._ledger.save_changed()

    async def recall(self, which: Callable[[Device], bool], why: str) -> None:
        """Take commands back that have not left, at once, wherever they wait for their turn.

        What is under way ends and is recorded; what is looked up is looked up to the end.

        :param which: says for a device whether its command is taken back
        :param why: for the ledger
        """
        recalled = self._take_from_queue(which)
        for job in recalled:
            self._outage.conclude(job, time.monotonic())
            self._withdraw(job, why)
        for job in self._with_workers:
            if not job.left and which(job.device):
                job.recall(why)
        for job in recalled:
            await self._conclude(job)

    async def read_list(self) -> None:
        """Tell the ledger of each of its commands that the API's list shows, page by page."""
        commands = self._client.iter_ip_commands(direction=Direction.TO_SIM)
        async for command in until_older(commands, self._ledger.began):
            self._ledger.settle(command)

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
                self._without_outcome += 1
                self._unknown[one.sim] = Job(one, entry)
            else:
                yield one

    async def _write_ahead(self, leaving: Sequence[Device]) -> None:
        before = await self._bound.now()
        entries = await self._ledger.write_ahead({one.sim: fingerprint(one.request) for one in leaving}, before)
        self._untried[entries[0].chunk] = len(leaving)
        self._without_outcome += len(leaving)
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
                await self._conclude(job)

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
        await (self._conclude(job) if known else self._record_tried(job))

    async def _send_one(self, job: Job) -> bool:
        """Send the command of a job; return whether its outcome is known.

        :raises SuperSimError: no other command would fare better
        """

        def leave() -> None:
            self._may_leave(job.device)
            job.leave()

        try:
            self._may_leave(job.device)  # asked here too: what may not leave need not wait for the pace
            command = await self._client.send(job.device.request, may_leave=leave)
        except NotNow as why:
            self._outage.conclude(job, time.monotonic())
            self._withdraw(job, str(why))
        except anyio.get_cancelled_exc_class():
            if not job.left:  # it waited for its turn
                self._withdraw(job, job.recalled or "the task ended before its turn")
            raise
        except SuperSimError as error:
            if error.verdict is Verdict.UNKNOWN:
                self._look_up_later(job, error)
                return False
            if error.verdict is Verdict.TRY_AGAIN or isinstance(error, AuthenticationError):
                self._withdraw(job, str(error))
                raise
            self._refuse(job, error)
        else:
            self._accept(job, command)
        return True

    def _accept(self, job: Job, command: IpCommand) -> None:
        self._accepted_at = time.monotonic()
        self._outage.conclude(job, self._accepted_at)
        self._ledger.accept(job.entry, command)
        self._bound.accepted(job.entry.sent_at)
        self._on_accepted(command)

    def _refuse(self, job: Job, error: SuperSimError) -> None:
        self._outage.conclude(job, time.monotonic())
        self._ledger.refuse(job.entry, error)
        self._on_refused(job.device, error)

    def _withdraw(self, job: Job, why: str) -> None:
        self._ledger.withdraw(job.entry, why)

    def _look_up_later(self, job: Job, error: SuperSimError) -> None:
        self._outage.begin(job, error, self._lag, time.monotonic())
        job.lost(error, others_accepted_at=self._accepted_at)
        self._unknown[job.device.sim] = job

    async def _conclude(self, job: Job) -> None:
        """Note that the outcome of a job is known."""
        await self._record_tried(job)
        self._finish()

    def _finish(self) -> None:
        self._without_outcome -= 1
        if self._without_outcome == 0:
            self._done.set()

    async def _record_tried(self, job: Job) -> None:
        """Write the job's chunk when the last of its commands has been tried."""
        if not job.tried:
            job.tried = True
            chunk = job.entry.chunk
            self._untried[chunk] -= 1
            if not self._untried[chunk]:
                del self._untried[chunk]
                await self._ledger.save(chunk)

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

    async def _look_up_unknown(self) -> None:
        """Look up all unknown outcomes together, again and again; send again what was surely not accepted."""
        while True:
            await anyio.sleep(min(LOOK_EVERY, self._lag / 2))
            looked_at = time.monotonic()
            self._outage.lasts(looked_at)
            if not self._unknown:
                continue
            wanted = [
                Wanted(sim, job.device.sim_sid, job.entry, job.device.request, self._ledger.before(job.entry))
                for sim, job in self._unknown.items()
            ]
            look = await look_up(self._client, wanted, self._sims, self._ledger.has_sid)
            for sim, command in look.found.items():
                self._accept(self._unknown.pop(sim), command)
                self._finish()
            overdue = [job for job in self._unknown.values() if looked_at - job.unknown_since >= self._lag]
            for job in overdue:
                self._suspect(job, look.suspects[job.device.sim], looked_at)
            self._lose([job for job in overdue if job.suspects and looked_at - job.suspected_since >= self._lag])
            await self._ledger.save_changed()
            await self._send_again([job for job in overdue if not job.suspects])

    def _suspect(self, job: Job, suspects: set[str], looked_at: float) -> None:
        """Note which commands could be the job's. The list shows it by now, so later ones are no suspects.

        Some are on their way to the ledger just now: they get as long again to turn out to be another job's.
        """
        if job.suspects:
            job.suspects = frozenset(sid for sid in job.suspects if not self._ledger.has_sid(sid))
        else:
            job.suspects, job.suspected_since = frozenset(suspects), looked_at

    def _lose(self, jobs: list[Job]) -> None:
        """End jobs of which it cannot be told whether they were accepted."""
        if not jobs:
            return
        for job in jobs:
            del self._unknown[job.device.sim]
            self._outage.conclude(job, time.monotonic())
            self._ledger.lose(job.entry, CANNOT_TELL)
            self._finish()
        log.warning(
            "%s: not known whether the API accepted the command, so it is not sent again: %s. Rows of the API's list "
            "may be it, but lack a field to tell, such as %s. Look at the devices [outcome-unknown]",
            count(len(jobs), "device"),
            ", ".join(job.device.label for job in jobs[:NAMED]),
            min(jobs[0].suspects) or "one without a sid",
        )

    async def _send_again(self, not_accepted: list[Job]) -> None:
        if not not_accepted:
            return
        await self._ledger.check_held()  # a later try looks for the same ones
        again = 0
        for job in not_accepted:
            del self._unknown[job.device.sim]
            if job.error and job.hopeless:
                self._give_up(job, job.error)
                continue
            if self._ledger.renew(job.entry, fingerprint(job.device.request)):
                await self._ledger.save(job.entry.chunk)
            job.left = False
            await self._queue.put(job)
            again += 1
        if again:
            commands = count(again, "command")
            log.info("Sending %s again: after %s the API's list does not show them", commands, duration(self._lag))

    def _give_up(self, job: Job, error: SuperSimError) -> None:
        """Treat a command that the API cannot answer like one that it refuses.

        :raises SuperSimError: it answers no other command either
        """
        if job.hopeless_alone:
            self._refuse(job, error)
            self._finish()
            return
        log.error(
            "Giving up this try: the API accepted no command for %s (%s), and its list shows none. Nothing is lost; "
            "the next try continues here. No retry left: clear this task once the API is back [api-accepts-nothing]",
            duration(self._outage.seconds(time.monotonic())),
            count(job.in_vain, "round"),
        )
        self._withdraw(job, str(error))
        raise error


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
