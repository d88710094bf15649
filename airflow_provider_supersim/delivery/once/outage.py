"""Says in sum that commands get no reply: when that begins, each minute while it lasts, and when it is over."""

from __future__ import annotations

import logging

from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.delivery.once.job import Job
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)

#: Seconds between two log lines while it lasts.
SAY_EVERY = 60.0


class Outage:
    """Commands that got no reply, and whose outcome is not known yet. Times are those of one clock, in seconds."""

    def __init__(self) -> None:
        self._open: set[Job] = set()
        self._began = 0.0
        self._said_at = 0.0
        self._sendings = 0  # without a reply, since it began
        self._concluded = 0  # commands whose outcome is known by now, since it began

    def begin(self, job: Job, error: SuperSimError, look_up: float, now: float) -> None:
        """Note that a command got no reply.

        :param look_up: seconds that looking it up takes
        """
        if not self._open:
            self._began = self._said_at = now
            self._sendings = self._concluded = 0
            log.warning(
                "%s: no reply from the API. Looking up whether it took the command (about %s). %s [api-failing]",
                job.device.label,
                duration(look_up),
                error,
            )
        self._open.add(job)
        self._sendings += 1

    def lasts(self, now: float) -> None:
        """Say it again, if the last time was a minute ago."""
        if self._open and now - self._said_at >= SAY_EVERY:
            self._said_at = now
            log.warning(
                "The API has been failing for %s: %s without a reply. The outcome of %s is known, of %s not yet. The "
                "task goes on by itself [api-failing]",
                duration(self.seconds(now)),
                count(self._sendings, "sending"),
                count(self._concluded, "command"),
                f"{len(self._open):,}",
            )

    def conclude(self, job: Job, now: float) -> None:
        """Note that the outcome of a command is known."""
        if job not in self._open:
            return
        self._open.discard(job)
        self._concluded += 1
        if not self._open:
            log.warning(
                "The outcome of every command is known again, after %s: %s without a reply, of %s [api-failing]",
                duration(self.seconds(now)),
                count(self._sendings, "sending"),
                count(self._concluded, "command"),
            )

    def seconds(self, now: float) -> float:
        """Return for how long it lasts."""
        return now - self._began
