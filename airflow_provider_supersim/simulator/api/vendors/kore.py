"""What Twilio and KORE do differently: sign-in, errors, page sizes, headers, callbacks."""

from __future__ import annotations

import base64
import binascii
import hmac
import random
import re
from typing import Any, Literal, Protocol
from urllib.parse import urlencode

from airflow_provider_supersim.simulator.api.errors import (
    ACCESS_DENIED,
    ACCOUNT_INVALID,
    AUTHENTICATE,
    ApiError,
)
from airflow_provider_supersim.simulator.api.vendors import signatures
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import Options

Headers = tuple[tuple[bytes, bytes], ...]
Vendor = Literal["twilio", "kore"]


class Dialect(Protocol):
    """One vendor's ways."""

    name: Vendor
    max_page_size: int
    docs: str
    """Beginning of ``more_info``; the error code comes last."""
    callback_attempts: int

    def authenticate(self, authorization: str, *, may_write: bool, expired: bool) -> None:
        """Let a request in.

        :param authorization: the header as it came, or nothing.
        :param may_write: whether the request changes something.
        :param expired: a fault says that the token has expired.
        :raises ApiError: it stays out.
        """

    def headers(self, in_flight: int) -> Headers:
        """Headers of every reply."""

    def sign(self, method: str, url: str, fields: dict[str, str], identity: str) -> dict[str, str]:
        """Headers of a callback that prove who sent it.

        :param fields: the form of a POST; nothing for GET.
        :param identity: the same for each attempt at one callback.
        """


class Twilio:
    """HTTP Basic, large pages, a count of concurrent requests."""

    name: Vendor = "twilio"
    max_page_size = 1000
    docs = "https://www.twilio.com/docs/errors/"
    callback_attempts = 1

    _CHALLENGE: Headers = ((b"www-authenticate", b'Basic realm="Twilio API"'),)

    def __init__(self, options: Options) -> None:
        self._options = options
        self._logins = {
            _basic(options.account_sid, options.auth_token): True,
            _basic(options.api_key, options.api_secret): True,
            _basic(options.read_only_key, options.api_secret): False,
        }
        """The whole header that is let in, and whether it may write."""

    def authenticate(self, authorization: str, *, may_write: bool, expired: bool) -> None:
        """Let a request in (see :class:`Dialect`)."""
        writes = self._logins.get(authorization)
        if writes is None:
            writes = self._decoded(authorization)
        if may_write and not writes:
            raise ApiError(403, ACCESS_DENIED, "Access denied: this API Key may read but not send")

    def headers(self, in_flight: int) -> Headers:
        """Return the headers of every reply."""
        return ((b"twilio-concurrent-requests", b"%d" % in_flight),)

    def sign(self, method: str, url: str, fields: dict[str, str], identity: str) -> dict[str, str]:
        """Return the headers that prove who calls back."""
        return {"X-Twilio-Signature": signatures.twilio(self._options.auth_token, url, fields)}

    def _decoded(self, authorization: str) -> bool:
        """Judge a header that is not letter for letter one of ours; return whether it may write."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            login, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            login, password = "", ""
        writes = self._logins.get(_basic(login, password)) if scheme.lower() == "basic" else None
        if writes is not None:
            return writes
        if login.startswith("AC") and not re.fullmatch("AC[0-9a-fA-F]{32}", login):
            message = f"Account SID '{login}' is invalid: AC and 32 hexadecimal digits are expected"
            raise ApiError(401, ACCOUNT_INVALID, message, headers=self._CHALLENGE)
        raise ApiError(401, AUTHENTICATE, "Authenticate", headers=self._CHALLENGE)


class Kore:
    """OAuth2 client credentials, small pages, callbacks that are tried twice."""

    name: Vendor = "kore"
    max_page_size = 100
    docs = "https://docs.korewireless.com/en-us/api/errors/"
    callback_attempts = 2

    def __init__(self, options: Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._random = random.Random(options.seed)  # noqa: S311 - repeatable, and nothing to protect
        self._expiry: dict[str, float] = {}

    def use(self, options: Options) -> None:
        """Go by other options from now on; tokens that were given out stay as they are."""
        self._options = options

    def issue(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer ``POST /api-services/v1/auth/token``.

        :param form: the parameters of the request.
        :raises ApiError: no token for these.
        """
        options = self._options
        grant = form.get("grant_type")
        if grant is None:
            raise _refusal(400, "invalid_request", "Missing form parameter: grant_type")
        if grant != "client_credentials":
            raise _refusal(400, "unsupported_grant_type", f"Unsupported grant_type: {grant}")
        known = _same(form.get("client_id", ""), options.client_id)
        if not (known & _same(form.get("client_secret", ""), options.client_secret)):
            raise _refusal(401, "unauthorized_client", "Invalid client or invalid client credentials")
        now = self._clock.now()
        self._expiry = {token: expiry for token, expiry in self._expiry.items() if expiry > now}
        token = f"simulator.{self._random.getrandbits(256):064x}"
        self._expiry[token] = now + options.token_lifetime
        return {
            "access_token": token,
            "expires_in": options.token_lifetime,
            "token_type": "Bearer",
            "scope": "supersim-api",
        }

    def authenticate(self, authorization: str, *, may_write: bool, expired: bool) -> None:
        """Let a request in (see :class:`Dialect`)."""
        scheme, _, token = authorization.partition(" ")
        expiry = self._expiry.get(token, 0.0) if scheme.lower() == "bearer" else 0.0
        if expired or self._clock.now() >= expiry:
            message = "User is not authorized to access this resource with an explicit deny"
            body = {"message": message, "error": "Invalid or expired token"}
            raise ApiError(403, ACCESS_DENIED, message, body=body)

    def headers(self, in_flight: int) -> Headers:
        """Return the headers of every reply."""
        return ()

    def sign(self, method: str, url: str, fields: dict[str, str], identity: str) -> dict[str, str]:
        """Return the headers that prove who calls back."""
        signature = signatures.kore(self._options.callback_secret, method, url, urlencode(fields).encode())
        return {"kore-signature": signature, "kore-idempotency-token": identity}


def _basic(login: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{login}:{password}'.encode()).decode()}"


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _refusal(status: int, error: str, description: str) -> ApiError:
    body = {"error": error, "error_description": description}
    return ApiError(status, AUTHENTICATE, description, body=body)
