"""Faults on demand: which request meets which fault. What a fault does to a reply is in ``replies.py``."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0)]
Status = Annotated[int, Meta(ge=400, le=599)]


class _Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What all kinds share.

    :param ratio: share of matching requests that meet the fault, 0 to 1; the ratios of all faults add up.
        Default None: every matching request.
    :param count: most requests that meet it; default None: no limit. ``count`` alone means the first requests.
    :param skip: number of matching requests that pass before it begins; default 0.
    :param method: method of the request; default None: any.
    :param path: beginning of the request's path; default ``/v1/``.
    """

    ratio: Annotated[float, Meta(ge=0, le=1)] | None = None
    count: Annotated[int, Meta(ge=0)] | None = None
    skip: Annotated[int, Meta(ge=0)] = 0
    method: str | None = None
    path: str = "/v1/"


class TooManyRequests(_Fault, tag="too_many_requests"):
    """429, and nothing was done."""

    retry_after: Annotated[int, Meta(ge=0)] | None = None


class ErrorBefore(_Fault, tag="error_before"):
    """An error, and nothing was done. Without ``code`` the error has the usual code of its status."""

    status: Status = 500
    code: int | None = None
    message: str = "Internal server error"
    retry_after: Annotated[int, Meta(ge=0)] | None = None


class ErrorAfter(_Fault, tag="error_after"):
    """An error, although the request was carried out."""

    status: Status = 500
    code: int | None = None
    message: str = "Internal server error"
    retry_after: Annotated[int, Meta(ge=0)] | None = None


class DropBefore(_Fault, tag="drop_before"):
    """The connection is cut without a reply, and nothing was done."""


class DropAfter(_Fault, tag="drop_after"):
    """The connection is cut without a reply, although the request was carried out."""


class Slow(_Fault, tag="slow"):
    """The reply comes late, by wall time."""

    seconds: Seconds


class Hang(_Fault, tag="hang"):
    """No reply for ``seconds`` of wall time, then the connection is cut. ``accepted``: the request was carried out."""

    seconds: Seconds = 3600.0
    accepted: bool = True


class Garbage(_Fault, tag="garbage"):
    """The request was carried out and the status says so, but the body is useless."""

    body: Literal["html", "empty", "truncated", "wrong-shape"] = "html"


class ListLag(_Fault, tag="list_lag"):
    """The list does not show what was accepted in the last ``seconds`` of the simulator's clock."""

    seconds: Seconds


class ExpiredToken(_Fault, tag="expired_token"):
    """The access token counts as expired. Requests to a vendor without a token endpoint do not meet it."""


class Drip(_Fault, tag="drip"):
    """The request was carried out, and the reply's body comes a byte at a time, ``seconds`` of wall time apart."""

    seconds: Seconds = 1.0


class EndlessBody(_Fault, tag="endless_body"):
    """The request was carried out, and the reply's body never ends."""


class OddHeaders(_Fault, tag="odd_headers"):
    """The request was carried out, and the reply has these headers, such as ``{"Date": "Mon, 99 Nov 2026"}``."""

    headers: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]+$")], Annotated[str, Meta(pattern=r"^[ -~]*$")]]


class CyclicPages(_Fault, tag="cyclic_pages"):
    """The next page of a list is its first page again."""


class BadRow(_Fault, tag="bad_row"):
    """The first row of a page cannot be read: it is null."""


Fault = (
    TooManyRequests
    | ErrorBefore
    | ErrorAfter
    | DropBefore
    | DropAfter
    | Slow
    | Hang
    | Garbage
    | ListLag
    | ExpiredToken
    | Drip
    | EndlessBody
    | OddHeaders
    | CyclicPages
    | BadRow
)


class Faults:
    """Decides which request meets a fault. The same seed and order of requests give the same faults."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable
        self._faults: list[Fault] = []
        self._met: list[int] = []
        self._fired: list[int] = []

    def replace(self, faults: list[Fault]) -> None:
        """Use these faults instead of the earlier ones."""
        self._faults = faults
        self._met = [0] * len(faults)
        self._fired = [0] * len(faults)

    def describe(self) -> list[dict[str, Any]]:
        """Each fault, and how often it fired."""
        return [
            {**msgspec.to_builtins(fault), "fired": fired}
            for fault, fired in zip(self._faults, self._fired, strict=True)
        ]

    def draw(self, method: str, path: str, *, signs_in_by_token: bool) -> Fault | None:
        """Return the fault that this request meets; None: no fault.

        One random number decides for all ratios, laid end to end: a request meets one fault at most.

        :param signs_in_by_token: whether the request's vendor gives out access tokens.
        """
        if not self._faults:
            return None
        drawn: float | None = None
        reached = 0.0
        for place, fault in enumerate(self._faults):
            if not _matches(fault, method, path, signs_in_by_token=signs_in_by_token):
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


def _matches(fault: Fault, method: str, path: str, *, signs_in_by_token: bool) -> bool:
    if fault.method not in (None, method) or not path.startswith(fault.path):
        return False
    if isinstance(fault, ListLag):
        return method == "GET"
    return not isinstance(fault, ExpiredToken) or signs_in_by_token


def kind(fault: Fault) -> str:
    """Return the name of a fault's kind, as JSON has it."""
    return str(fault.__struct_config__.tag)
