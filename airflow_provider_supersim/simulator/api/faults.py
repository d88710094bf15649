"""Faults on demand: which request meets which one. What a fault does stands in :mod:`.api`."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0)]
Status = Annotated[int, Meta(ge=400, le=599)]


class _Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all kinds share.

    :param ratio: the share of matching requests that meet it. Ratios of all faults add up.
    :param count: how many requests meet it at most. With ``count`` alone: the first ones.
    :param skip: how many matching requests pass before it begins.
    :param method: of the request; None: any.
    :param path: how the request's path begins.
    """

    ratio: Annotated[float, Meta(ge=0, le=1)] | None = None
    count: Annotated[int, Meta(ge=0)] | None = None
    skip: Annotated[int, Meta(ge=0)] = 0
    method: str | None = None
    path: str = "/v1/"


class TooManyRequests(_Fault, tag="too_many_requests"):
    """429 without any processing."""

    retry_after: Annotated[int, Meta(ge=0)] | None = None


class ErrorBefore(_Fault, tag="error_before"):
    """An error, and nothing was done. Without ``code`` it is the one that goes with the status."""

    status: Status = 500
    code: int | None = None
    message: str = "Internal server error"
    retry_after: Annotated[int, Meta(ge=0)] | None = None


class ErrorAfter(_Fault, tag="error_after"):
    """An error, although what was asked has been done."""

    status: Status = 500
    code: int | None = None
    message: str = "Internal server error"
    retry_after: Annotated[int, Meta(ge=0)] | None = None


class DropBefore(_Fault, tag="drop_before"):
    """The connection is cut without a reply, and nothing was done."""


class DropAfter(_Fault, tag="drop_after"):
    """The connection is cut without a reply, although what was asked has been done."""


class Slow(_Fault, tag="slow"):
    """The reply comes late, by wall time."""

    seconds: Seconds


class Hang(_Fault, tag="hang"):
    """No reply for ``seconds`` of wall time, then the connection is cut. ``accepted``: what was asked has been done."""

    seconds: Seconds = 3600.0
    accepted: bool = True


class Garbage(_Fault, tag="garbage"):
    """What was asked has been done; the status says so, the body is useless."""

    body: Literal["html", "empty", "truncated", "wrong-shape"] = "html"


class ListLag(_Fault, tag="list_lag"):
    """The list does not show yet what was accepted within the last ``seconds`` of the simulator's clock."""

    seconds: Seconds


class ExpiredToken(_Fault, tag="expired_token"):
    """The bearer token counts as expired. Requests in Twilio's dialect do not meet it."""


Fault = (
    TooManyRequests | ErrorBefore | ErrorAfter | DropBefore | DropAfter | Slow | Hang | Garbage | ListLag | ExpiredToken
)


class Faults:
    """Deals faults out, the same way for the same seed and the same order of requests."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable
        self._faults: list[Fault] = []
        self._met: list[int] = []
        self._fired: list[int] = []

    def replace(self, faults: list[Fault]) -> None:
        """Set these faults in place of those before."""
        self._faults = faults
        self._met = [0] * len(faults)
        self._fired = [0] * len(faults)

    def describe(self) -> list[dict[str, Any]]:
        """Each fault, and how often it fired."""
        return [
            {**msgspec.to_builtins(fault), "fired": fired}
            for fault, fired in zip(self._faults, self._fired, strict=True)
        ]

    def draw(self, method: str, path: str, vendor: str) -> Fault | None:
        """Return the fault that this request meets. One number is drawn against all ratios laid end to end."""
        if not self._faults:
            return None
        drawn: float | None = None
        reached = 0.0
        for place, fault in enumerate(self._faults):
            if not _matches(fault, method, path, vendor):
                continue
            self._met[place] += 1
            spent = fault.count is not None and self._fired[place] >= fault.count
            if fault.ratio is not None:
                drawn = self._random.random() if drawn is None else drawn
                hit = reached <= drawn < reached + fault.ratio
                reached += fault.ratio
            else:
                hit = True
            if hit and not spent and self._met[place] > fault.skip:
                self._fired[place] += 1
                return fault
        return None


def _matches(fault: Fault, method: str, path: str, vendor: str) -> bool:
    if fault.method not in (None, method) or not path.startswith(fault.path):
        return False
    if isinstance(fault, ListLag):
        return method == "GET"
    return not isinstance(fault, ExpiredToken) or vendor == "kore"


def kind(fault: Fault) -> str:
    """Return the name of a fault's kind, as it stands in JSON."""
    return str(fault.__struct_config__.tag)
