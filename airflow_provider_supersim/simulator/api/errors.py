"""What the API answers when it refuses: status, code and message (https://www.twilio.com/docs/api/errors)."""

from __future__ import annotations

from typing import Any

UNKNOWN_PARAMETER = 20001
MISSING_PARAMETER = 20002
AUTHENTICATE = 20003
METHOD_NOT_ALLOWED = 20004
ACCESS_DENIED = 20006
NOT_FOUND = 20404
ACCOUNT_INVALID = 20409
TOO_MANY_REQUESTS = 20429
INTERNAL = 20500
UNAVAILABLE = 20503
SIM_NOT_FOUND = 83005
IP_COMMANDS = 83400
CALLBACK_FAILED = 83402
INVALID_VALUE = 83600

CODE_OF_STATUS = {
    400: INVALID_VALUE,
    401: AUTHENTICATE,
    403: ACCESS_DENIED,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    409: ACCOUNT_INVALID,
    429: TOO_MANY_REQUESTS,
    500: INTERNAL,
    503: UNAVAILABLE,
}
"""The code of a fault that names only a status."""


class ApiError(Exception):
    """A refusal.

    :param body: the whole JSON body if it differs from the vendor's usual form; None: the usual form.
    :param headers: further headers of the reply.
    """

    def __init__(
        self,
        status: int,
        code: int,
        message: str,
        *,
        body: dict[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.body = body
        self.headers = headers


def invalid(name: str, value: str, why: str) -> ApiError:
    """A parameter has a bad value."""
    shown = value if len(value) <= 60 else f"{value[:60]}…"
    return ApiError(400, INVALID_VALUE, f"Invalid parameter value: {name}='{shown}' {why}")


def unknown(name: str) -> ApiError:
    """The operation has no such parameter."""
    return ApiError(400, UNKNOWN_PARAMETER, f"Unknown parameters: '{name}'")


def missing(name: str) -> ApiError:
    """A required parameter is missing."""
    return ApiError(400, MISSING_PARAMETER, f"Missing required parameter {name} in the post body")


def not_found(path: str) -> ApiError:
    """There is nothing at this path."""
    return ApiError(404, NOT_FOUND, f"The requested resource {path} was not found")


def not_simulated(method: str, route: str, instead: str) -> ApiError:
    """The vendors have this operation, and the simulator does not.

    :param instead: what to use in its place.
    """
    return _without_code(501, f"The API has {method} {route}, but the simulator does not: use {instead} instead")


def too_long(most: int) -> ApiError:
    """The body is longer than any request needs."""
    return _without_code(413, f"The request's body is longer than {most} bytes")


def method_not_allowed(method: str, allowed: str) -> ApiError:
    """The path has no such method."""
    return ApiError(
        405,
        METHOD_NOT_ALLOWED,
        f"Method not allowed: {method}; this resource takes {allowed}",
        headers=((b"allow", allowed.encode()),),
    )


def _without_code(status: int, message: str) -> ApiError:
    """Return a refusal for which the vendors have no code."""
    return ApiError(status, 0, message, body={"status": status, "message": message})
