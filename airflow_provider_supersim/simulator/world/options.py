"""Every option of the simulator, once: the command line, ``reset`` and ``settings`` all read this class.

It is in the lowest room because every room reads it. Each vendor adds its own options (see ``api/vendors``).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

MAX_SIMS = 1_000_000
"""SIMs that one simulator holds. Their addresses come out of 100.64.0.0/10, which has four million."""

ALL_VENDORS = "all"
"""The value of ``vendor`` with which a simulator serves every registered vendor."""

PASSWORD = "simulator"  # noqa: S105 - known to all: it protects nothing
"""Default of every secret."""

COMMAND_FIELDS = (
    "account_sid",
    "sim_sid",
    "sim_iccid",
    "status",
    "direction",
    "device_ip",
    "device_port",
    "payload_type",
    "payload",
    "date_created",
    "date_updated",
    "url",
)
"""Fields of an IP Command that the vendor documents as nullable: all but its sid."""

COMMAND_FILTERS = ("Sim", "SimIccid", "Status", "Direction")
"""Filters of the list of IP Commands."""


def _some_of(*names: str) -> str:
    """Return the pattern of some of these names, with commas between them."""
    one = f"({'|'.join(names)})"
    return f"^({one}(,{one})*)?$"


LIVE = {"changes": "live"}
"""Marks what ``PATCH /_simulator/settings`` may change in a running world; everything else needs a reset."""

FIXED = {"changes": "restart"}
"""Marks what only a restart changes: the sockets that are already open."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a simulator starts with. The text beside each field is its ``--help``."""

    host: Annotated[str, Meta(min_length=1, description="address to listen on", extra=FIXED)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the API; 0 takes a free one", extra=FIXED)] = (
        8025
    )
    udp_port: Annotated[
        int, Meta(ge=0, le=65535, description="UDP port that devices answer to; 0 takes a free one", extra=FIXED)
    ] = 0
    sims: Annotated[int, Meta(ge=0, le=MAX_SIMS, description="active and ready SIMs in the Fleet 'field-devices'")] = (
        200
    )
    offline: Annotated[int, Meta(ge=0, description="number of those SIMs without a network")] = 0
    answer: Annotated[
        Literal["none", "echo"], Meta(description="echo: devices send back every datagram they receive")
    ] = "none"
    seed: Annotated[int, Meta(ge=0, description="decides SIDs, tokens, offline SIMs and faults")] = 0
    settle: Annotated[float, Meta(ge=0, description="seconds from queued to sent or failed", extra=LIVE)] = 1.0
    latency: Annotated[float, Meta(ge=0, description="seconds by which the API delays each reply", extra=LIVE)] = 0.0
    list_lag: Annotated[float, Meta(ge=0, description="seconds until the list shows a new command", extra=LIVE)] = 0.0
    get_lag: Annotated[float, Meta(ge=0, description="seconds until a new command is found by its sid", extra=LIVE)] = (
        0.0
    )
    date_offset: Annotated[
        float, Meta(description="seconds by which the Date header is ahead of date_created", extra=LIVE)
    ] = 0.0
    null_fields: Annotated[
        str,
        Meta(
            pattern=_some_of(*COMMAND_FIELDS),
            description="fields that are null in some rows of the list of IP Commands, such as payload,sim_sid",
            extra=LIVE,
        ),
    ] = ""
    null_ratio: Annotated[float, Meta(ge=0, le=1, description="share of the commands with these nulls", extra=LIVE)] = (
        0.1
    )
    unstated_ratio: Annotated[
        float, Meta(ge=0, le=1, description="share of the SIMs whose status is null in the list of SIMs", extra=LIVE)
    ] = 0.0
    ignored_filters: Annotated[
        str,
        Meta(
            pattern=_some_of(*COMMAND_FILTERS),
            description="filters that the list of IP Commands ignores, such as Sim,Direction",
            extra=LIVE,
        ),
    ] = ""
    max_concurrency: Annotated[
        int, Meta(ge=0, description="concurrent requests above which the API answers 429; 0: no limit", extra=LIVE)
    ] = 100
    retry_after: Annotated[
        int, Meta(ge=0, description="seconds in the Retry-After of those 429s; 0: no such header", extra=LIVE)
    ] = 0
    token_lifetime: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="seconds until an access token expires", extra=LIVE)
    ] = 3600
    account_sid: Annotated[
        str, Meta(pattern="^AC[0-9a-fA-F]{32}$", description="SID of the account; a login for HTTP Basic")
    ] = "AC" + 32 * "a"
    vendor: str = ALL_VENDORS


SomeOptions = TypeVar("SomeOptions", bound=Options)


def marked(kind: type[Options], mark: dict[str, str]) -> list[str]:
    """Return the names of the options with a mark: :data:`LIVE` or :data:`FIXED`."""
    fields = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]  # a StructType
    return sorted(field.name for field in fields if getattr(field.type, "extra", None) == mark)


def override(options: SomeOptions, changes: dict[str, Any], *, strict: bool = True) -> SomeOptions:
    """Return ``options`` with some fields changed, all of them validated.

    :param changes: field name to new value.
    :param strict: false accepts ``"5"`` for 5, as a command line gives it.
    :raises ValueError: a name is unknown or a value does not fit; the message names the field.
    """
    changed = {**msgspec.structs.asdict(options), **changes}
    try:
        result = msgspec.convert(changed, type(options), strict=strict)
    except msgspec.ValidationError as error:
        raise ValueError(field_first(error)) from None
    if result.offline > result.sims:
        raise ValueError(f"offline: {result.offline} SIMs cannot be offline, there are only {result.sims}")
    return result


def field_first(error: msgspec.ValidationError) -> str:
    """Reword msgspec's message so that it begins with the field's name: ``port: expected `int` <= 65535``."""
    what, _, path = str(error).partition(" - at `$")
    name = path.strip("`.")
    return f"{name}: {what[0].lower()}{what[1:]}" if name else what
