"""How each vendor wants to know who calls: HTTP Basic at Twilio, an OAuth2 token at KORE."""

from __future__ import annotations

import copy
import html
import json
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import quote, quote_plus

import anyio
import httpx
from typing_extensions import override

from airflow_provider_supersim.api import replies
from airflow_provider_supersim.api import requests as protocol
from airflow_provider_supersim.api.errors import SuperSimError

Send = Callable[[httpx.Request], Awaitable[replies.Reply]]


class Auth(ABC):
    """The ``Authorization`` header of one account. Its secrets are in no ``repr`` and no error."""

    @abstractmethod
    async def header(self, send: Send) -> str:
        """Return the header's value; ``send`` carries a token request where one is needed."""

    @abstractmethod
    def renew(self, refused: str) -> bool:
        """Take note that the API refused this header; return whether another one may be had."""

    @abstractmethod
    def redact(self, text: str) -> str:
        """Return the text without the secrets, which a proxy's error page may echo."""


class BasicAuth(Auth):
    """Twilio: Account SID and Auth Token, or API Key SID and secret."""

    def __init__(self, login: str, password: str) -> None:
        self._password = password
        self._header = protocol.basic_header(login, password)

    @override
    async def header(self, send: Send) -> str:
        return self._header

    @override
    def renew(self, refused: str) -> bool:
        return False

    @override
    def redact(self, text: str) -> str:
        return _without(text, self._password, self._header.removeprefix("Basic "))


class ClientCredentialsAuth(Auth):
    """KORE: OAuth2 client credentials. One token for all requests, renewed a little before it ends.

    However many requests find it missing or refused at the same time, one of them fetches the next. Where it fails, it
    has failed for all of them.
    """

    def __init__(self, token_url: str, client_id: str, client_secret: str, *, timeout: float) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._timeout = timeout
        self._header = ""
        self._tokens: deque[str] = deque(maxlen=2)  # the one before, too: a late reply may echo it
        self._renew_at = 0.0
        self._one_at_a_time = anyio.Lock()
        self._tries = 0
        self._failure: SuperSimError | None = None

    @override
    async def header(self, send: Send) -> str:
        if not self._fresh():
            tries = self._tries
            async with self._one_at_a_time:
                if self._failure and self._tries > tries:  # while this one waited its turn
                    raise copy.copy(self._failure)
                if not self._fresh():
                    await self._fetch(send)
        return self._header

    @override
    def renew(self, refused: str) -> bool:
        if refused == self._header:  # else somebody has renewed it since
            self._header = ""
        return True

    @override
    def redact(self, text: str) -> str:
        return _without(text, self._client_secret, *self._tokens)

    def _fresh(self) -> bool:
        return bool(self._header) and time.monotonic() < self._renew_at

    async def _fetch(self, send: Send) -> None:
        asked_at = time.monotonic()
        request = protocol.token_request(self._token_url, self._client_id, self._client_secret, self._timeout)
        try:
            token = replies.read_token(await send(request), self.redact)
        except SuperSimError as error:
            self._failure = error
            raise
        else:
            self._failure = None
        finally:
            self._tries += 1
        # A tenth of its life early, a minute at the most: no request should meet its end under way.
        self._renew_at = asked_at + token.expires_in - min(60.0, token.expires_in / 10)
        self._tokens.append(token.access_token)
        self._header = f"Bearer {token.access_token}"


def _without(text: str, *secrets: str) -> str:
    for secret in filter(None, secrets):
        # As an echo may write it: in a URL, a form, HTML, JSON.
        for written in (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            html.escape(secret),
            json.dumps(secret)[1:-1],
        ):
            text = text.replace(written, "***")
    return text
