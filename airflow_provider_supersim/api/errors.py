"""One tree of errors. Each carries its evidence and says whether the request can safely be made again.

Bad input is a :class:`BadInputError`, which is a :class:`ValueError`: no request is made.
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What is known of a request that did not succeed."""

    #: The API refused the request and did not act on it. It would refuse it again.
    REFUSED = "refused"
    #: The request was not processed, or it only reads. The same request can safely be made again.
    TRY_AGAIN = "try again"
    #: The request may have been processed. Only a look in the API can tell.
    UNKNOWN = "unknown"


class BadInputError(ValueError):
    """An argument, a field of the connection, or a row of the targets cannot be right.

    It is a class of its own because JSON, Unicode and msgspec raise a :class:`ValueError` too, for what a retry may
    fix.
    """


class SuperSimError(Exception):
    """Base of all errors of the API.

    :ivar request: method and path of the request, e.g. ``POST /v1/IpCommands``
    :ivar verdict: what is known of the request
    :ivar status: HTTP status of the reply; ``None`` if no reply came
    :ivar code: the vendor's error code, e.g. 83600; ``None`` if the reply had none
    :ivar message: the vendor's words; this provider's if the vendor said nothing
    :ivar more_info: the vendor's page on the code; ``None`` if the reply named none
    :ivar retry_after: seconds that the vendor asked to wait; ``None`` if it did not ask
    :ivar tried_for: seconds from the first attempt to the end of the last; 0 if the request was made once
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
        self.tried_for = 0.0
        super().__init__(message)

    @property
    def retryable(self) -> bool:
        """Tell whether making the same request again is safe and may help."""
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
    """No connection to the host was made (name, route, refused, TLS): nothing was processed."""


class NoReplyError(SuperSimError):
    """The connection was made, but no whole reply came (time-out, connection lost)."""


class UnreadableReplyError(SuperSimError):
    """A reply came that the API does not promise: HTML, empty, cut off, or without a needed field."""


class ApiError(SuperSimError):
    """The API answered with an error status."""


class BadRequestError(ApiError):
    """400 and other refusals: the request itself is wrong."""


class AuthenticationError(ApiError):
    """401 or 403, also from the token endpoint: the credentials are wrong, or they do not allow this."""


class NotFoundError(ApiError):
    """404: this account has no such IP Command, SIM or Fleet."""


class TooManyRequestsError(ApiError):
    """429: too many requests at once. It was not processed, so it can always be sent again after a pause."""


class ServerError(ApiError):
    """5xx, 408, or a redirect, which this API does not use: a POST may have been processed."""
