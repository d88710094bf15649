"""Whether a command in the API's list is one of ours: it is, it is not, or the row cannot tell. A null proves nothing.

The API has no idempotency key to ask by. A command is recognised by its SIM, its port, and the bytes that the device
gets. It was created after what the list held before we sent.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from enum import IntEnum
from functools import cached_property
from hashlib import blake2b

import msgspec

from airflow_provider_supersim.api.models import Direction, IpCommand, IpCommandRequest, PayloadType
from airflow_provider_supersim.delivery.once.before import Before
from airflow_provider_supersim.delivery.state.device import Entry

_URL_SAFE = str.maketrans("-_", "+/")


class Answer(IntEnum):
    """What a row says about one of our commands. Of several answers, the least is the answer to all."""

    IS_NOT = 0
    CANNOT_TELL = 1
    IS = 2


class Wanted(msgspec.Struct, frozen=True):
    """A command whose outcome is unknown.

    :ivar sim: as the DAG names it
    :ivar sim_sid: its sid, if that is known
    :ivar request: the command as this try has rendered it; an earlier try may have sent another
    :ivar before: what was there before it was sent
    """

    sim: str
    sim_sid: str | None
    entry: Entry
    request: IpCommandRequest
    before: Before


class Row:
    """A command in the API's list, as it is compared with ours."""

    def __init__(self, command: IpCommand) -> None:
        self.command = command

    @cached_property
    def readings(self) -> frozenset[bytes] | None:
        """What the device may have got; ``None``: anything."""
        payload, kind = self.command.payload, self.command.payload_type
        if payload is None:
            return None
        text = [payload.encode("utf-8", "surrogatepass")]
        binary = [data] if (data := _from_base64(payload)) is not None else []
        by_kind = {PayloadType.TEXT: text, PayloadType.BINARY: binary, None: text + binary}
        return frozenset(by_kind.get(kind, [])) or None

    @cached_property
    def _fingerprints(self) -> frozenset[str] | None:
        port = self.command.device_port
        if self.readings is None or port is None:
            return None
        return frozenset(_fingerprint(data, port) for data in self.readings)

    def may_be(self, wanted: Wanted) -> Answer:
        """Return whether this is the command, as far as everything but the SIM tells."""
        direction = self.command.direction
        if direction == Direction.FROM_SIM or (content := self._content(wanted)) is Answer.IS_NOT:
            return Answer.IS_NOT
        older = wanted.before.is_older(self.command)
        if older:
            return Answer.IS_NOT
        if older is None or direction != Direction.TO_SIM or not self.command.sid:
            return Answer.CANNOT_TELL
        return content

    def goes_to(self, sim_sid: str | None, iccid: str | None) -> Answer:
        """Return whether it went to a SIM, by its sid; if the row has none, by its ICCID."""
        for theirs, ours in ((self.command.sim_sid, sim_sid), (self.command.sim_iccid, iccid)):
            if theirs is not None and ours is not None:
                return Answer.IS if theirs == ours else Answer.IS_NOT
        return Answer.CANNOT_TELL

    def _content(self, wanted: Wanted) -> Answer:
        ours = wanted.entry.content
        if self._fingerprints is not None:
            return _combined(one == ours for one in self._fingerprints)
        request = wanted.request
        if fingerprint(request) != ours:
            return Answer.CANNOT_TELL  # of what an earlier try has sent, only the fingerprint is known
        if self.command.device_port not in (None, request.device_port):
            return Answer.IS_NOT
        if self.readings is not None and wire_bytes(request) not in self.readings:
            return Answer.IS_NOT
        return Answer.CANNOT_TELL


def fingerprint(request: IpCommandRequest) -> str:
    """Return 11 characters that differ if the device's port, or the bytes that it gets, differ."""
    return _fingerprint(wire_bytes(request), request.device_port)


def wire_bytes(request: IpCommandRequest) -> bytes:
    """Return what the device gets."""
    if request.payload_type == PayloadType.BINARY:
        return base64.b64decode(request.payload)
    return request.payload.encode("utf-8", "surrogatepass")


def _fingerprint(data: bytes, port: int) -> str:
    digest = blake2b(b"%d\0%b" % (port, data), digest_size=8).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes | None:
    """Read base64 in any spelling: with or without padding and line breaks, in either alphabet."""
    letters = "".join(text.split()).rstrip("=").translate(_URL_SAFE)
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except ValueError:
        return None


def _combined(same: Iterable[bool]) -> Answer:
    """Return what several readings of a row say together: each is the same as ours, or is not."""
    known = set(same)
    if known == {True}:
        return Answer.IS
    return Answer.CANNOT_TELL if True in known else Answer.IS_NOT
