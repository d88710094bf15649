"""One device of a rollout, and the latest attempt to send it a command."""

from __future__ import annotations

import msgspec

from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.delivery.state.states import State, facts


class Device(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One target: a SIM, and the command that it gets.

    :ivar sim: its sid or unique name, as it was given
    :ivar sim_sid: its sid, if that is known
    :ivar name: its unique name, if ``sim`` is a sid and the API has named the SIM
    :ivar timezone: its timezone, if its row has one
    """

    sim: str
    request: IpCommandRequest
    sim_sid: str | None = None
    name: str | None = None
    timezone: str | None = None

    @property
    def label(self) -> str:
        """What people call it: its unique name if that is known, otherwise what the DAG calls it."""
        return self.name or self.sim


class Entry(msgspec.Struct, gc=False):
    """The latest attempt to send a command to one device, as the ledger has it.

    :ivar chunk: number of the ledger's chunk that holds it
    :ivar content: fingerprint of what is sent
    :ivar status: a :class:`~airflow_provider_supersim.delivery.state.states.State`, or a status that the vendor added
    :ivar attempt: 1 for the first; starts again at 1 after a manual clear
    :ivar clears: how often the task had been cleared by hand
    :ivar sent_at: when the API accepted it, in seconds since 1970 by the API's clock
    :ivar settled_at: when its status became final, in seconds since 1970 by the API's clock
    :ivar error: why it was refused or withdrawn, or why its outcome is unknown
    :ivar earlier: sids of earlier attempts, which no later attempt may claim
    """

    sim: str
    chunk: int
    content: str
    status: str = State.ABOUT_TO_SEND.value
    attempt: int = 1
    clears: int = 0
    sid: str | None = None
    sim_sid: str | None = None
    sent_at: int | None = None
    settled_at: int | None = None
    error: str | None = None
    earlier: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether the API has accepted it, and its status is not final yet."""
        return self.sid is not None and not facts(self.status).final
