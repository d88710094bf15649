"""One tree of errors. Each carries its evidence and says whether sending again is safe.

Misuse (a bad argument) is a :class:`ValueError` and never reaches the network.
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What is known of a request that did not succeed."""

    #: The API said no: it did not act on it, and would say no again.
    REFUSED = "refused"
    #: Surely not processed, or only a reading one: the same request can safely be made again.
    TRY_AGAIN = "try again"
    #: It may have been processed: only a look in the API can tell.
    UNKNOWN = "unknown"


class SuperSimError(Exception):
    """Base of all errors of the API.

    :ivar request: method and path of the request, e.g. ``POST /v1/IpCommands``
    :ivar verdict: what is known of it
    :ivar status: HTTP status of the reply, ``None`` where there was none
    :ivar code: the vendor's error code, e.g. 83600, ``None`` where the reply had none
    :ivar message: the vendor's words, or ours where the vendor said nothing
    :ivar more_info: the vendor's page on the code
    :ivar retry_after: seconds that the vendor asked to wait
    """

    def __init__(
        self,
        message: str,
        *,
        request: str,
        verdict: Verdict,
        status: int | None = None,
        code: int | None = None,
        more_info: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.request = request
        self.verdict = verdict
        self.status = status
        self.code = code
        self.more_info = more_info
        self.retry_after = retry_after
        super().__init__(message)

    @property
    def retryable(self) -> bool:
        """Whether making the same request again is safe and may help."""
        return self.verdict is Verdict.TRY_AGAIN

    def __str__(self) -> str:
        reply = f" answered {self.status}" if self.status is not None else ""
        code = f" (code {self.code})" if self.code is not None else ""
        page = f". See {self.more_info}" if self.more_info else ""
        return f"{self.request}{reply}{code}: {self.message.rstrip('.')}{page}"

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (type(self), self.__dict__)


def _restore(kind: type[SuperSimError], evidence: dict[str, object]) -> SuperSimError:
    error = kind.__new__(kind, evidence["message"])
    error.__dict__.update(evidence)
    return error


class NotConnectedError(SuperSimError):
    """No connection to the host was ever made (name, route, refused, TLS): nothing was processed."""


class NoReplyError(SuperSimError):
    """The connection was made, but no whole reply came (time-out, connection lost)."""


class UnreadableReplyError(SuperSimError):
    """A reply came that is not what the API promises: HTML, empty, cut off, or without a needed field."""


class ApiError(SuperSimError):
    """The API answered with an error status."""


class BadRequestError(ApiError):
    """400 and other refusals: the request itself is wrong."""


class AuthenticationError(ApiError):
    """401 or 403, also from the token endpoint: the credentials are wrong, or may not do this."""


class NotFoundError(ApiError):
    """404: there is no such IP Command, SIM or Fleet in this account."""


class TooManyRequestsError(ApiError):
    """429: above the account's concurrency. Never processed, so always safe to send again after a pause."""


class ServerError(ApiError):
    """5xx (and 408, and a redirect, which this API has no use for): a POST may have been processed."""
