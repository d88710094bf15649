"""Every option of the simulator, once: the command line, ``reset`` and ``settings`` all read this class."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MAX_SIMS = 1_000_000
"""As many SIMs as one simulator holds. Their addresses come out of 100.64.0.0/10, which has four million."""

_PASSWORD = "simulator"  # noqa: S105 - known to all: it protects nothing


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a simulator starts with. The text beside each field is its ``--help``."""

    host: Annotated[str, Meta(min_length=1, description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port of the API; 0 takes a free one")] = 8025
    udp_port: Annotated[int, Meta(ge=0, le=65535, description="UDP port where devices answer; 0: free")] = 0
    vendor: Annotated[
        Literal["twilio", "kore", "both"],
        Meta(description="whose dialect to speak; both: Basic means Twilio, Bearer means KORE"),
    ] = "both"
    sims: Annotated[int, Meta(ge=0, le=MAX_SIMS, description="active and ready SIMs in the Fleet 'field-devices'")] = (
        200
    )
    offline: Annotated[int, Meta(ge=0, description="how many of those SIMs have no network")] = 0
    answer: Annotated[
        Literal["none", "echo"], Meta(description="echo: devices send back every datagram they receive")
    ] = "none"
    seed: Annotated[int, Meta(ge=0, description="decides SIDs, tokens, offline SIMs and faults")] = 0
    settle: Annotated[float, Meta(ge=0, description="seconds from queued to sent or failed")] = 1.0
    latency: Annotated[float, Meta(ge=0, description="seconds that each reply of the API is held back")] = 0.0
    list_lag: Annotated[float, Meta(ge=0, description="seconds until a new command shows in the list")] = 0.0
    max_concurrency: Annotated[
        int, Meta(ge=0, description="requests at once above which 429 is answered; 0: no limit")
    ] = 100
    retry_after: Annotated[
        int, Meta(ge=0, description="seconds in the Retry-After of those 429s; 0: no such header")
    ] = 0
    token_lifetime: Annotated[int, Meta(ge=1, description="seconds until a bearer token expires")] = 3600
    account_sid: Annotated[str, Meta(pattern="^AC[0-9a-fA-F]{32}$", description="Twilio: Account SID, a login")] = (
        "AC" + 32 * "a"
    )
    auth_token: Annotated[str, Meta(min_length=1, description="Twilio: password of the Account SID")] = _PASSWORD
    api_key: Annotated[str, Meta(pattern="^SK[0-9a-fA-F]{32}$", description="Twilio: API Key SID, another login")] = (
        "SK" + 32 * "b"
    )
    api_secret: Annotated[str, Meta(min_length=1, description="Twilio: password of the API Keys")] = _PASSWORD
    read_only_key: Annotated[
        str, Meta(pattern="^SK[0-9a-fA-F]{32}$", description="Twilio: API Key that may read but not send")
    ] = "SK" + 32 * "c"
    client_id: Annotated[str, Meta(min_length=1, description="KORE: OAuth2 client id")] = "simulator"
    client_secret: Annotated[str, Meta(min_length=1, description="KORE: OAuth2 client secret")] = _PASSWORD
    callback_secret: Annotated[str, Meta(description="KORE: secret that signs callbacks; empty: unsigned")] = _PASSWORD


LIVE = frozenset(
    {"settle", "latency", "list_lag", "max_concurrency", "retry_after", "token_lifetime", "callback_secret"}
)
"""What ``PATCH /_simulator/settings`` may change in a running world; the rest needs a reset."""

FIXED = frozenset({"host", "port", "udp_port"})
"""What only a restart changes: the sockets that are open already."""


def override(options: Options, changes: dict[str, Any], *, strict: bool = True) -> Options:
    """Return ``options`` with some fields changed, all of them validated.

    :param changes: field name to new value.
    :param strict: false accepts ``"5"`` for 5, as a command line gives it.
    :raises ValueError: a name is unknown or a value does not fit; the message names the field.
    """
    changed = {**msgspec.structs.asdict(options), **changes}
    try:
        result = msgspec.convert(changed, Options, strict=strict)
    except msgspec.ValidationError as error:
        raise ValueError(field_first(error)) from None
    if result.offline > result.sims:
        raise ValueError(f"offline: {result.offline} SIMs cannot be offline where there are {result.sims}")
    return result


def field_first(error: msgspec.ValidationError) -> str:
    """Reword msgspec's message so that the field's name leads: ``port: expected `int` <= 65535``."""
    what, _, where = str(error).partition(" - at `$")
    name = where.strip("`.")
    return f"{name}: {what[0].lower()}{what[1:]}" if name else what
