"""The API's resources and the one request that sends a command.

Source: https://www.twilio.com/docs/iot/supersim/api, the pages of the *IpCommands*, *Sims* and *Fleets* resources.
Every field may be null there, or missing. Fields and values that the vendor adds later must not break reading.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
from pendulum import DateTime, instance

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.words import quoted

_URL_CHARACTERS = re.compile("[!-~]+")
MAX_PAYLOAD_BYTES = 1300  # as the device gets it: UTF-8 bytes of text, decoded bytes of binary
LONGEST_VALUE = 40  # characters of a value that an enumeration does not know


class _OpenEnum(StrEnum):
    """An enumeration that accepts an unknown value and keeps it as it came, cut to one short line."""

    @classmethod
    def _missing_(cls, value: object) -> _OpenEnum | None:
        if not isinstance(value, str):
            return None
        value = quoted(value, LONGEST_VALUE)
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member

    def __reduce_ex__(self, protocol: object) -> tuple[type[Self], tuple[str]]:
        """Pickle by value: some versions of Python pickle by name, and an unknown value has none."""
        return self.__class__, (self.value,)


class Status(_OpenEnum):
    """How far an IP Command is. ``sent`` does not prove that the device got it.

    ``unstated``: the API gave no status, or none that can be read.
    """

    QUEUED = "queued"
    SENT = "sent"
    RECEIVED = "received"
    FAILED = "failed"
    UNSTATED = "unstated"

    @property
    def settled(self) -> bool:
        """Tell whether the status is final."""
        return self in _SUCCEEDED

    @property
    def succeeded(self) -> bool:
        """Tell whether the status is final and good."""
        return _SUCCEEDED.get(self, False)


#: The final statuses, and whether each is a success. Commands with another status are waited for.
_SUCCEEDED: Mapping[str, bool] = {Status.SENT: True, Status.RECEIVED: True, Status.FAILED: False}


class Direction(_OpenEnum):
    """Which way an IP Command went."""

    TO_SIM = "to_sim"
    FROM_SIM = "from_sim"


class PayloadType(_OpenEnum):
    """How ``payload`` is written: as text, or as base64 of bytes."""

    TEXT = "text"
    BINARY = "binary"


class SimStatus(_OpenEnum):
    """The state of a SIM. Only a ``ready`` or ``active`` SIM can be sent a command.

    ``unstated``: the API gave no status, or none that can be read.
    """

    NEW = "new"
    READY = "ready"
    ACTIVE = "active"
    INACTIVE = "inactive"
    SCHEDULED = "scheduled"
    UNSTATED = "unstated"


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """What every resource of the API has."""

    sid: str | None = None
    account_sid: str | None = None
    date_created: DateTime | None = None
    date_updated: DateTime | None = None
    url: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the resource as JSON types; dates are ISO 8601 strings in UTC."""
        return dict(msgspec.to_builtins(self, enc_hook=DateTime.isoformat))

    def __getitem__(self, field: str) -> Any:
        """Return a field as :meth:`to_dict` has it: what a task gets of another one is read the same way."""
        return self.to_dict()[field]


class IpCommand(Resource, frozen=True, kw_only=True):
    """One datagram to a device (``to_sim``) or from one (``from_sim``).

    ``device_ip`` is null until the command was sent. ``payload`` is base64 if ``payload_type`` is ``binary``.
    """

    status: Status = Status.UNSTATED
    direction: Direction | None = None
    sim_sid: str | None = None
    sim_iccid: str | None = None
    device_ip: str | None = None
    device_port: int | None = None
    payload_type: PayloadType | None = None
    payload: str | None = None


class Sim(Resource, frozen=True, kw_only=True):
    """A Super SIM (``HS…``)."""

    status: SimStatus = SimStatus.UNSTATED
    unique_name: str | None = None
    iccid: str | None = None
    fleet_sid: str | None = None
    links: dict[str, str] | None = None


class Fleet(Resource, frozen=True, kw_only=True):
    """A Fleet (``HF…``): the settings that its SIMs share."""

    unique_name: str | None = None
    data_enabled: bool | None = None
    data_limit: int | None = None
    data_metering: str | None = None
    sms_commands_enabled: bool | None = None
    sms_commands_url: str | None = None
    sms_commands_method: str | None = None
    ip_commands_url: str | None = None
    ip_commands_method: str | None = None
    network_access_profile_sid: str | None = None


def parse_field(field_type: type, value: Any) -> Any:
    """Read a date of the API as a timezone-aware pendulum time, for msgspec, which does not know the type."""
    if field_type is DateTime:
        return _date(value)
    raise TypeError(f"no reader for {field_type}")


@lru_cache(maxsize=1024)
def _date(value: str) -> DateTime:
    return instance(datetime.fromisoformat(value))


class IpCommandRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command that has been checked and may leave. Make it with :meth:`build`.

    ``payload`` is in the form that the API takes: text, or base64 for ``binary``.
    """

    sim: str
    payload: str
    device_port: int
    payload_type: PayloadType = PayloadType.TEXT
    callback_url: str | None = None
    callback_method: str | None = None

    @classmethod
    def build(
        cls,
        sim: str,
        payload: str | bytes | Mapping[str, Any] | list[Any],
        device_port: int | str,
        *,
        payload_type: str | None = None,
        callback_url: str | None = None,
        callback_method: str | None = None,
    ) -> IpCommandRequest:
        """Check the arguments, and put the payload into the form that the API takes.

        :param sim: sid (``HS…``) or unique name of the SIM
        :param payload: ``str``: UTF-8 text (or base64, with ``payload_type="binary"``); ``bytes``: binary;
            ``dict`` or ``list``: sent as compact JSON text. 1 to 1300 bytes as the device gets it.
        :param device_port: the device's UDP port, 1 to 65535; may be digits in a ``str``, as templates make them
        :param payload_type: ``text`` or ``binary``; default: ``binary`` for ``bytes``, ``text`` otherwise
        :param callback_url: http(s) URL that the API calls after it has sent the command; default: none
        :param callback_method: ``GET`` or ``POST``; default: the API's, ``POST``
        :raises ValueError: with one sentence that names the argument and what is wrong with it
        """
        if not isinstance(sim, str) or not sim.strip():
            raise BadInputError(f"sim must be the sid (HS…) or the unique name of a SIM, got {sim!r}")
        wire, kind = _encode(payload, payload_type)
        _check_callback(callback_url, callback_method)
        return cls(
            sim=sim.strip(),
            payload=wire,
            device_port=_port(device_port),
            payload_type=kind,
            callback_url=callback_url,
            callback_method=callback_method.upper() if callback_method else None,
        )


def _port(value: int | str) -> int:
    digits = value.strip() if isinstance(value, str) else value
    if isinstance(digits, str) and digits.isascii() and digits.isdigit():
        digits = int(digits)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= 65535:
        raise BadInputError(f"device_port must be a whole number from 1 to 65535, got {value!r}")
    return digits


def _encode(payload: object, payload_type: str | None) -> tuple[str, PayloadType]:
    if payload_type not in (None, *PayloadType):
        raise BadInputError(f"payload_type must be 'text' or 'binary', got {payload_type!r}")
    if isinstance(payload, bytes):
        if payload_type == PayloadType.TEXT:
            raise BadInputError("payload is bytes, which are sent as 'binary'; give a str for payload_type 'text'")
        return base64.b64encode(_sized(payload)).decode(), PayloadType.BINARY
    if isinstance(payload, Mapping | list):
        if payload_type == PayloadType.BINARY:
            raise BadInputError(
                "payload is a dict or list, which is sent as JSON text; payload_type 'binary' takes bytes"
            )
        payload = _compact_json(payload)
    if not isinstance(payload, str):
        raise BadInputError(f"payload must be str, bytes, dict or list, got {type(payload).__name__}")
    if payload_type == PayloadType.BINARY:
        try:
            data = base64.b64decode(payload, validate=True)
        except ValueError as error:
            raise BadInputError(f"payload is not valid base64, which payload_type 'binary' needs: {error}") from None
        _sized(data)
        return payload, PayloadType.BINARY
    try:
        _sized(payload.encode())
    except UnicodeEncodeError as error:
        raise BadInputError(f"payload cannot be written as UTF-8: {error.reason} at character {error.start}") from None
    return payload, PayloadType.TEXT


def _compact_json(payload: object) -> str:
    try:
        return json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInputError(f"payload cannot be written as JSON: {error}") from None


def _sized(data: bytes) -> bytes:
    if not data:
        raise BadInputError("payload is empty; an IP Command carries at least one byte")
    if len(data) > MAX_PAYLOAD_BYTES:
        raise BadInputError(
            f"payload is {len(data)} bytes as the device gets it; at most {MAX_PAYLOAD_BYTES} go into one"
        )
    return data


def _check_callback(url: object, method: object) -> None:
    if url is not None:
        given = "a URL with a password" if "@" in str(url) else repr(url)  # not quoted, because logs are read
        try:
            parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
            parts.port  # noqa: B018 - raises for a port that is no port
        except ValueError as error:
            raise BadInputError(f"callback_url is not a URL: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInputError(f"callback_url must be an http or https URL with a host, got {given}")
        if not _URL_CHARACTERS.fullmatch(str(url)):
            raise BadInputError(f"callback_url must be ASCII without blanks: write others as %20, %C3%A9; got {given}")
    if method is not None and (not isinstance(method, str) or method.upper() not in ("GET", "POST")):
        raise BadInputError(f"callback_method must be 'GET' or 'POST', got {method!r}")
