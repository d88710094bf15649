"""How a wait for commands ended, and how that travels from the triggerer to the task."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_supersim.api.models import IpCommand, parse_field
from airflow_provider_supersim.words import quoted


class EventError(ValueError):
    """A dict that is not the event of a wait: the trigger's version of this provider is another one."""


class StatusesUnreadableError(Exception):
    """The statuses could not be read.

    :ivar waited: what is known, with the error
    """

    def __init__(self, waited: Waited) -> None:
        super().__init__(waited.error)
        self.waited = waited


class Waited(msgspec.Struct, frozen=True, kw_only=True):
    """How a wait ended.

    :ivar commands: each command as it was last read
    :ivar unread: sids that could not be read even once
    :ivar error: why reading ended before the deadline, in one sentence
    :ivar retryable: waiting again may go better
    :ivar credentials_refused: the API refused the credentials
    """

    commands: list[IpCommand] = []
    unread: list[str] = []
    error: str | None = None
    retryable: bool = True
    credentials_refused: bool = False

    @property
    def settled(self) -> bool:
        """Whether every command reached a final status."""
        return not self.unread and all(command.status.settled for command in self.commands)

    def check_readable(self) -> None:
        """Do nothing if the statuses could be read.

        :raises StatusesUnreadableError: they could not
        """
        if self.error:
            raise StatusesUnreadableError(self)

    def to_event(self) -> dict[str, Any]:
        """Return JSON types, for a trigger's event."""
        return dict(msgspec.to_builtins(self, enc_hook=lambda date: date.isoformat()))

    @classmethod
    def from_event(cls, event: Any) -> Waited:
        """Read what :meth:`to_event` made.

        :raises EventError: it is something else
        """
        if not isinstance(event, dict) or set(event) != set(cls.__struct_fields__):
            fields = ", ".join(cls.__struct_fields__)
            raise EventError(f"its fields are not {fields}: {quoted(repr(event))}")
        try:
            return msgspec.convert(event, cls, dec_hook=parse_field)
        except msgspec.ValidationError as error:
            raise EventError(f"{error}: {quoted(repr(event))}") from None
