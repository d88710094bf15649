"""What becomes of each command that is on its way: into the ledger, and off the list of those that are waited for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import anyio

from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.api.models import IpCommand
from airflow_provider_supersim.delivery.once.before import Bound
from airflow_provider_supersim.delivery.once.job import Job
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.outage import Outage
from airflow_provider_supersim.delivery.state.device import Device


class Outcomes:
    """Records the outcomes of one dispatcher's commands, and knows when all of them are known.

    :param bound: is told when commands were created
    :param on_accepted: called with each command that the API accepts
    :param on_refused: called with each device whose command the API refuses, and with the refusal

    :ivar outage: the commands that got no reply
    """

    def __init__(
        self,
        ledger: Ledger,
        bound: Bound,
        *,
        on_accepted: Callable[[IpCommand], None],
        on_refused: Callable[[Device, SuperSimError], None],
    ) -> None:
        self.outage = Outage()
        self._ledger = ledger
        self._bound = bound
        self._on_accepted = on_accepted
        self._on_refused = on_refused
        self._accepted_at = 0.0
        self._awaited = 0
        self._all_known = anyio.Event()
        self._untried: Counter[int] = Counter()  # by chunk: how many of its commands have not been tried

    def begin(self) -> None:
        """Begin with nothing but the feeding. It counts as one command, so that what it brings is waited for."""
        self._awaited, self._all_known = 1, anyio.Event()

    def expect(self, chunk: int, jobs: int) -> None:
        """Wait for the outcomes of a new chunk.

        :param jobs: how many commands it has
        """
        self._untried[chunk] = jobs
        self._awaited += jobs

    def expect_tried(self) -> None:
        """Wait for the outcome of a command that an earlier try may have sent."""
        self._awaited += 1

    async def all_known(self) -> None:
        """Return when the feeding is over, and the outcome of each command is known."""
        await self._all_known.wait()

    def accept(self, job: Job, command: IpCommand) -> None:
        """Note that the API has accepted a command."""
        self._accepted_at = time.monotonic()
        self.outage.conclude(job, self._accepted_at)
        self._ledger.accept(job.entry, command)
        self._bound.accepted(job.entry.sent_at)
        self._on_accepted(command)

    def refuse(self, job: Job, error: SuperSimError) -> None:
        """Note that the API refused a command."""
        self.outage.conclude(job, time.monotonic())
        self._ledger.refuse(job.entry, error)
        self._on_refused(job.device, error)

    def withdraw(self, job: Job, why: str) -> None:
        """Note that a command was certainly not accepted, and is not sent in this try."""
        self.outage.conclude(job, time.monotonic())
        self._ledger.withdraw(job.entry, why)

    def leave_unknown(self, job: Job, why: str) -> None:
        """Note that it cannot be told whether a command was accepted."""
        self.outage.conclude(job, time.monotonic())
        self._ledger.leave_unknown(job.entry, why)

    def no_reply(self, job: Job, error: SuperSimError, look_up: float) -> None:
        """Note that a command left and got no reply.

        :param look_up: seconds that looking it up takes
        """
        self.outage.begin(job, error, look_up, time.monotonic())
        job.no_reply(error, others_accepted_at=self._accepted_at)

    async def conclude(self, job: Job) -> None:
        """Take a command, whose outcome was noted, off those that are waited for."""
        await self.record_tried(job)
        self.finish()

    def finish(self) -> None:
        """Take one off those that are waited for: the feeding, or a command that has been tried."""
        self._awaited -= 1
        if self._awaited == 0:
            self._all_known.set()

    async def record_tried(self, job: Job) -> None:
        """Write the job's chunk when the last of its commands has been tried."""
        if not job.tried:
            job.tried = True
            chunk = job.entry.chunk
            self._untried[chunk] -= 1
            if not self._untried[chunk]:
                del self._untried[chunk]
                await self._ledger.save(chunk)
