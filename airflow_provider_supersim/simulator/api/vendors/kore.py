"""KORE: OAuth2 client credentials, small pages of IP Commands, signed callbacks that are tried twice."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from airflow_provider_supersim.simulator.api.errors import ACCESS_DENIED, AUTHENTICATE, ApiError
from airflow_provider_supersim.simulator.api.vendors.vendor import Vendor
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import LIVE, PASSWORD, Options


class KoreAccount(msgspec.Struct, frozen=True, kw_only=True):
    """KORE's part of the options."""

    client_id: Annotated[str, Meta(min_length=1, description="KORE: OAuth2 client id")] = "simulator"
    client_secret: Annotated[str, Meta(min_length=1, description="KORE: OAuth2 client secret")] = PASSWORD
    callback_secret: Annotated[
        str, Meta(description="KORE: secret that signs callbacks; empty: unsigned", extra=LIVE)
    ] = PASSWORD
    token_expires_in: Annotated[
        Literal["number", "text", "nothing"],
        Meta(description="KORE: how a token reply says the token's lifetime", extra=LIVE),
    ] = "number"  # noqa: S105 - how it is written


class Kore(Vendor[KoreAccount]):
    """See the module's first line."""

    name = "kore"
    title = "KORE"
    account_options = KoreAccount
    error_pages = "https://docs.korewireless.com/en-us/api/errors/"
    max_page_sizes = {"/v1/IpCommands": 100}
    token_path = "/api-services/v1/auth/token"  # noqa: S105 - a path
    secret_fields = frozenset({"client_secret"})
    callback_attempts = 2

    def __init__(self, options: Options, clock: Clock) -> None:
        super().__init__(options, clock)
        self._random = random.Random(options.seed)  # noqa: S311 - repeatable, and nothing to protect
        self._expiry: dict[str, float] = {}

    def claims(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """Take whoever asks for a token or brings one."""
        return path == self.token_path or headers.get(b"authorization", b"")[:7].lower() == b"bearer "

    def authenticate(self, headers: Mapping[bytes, bytes], *, may_write: bool, expired: bool) -> None:
        """Let a request in (see :class:`Vendor`)."""
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        expiry = self._expiry.get(token, 0.0) if scheme.lower() == "bearer" else 0.0
        if expired or self.clock.now() >= expiry:
            message = "User is not authorized to access this resource with an explicit deny"
            body = {"message": message, "error": "Invalid or expired token"}
            raise ApiError(403, ACCESS_DENIED, message, body=body)

    def issue_token(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer a request for a token (see :class:`Vendor`)."""
        grant = form.get("grant_type")
        if grant is None:
            raise _senseless("Missing form parameter: grant_type")
        if grant != "client_credentials":
            raise _senseless(f"unsupported_grant_type: {grant[:60]}")
        known = _same(form.get("client_id", ""), self.account.client_id)
        if not (known & _same(form.get("client_secret", ""), self.account.client_secret)):
            message = "Invalid client or invalid client credentials"
            body = {"error": "unauthorized_client", "error_description": message}
            raise ApiError(401, AUTHENTICATE, message, body=body)
        now, lifetime = self.clock.now(), self.options.token_lifetime
        self._expiry = {token: expiry for token, expiry in self._expiry.items() if expiry > now}
        token = f"{self._random.getrandbits(256):064x}"
        self._expiry[token] = now + lifetime
        said = {"number": lifetime, "text": str(lifetime)}.get(self.account.token_expires_in)
        life = {} if said is None else {"expires_in": said}
        return {"access_token": token, **life, "token_type": "Bearer", "scope": "supersim-api"}

    def callback_headers(self, method: str, url: str, fields: dict[str, str], identity: str) -> dict[str, str]:
        """Return the headers that prove who calls back."""
        signed = signature(self.account.callback_secret, method, url, urlencode(fields).encode())
        return {"kore-signature": signed, "kore-idempotency-token": identity}

    def credentials(self) -> list[str]:
        """Return one line: KORE has one login."""
        return [f"client id   {self.account.client_id}  client secret {self.account.client_secret}"]

    def connection(self, url: str) -> dict[str, Any]:
        """Return the fields of an Airflow connection."""
        return {
            "conn_type": "supersim",
            "host": url,
            "login": self.account.client_id,
            "password": self.account.client_secret,
            "extra": {"vendor": self.name, "auth_url": f"{url}{self.token_path}"},
        }


def signature(secret: str, method: str, url: str, body: bytes) -> str:
    """Return ``kore-signature``: SHA-256 of secret, method, URL without its query, and the raw body.

    :param secret: the account's callback secret; if it is empty, so is the signature.
    """
    if not secret:
        return ""
    bare = urlunsplit(urlsplit(url)._replace(query="", fragment=""))
    return hashlib.sha256(f"{secret}{method}{bare}".encode() + body).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _senseless(message: str) -> ApiError:
    return ApiError(400, 400, message, body={"code": 400, "message": message})
