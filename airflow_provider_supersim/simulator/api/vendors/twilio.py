"""Twilio: HTTP Basic, a count of concurrent requests, callbacks signed with the Auth Token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from airflow_provider_supersim.simulator.api.errors import ACCESS_DENIED, ACCOUNT_INVALID, AUTHENTICATE, ApiError
from airflow_provider_supersim.simulator.api.vendors.vendor import Headers, Vendor
from airflow_provider_supersim.simulator.world.options import PASSWORD, Options

_CHALLENGE: Headers = ((b"www-authenticate", b'Basic realm="Twilio API"'),)


class TwilioAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Twilio's part of the options; the Account SID is an option of every simulator."""

    auth_token: Annotated[str, Meta(min_length=1, description="Twilio: password of the Account SID")] = PASSWORD
    api_key: Annotated[str, Meta(pattern="^SK[0-9a-fA-F]{32}$", description="Twilio: API Key SID, another login")] = (
        "SK" + 32 * "b"
    )
    api_secret: Annotated[str, Meta(min_length=1, description="Twilio: password of the API Keys")] = PASSWORD
    read_only_key: Annotated[
        str, Meta(pattern="^SK[0-9a-fA-F]{32}$", description="Twilio: API Key that can read but not send")
    ] = "SK" + 32 * "c"


class Twilio(Vendor[TwilioAccount]):
    """See the module's first line."""

    name = "twilio"
    title = "Twilio"
    account_options = TwilioAccount
    error_pages = "https://www.twilio.com/docs/errors/"

    def use(self, options: Options) -> None:
        """Take over options (see :class:`Vendor`)."""
        super().use(options)
        account = self.account
        self._logins = {
            _basic(options.account_sid, account.auth_token): True,
            _basic(account.api_key, account.api_secret): True,
            _basic(account.read_only_key, account.api_secret): False,
        }
        """Each ``Authorization`` header that is let in, and whether it may write."""

    def claims(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """Take whoever signs in with HTTP Basic."""
        return headers.get(b"authorization", b"")[:6].lower() == b"basic "

    def authenticate(self, headers: Mapping[bytes, bytes], *, may_write: bool, expired: bool) -> None:
        """Let a request in (see :class:`Vendor`)."""
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        writes = self._logins.get(authorization)
        if writes is None:
            writes = self._decode(authorization)
        if may_write and not writes:
            raise ApiError(403, ACCESS_DENIED, "Access denied: this API Key may read but not send")

    def reply_headers(self, in_flight: int) -> Headers:
        """Return the count of concurrent requests."""
        return ((b"twilio-concurrent-requests", b"%d" % in_flight),)

    def callback_headers(self, method: str, url: str, fields: dict[str, str], identity: str) -> dict[str, str]:
        """Return the headers that prove who calls back."""
        return {"X-Twilio-Signature": signature(self.account.auth_token, url, fields)}

    def credentials(self) -> list[str]:
        """Return one line for each login."""
        account = self.account
        return [
            f"Account SID {self.options.account_sid}  Auth Token {account.auth_token}",
            f"API Key     {account.api_key}  secret     {account.api_secret}",
            f"read only   {account.read_only_key}  secret     {account.api_secret}",
        ]

    def connection(self, url: str) -> dict[str, Any]:
        """Return the fields of an Airflow connection."""
        return {
            "conn_type": "supersim",
            "host": url,
            "login": self.options.account_sid,
            "password": self.account.auth_token,
            "extra": {"vendor": self.name},
        }

    def _decode(self, authorization: str) -> bool:
        """Judge a header that differs from ours in its letters; return whether it may write."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            login, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:  # not ASCII, not base64, or not UTF-8
            login, password = "", ""
        writes = self._logins.get(_basic(login, password)) if scheme.lower() == "basic" else None
        if writes is not None:
            return writes
        if login.startswith("AC") and not re.fullmatch("AC[0-9a-fA-F]{32}", login):
            message = f"Account SID '{login}' is invalid: AC and 32 hexadecimal digits are expected"
            raise ApiError(401, ACCOUNT_INVALID, message, headers=_CHALLENGE)
        raise ApiError(401, AUTHENTICATE, "Authenticate", headers=_CHALLENGE)


def signature(auth_token: str, url: str, fields: Mapping[str, str]) -> str:
    """Return ``X-Twilio-Signature``: HMAC-SHA1 of the URL and each form field in the order of its name.

    See https://www.twilio.com/docs/usage/security.

    :param auth_token: the account's Auth Token, which is the key.
    :param url: the URL that is called, with its query.
    :param fields: the fields of a POST form; empty for GET.
    """
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def _basic(login: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{login}:{password}'.encode()).decode()}"
