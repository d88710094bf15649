"""The ways to sign in: HTTP Basic, and a token by OAuth2 client credentials. :mod:`vendors` says who wants which."""

from __future__ import annotations

import base64
import copy
import html
import json
import math
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import quote, quote_plus

import anyio
import httpx
from typing_extensions import override

from airflow_provider_supersim.api import reading
from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.api.reply import Reply
from airflow_provider_supersim.api.requests import post_form

Send = Callable[[httpx.Request], Awaitable[Reply]]


def basic_header(login: str, password: str) -> str:
    """Return the value of an ``Authorization`` header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


class Auth(ABC):
    """The ``Authorization`` header of one account. Its secrets are in no ``repr`` and no error."""

    _learn: Callable[[str], None] | None = None

    def tell(self, learn: Callable[[str], None]) -> None:
        """Call a function with each secret that no log must show: now, and later with each new token."""
        self._learn = learn
        self._learned(*self.secrets())

    def secrets(self) -> tuple[str, ...]:
        """Return what is known from the beginning."""
        return ()

    def _learned(self, *secrets: str) -> None:
        if learn := self._learn:
            for secret in secrets:
                for written in dict.fromkeys(_spellings(secret)):
                    learn(written)

    @abstractmethod
    async def header(self, send: Send) -> str:
        """Return the header's value.

        :param send: carries a token request, if one is needed
        """

    @abstractmethod
    def renew(self, refused: str) -> None:
        """Get another token for the next header, because the API refused the token of this one."""

    @abstractmethod
    def redact(self, text: str) -> str:
        """Return the text without the secrets, because the error page of a proxy may echo them."""


class BasicAuth(Auth):
    """HTTP Basic: every request carries login and password."""

    def __init__(self, login: str, password: str) -> None:
        self._password = password
        self._header = basic_header(login, password)

    @override
    async def header(self, send: Send) -> str:
        return self._header

    @override
    def renew(self, refused: str) -> None:
        """Do nothing: there is no token."""

    @override
    def secrets(self) -> tuple[str, ...]:
        return self._password, self._header.removeprefix("Basic ")

    @override
    def redact(self, text: str) -> str:
        return _without(text, *self.secrets())


class ClientCredentialsAuth(Auth):
    """OAuth2 client credentials (RFC 6749, 4.4): one token for all requests, renewed a little before it ends.

    However many requests find the token missing or refused at the same time, one of them fetches the next. If that
    fails, it fails for all of them.

    :param auth_url: the token endpoint
    :param timeout: seconds for a token request in all
    """

    def __init__(self, auth_url: str, client_id: str, client_secret: str, *, timeout: float) -> None:
        self._auth_url = auth_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout = timeout
        self._header = ""
        self._tokens: deque[str] = deque(maxlen=2)  # also the one before: a late reply may echo it
        self._renew_at = 0.0
        self._one_at_a_time = anyio.Lock()
        self._tries = 0
        self._failure: SuperSimError | None = None

    @override
    async def header(self, send: Send) -> str:
        if not self._fresh():
            tries = self._tries
            async with self._one_at_a_time:
                if self._failure and self._tries > tries:  # failed while this request waited for its turn
                    raise copy.copy(self._failure)
                if not self._fresh():
                    await self._fetch(send)
        return self._header

    @override
    def renew(self, refused: str) -> None:
        if refused == self._header:  # otherwise another request has renewed it since
            self._header = ""

    @override
    def secrets(self) -> tuple[str, ...]:
        return (self._client_secret,)

    @override
    def redact(self, text: str) -> str:
        return _without(text, self._client_secret, *self._tokens)

    def _fresh(self) -> bool:
        return bool(self._header) and time.monotonic() < self._renew_at

    async def _fetch(self, send: Send) -> None:
        asked_at = time.monotonic()
        request = post_form(
            self._auth_url,
            {
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._client_secret,
            },
            self._timeout,
            repeatable=True,
        )
        try:
            token = reading.read_token(await send(request), self.redact)
        except SuperSimError as error:
            self._failure = error
            raise
        else:
            self._failure = None
        finally:
            self._tries += 1
        # A tenth of its life early, at most a minute, so that it does not end while a request is under way. A token
        # without a stated life is used until the API refuses it.
        life = math.inf if token.expires_in is None else token.expires_in
        self._renew_at = asked_at + life - min(60.0, life / 10)
        self._tokens.append(token.access_token)
        self._learned(token.access_token)
        self._header = f"Bearer {token.access_token}"


def _without(text: str, *secrets: str) -> str:
    for secret in filter(None, secrets):
        for written in _spellings(secret):
            text = text.replace(written, "***")
    return text


def _spellings(secret: str) -> tuple[str, ...]:
    """Return each way in which an echo may write it: plain, in a URL, in a form, in HTML, in JSON."""
    return secret, quote(secret, safe=""), quote_plus(secret), html.escape(secret), json.dumps(secret)[1:-1]
