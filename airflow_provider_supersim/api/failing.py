"""Says in sum that requests fail and are made again: soon after that begins, each minute, and when it is over."""

from __future__ import annotations

import logging
from collections.abc import Hashable

from airflow_provider_supersim.api.errors import NotConnectedError, SuperSimError
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)

#: Seconds of failure that are not worth a line.
SAY_AFTER = 5.0
#: Seconds between two log lines while it lasts.
SAY_EVERY = 60.0


class Failing:
    """The requests of one client that have failed and are made again. Times are those of one clock, in seconds.

    :param host: of the API
    :param keep_trying: seconds for which a request is made again
    """

    def __init__(self, host: str, keep_trying: float) -> None:
        self._host = host
        self._keep_trying = keep_trying
        self._open: set[Hashable] = set()
        self._began = 0.0
        self._said_at: float | None = None

    def failed(self, request: Hashable, error: SuperSimError, began: float, now: float) -> None:
        """Note that a request failed and is made again.

        :param began: when it was made for the first time
        """
        if not self._open:
            self._began, self._said_at = began, None
        self._open.add(request)
        due = self._began + SAY_AFTER if self._said_at is None else self._said_at + SAY_EVERY
        if now < due:
            return
        self._said_at = now
        log.warning(
            "%s %s for %s. Trying again for %s at most: %s. %s [api-failing]",
            self._host,
            "has not been reachable" if isinstance(error, NotConnectedError) else "has been failing",
            duration(now - self._began),
            duration(self._keep_trying),
            count(len(self._open), "request"),
            error,
        )

    def ended(self, request: Hashable, now: float, *, answered: bool) -> None:
        """Note that a request is not made again.

        :param answered: it succeeded
        """
        if request not in self._open:
            return
        self._open.discard(request)
        if answered and not self._open and self._said_at is not None:
            log.warning("%s answers again, after %s [api-failing]", self._host, duration(now - self._began))
