"""One command on its way from the ledger to the API."""

from __future__ import annotations

import time

import anyio

from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.delivery.state.device import Device, Entry

#: Maximum number of sendings of a command that never gets a reply and that the list never shows. With the default lag
#: that takes five minutes.
MOST_SENDINGS = 10


class NotNow(Exception):  # noqa: N818  # it is no error
    """Raised by ``may_leave`` if a command may not be sent at this moment."""


class Job:
    """A command, its entry, and what is known of its sendings.

    :param tried: an earlier try may have sent it

    :ivar tried: it was sent at least once, or taken back
    :ivar left: its request may have reached the API
    :ivar recalled: why it is taken back; empty if it is not
    :ivar error: of the last sending, if its outcome was not known
    :ivar unknown_since: since when its outcome is not known, by the monotonic clock
    :ivar suspects: sids of commands in the API's list that could be this one, and need not be
    :ivar suspected_since: since when these are known, by the monotonic clock
    :ivar alone: sendings without a reply while the API accepted other commands
    :ivar in_vain: sendings without a reply in a row while it accepted none: an outage, not this command's fault
    :ivar scope: the cancel scope of the worker that has it
    """

    __slots__ = (
        "alone",
        "device",
        "entry",
        "error",
        "in_vain",
        "left",
        "recalled",
        "scope",
        "suspected_since",
        "suspects",
        "tried",
        "unknown_since",
    )

    def __init__(self, device: Device, entry: Entry, *, tried: bool = False) -> None:
        self.device = device
        self.entry = entry
        self.tried = tried
        self.left = False
        self.recalled = ""
        self.error: SuperSimError | None = None
        self.unknown_since = time.monotonic()
        self.suspects: frozenset[str] = frozenset()
        self.suspected_since = 0.0
        self.alone = 0
        self.in_vain = 0
        self.scope: anyio.CancelScope | None = None

    def leave(self) -> None:
        """Note that its request leaves now.

        :raises NotNow: it has been taken back
        """
        if self.recalled:
            raise NotNow(self.recalled)
        self.left = True

    def come_back(self) -> None:
        """Note that the API did not process its request, which waits for another turn."""
        self.left = False

    def recall(self, why: str) -> None:
        """Take it back, while it waits for its turn."""
        self.recalled = why
        if self.scope:
            self.scope.cancel()

    def no_reply(self, error: SuperSimError, *, others_accepted_at: float) -> None:
        """Note that it left and got no reply.

        :param others_accepted_at: when the API last accepted a command, by the monotonic clock
        """
        self.error = error
        if others_accepted_at > self.unknown_since:
            self.alone, self.in_vain = self.alone + 1, 0
        else:
            self.in_vain += 1
        self.unknown_since = time.monotonic()
        self.suspects = frozenset()

    @property
    def hopeless(self) -> bool:
        """Whether it was sent so often in vain that it is not sent again."""
        return self.hopeless_alone or self.in_vain >= MOST_SENDINGS

    @property
    def hopeless_alone(self) -> bool:
        """Whether that is so although the API accepted other commands."""
        return self.alone >= MOST_SENDINGS
