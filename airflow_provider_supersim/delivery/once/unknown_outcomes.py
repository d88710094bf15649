"""Commands that may have been accepted: looked up together, until each is found, sent again, or given up."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.delivery.once.job import Job
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.outcomes import Outcomes
from airflow_provider_supersim.delivery.once.recognise import Wanted, fingerprint
from airflow_provider_supersim.delivery.once.reconcile import LOOK_EVERY, look_up
from airflow_provider_supersim.delivery.once.sims import SimBook
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)

NAMED = 5  # devices in one message
#: Why the outcome of a command without a sid is unknown.
CANNOT_TELL = "not known whether the API accepted it: its list has a row that may be it"


class UnknownOutcomes:
    """Looks up commands in the API's list. Only what was surely not accepted is sent again.

    :param lag: seconds for which the API's list may not yet show a command that was accepted
    :param send_again: puts a command back into the queue
    """

    def __init__(
        self,
        client: AsyncSuperSimClient,
        ledger: Ledger,
        outcomes: Outcomes,
        *,
        lag: float,
        send_again: Callable[[Job], Awaitable[None]],
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._outcomes = outcomes
        self._lag = lag
        self._send_again = send_again
        self._jobs: dict[str, Job] = {}  # by SIM
        self._sims = SimBook()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Look this command up, too."""
        self._jobs[job.device.sim] = job

    def add_without_reply(self, job: Job, error: SuperSimError) -> None:
        """Look up a command that has just left and got no reply."""
        self._outcomes.no_reply(job, error, self._lag)
        self.add(job)

    async def look_up(self) -> None:
        """Look all of them up, again and again, until cancelled.

        :raises SuperSimError: for long the API has accepted no command, or its list cannot be read
        :raises LedgerTakenError: a later try has taken over
        """
        while True:
            await anyio.sleep(min(LOOK_EVERY, self._lag / 2))
            now = time.monotonic()
            self._outcomes.outage.lasts(now)
            if self._jobs:
                await self._look(now)

    async def _look(self, now: float) -> None:
        wanted = [
            Wanted(sim, job.device.sim_sid, job.entry, job.device.request, self._ledger.before(job.entry))
            for sim, job in self._jobs.items()
        ]
        look = await look_up(self._client, wanted, self._sims, self._ledger.has_sid)
        for sim, command in look.found.items():
            self._outcomes.accept(self._jobs.pop(sim), command)
            self._outcomes.finish()
        overdue = [job for job in self._jobs.values() if now - job.unknown_since >= self._lag]
        for job in overdue:
            self._suspect(job, look.suspects[job.device.sim], now)
        self._leave_unknown([job for job in overdue if job.suspects and now - job.suspected_since >= self._lag])
        await self._ledger.save_changed()
        await self._end_not_accepted([job for job in overdue if not job.suspects])

    def _suspect(self, job: Job, suspects: set[str], now: float) -> None:
        """Note which commands could be the job's. The list shows it by now, so later ones are no suspects.

        Some are on their way to the ledger just now: they get as long again to turn out to be another job's.
        """
        if job.suspects:
            job.suspects = frozenset(sid for sid in job.suspects if not self._ledger.has_sid(sid))
        else:
            job.suspects, job.suspected_since = frozenset(suspects), now

    def _leave_unknown(self, jobs: list[Job]) -> None:
        """End jobs of which it cannot be told whether they were accepted."""
        if not jobs:
            return
        for job in jobs:
            del self._jobs[job.device.sim]
            self._outcomes.leave_unknown(job, CANNOT_TELL)
            self._outcomes.finish()
        log.warning(
            "%s: not known whether the API accepted the command, so it is not sent again: %s. Rows of the API's list "
            "may be it, but lack a field to tell, such as %s. Look at the devices [outcome-unknown]",
            count(len(jobs), "device"),
            ", ".join(job.device.label for job in jobs[:NAMED]),
            min(jobs[0].suspects) or "one without a sid",
        )

    async def _end_not_accepted(self, jobs: list[Job]) -> None:
        """Send again what was not accepted, or give it up.

        :raises SuperSimError: for long the API has accepted no command at all
        """
        if not jobs:
            return
        await self._ledger.check_held()  # a later try looks for the same ones
        again = 0
        for job in jobs:
            del self._jobs[job.device.sim]
            if job.error and job.hopeless:
                self._give_up(job, job.error)
                continue
            if self._ledger.renew(job.entry, fingerprint(job.device.request)):
                await self._ledger.save(job.entry.chunk)
            job.left = False
            await self._send_again(job)
            again += 1
        if again:
            commands = count(again, "command")
            log.info("Sending %s again: after %s the API's list does not show them", commands, duration(self._lag))

    def _give_up(self, job: Job, error: SuperSimError) -> None:
        """Treat a command that the API cannot answer like one that it refuses.

        :raises SuperSimError: it answers no other command either
        """
        if job.hopeless_alone:
            self._outcomes.refuse(job, error)
            self._outcomes.finish()
            return
        log.error(
            "Giving up this try: the API accepted no command for %s (%s), and its list shows none. Nothing is lost; "
            "the next try continues here. No retry left: clear this task once the API is back [api-accepts-nothing]",
            duration(self._outcomes.outage.seconds(time.monotonic())),
            count(job.in_vain, "round"),
        )
        self._ledger.withdraw(job.entry, str(error))
        raise error
