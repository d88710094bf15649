"""Both ways to sign in: one token for all, renewed once and in time, and no secret in anything that can be read."""

from __future__ import annotations

import html
import json
from types import SimpleNamespace
from urllib.parse import parse_qsl, quote, quote_plus

import anyio
import httpx
import pytest

from airflow_provider_supersim.api import auth as auth_module
from airflow_provider_supersim.api.auth import BasicAuth, ClientCredentialsAuth, basic_header
from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    ServerError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.api.reading import Token
from airflow_provider_supersim.api.reply import Reply

pytestmark = pytest.mark.anyio

SECRET = "s3cret/&+<é>=" + 20 * "x"
URL = "https://api.korewireless.com/api-services/v1/auth/token"


class TokenEndpoint:
    """Answers token requests; ``replies`` are used up in turn, and then it gives tokens."""

    def __init__(self, *replies, expires_in=3600):
        self.replies = list(replies)
        self.expires_in = expires_in
        self.requests = []
        self.open = anyio.Event()
        self.open.set()

    async def __call__(self, request):
        self.requests.append(request)
        await self.open.wait()
        status, body = self.replies.pop(0) if self.replies else (200, self.token(len(self.requests)))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Reply(request, status, httpx.Headers(), content)

    def token(self, number):
        return {
            "access_token": f"token-{number}",
            "expires_in": self.expires_in,
            "token_type": "Bearer",
            "scope": "supersim-api",
        }


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    clock = SimpleNamespace(now=5000.0)
    monkeypatch.setattr(auth_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def kore():
    return ClientCredentialsAuth(URL, "client", SECRET, timeout=30.0)


async def test_basic_needs_no_request_and_stays_as_it_is():
    auth = BasicAuth("AC1", "secret")
    header = await auth.header(None)
    assert header == "Basic QUMxOnNlY3JldA=="
    auth.renew(header)
    assert await auth.header(None) == header


@pytest.mark.parametrize(("login", "password"), [("AC1", "token"), ("SK1", "ü:☃")])
async def test_basic_is_login_colon_password_in_base64(login, password):
    assert basic_header(login, password) == httpx.BasicAuth(login, password)._auth_header


async def test_the_token_is_asked_for_as_the_reference_says():
    endpoint = TokenEndpoint()
    await ClientCredentialsAuth("https://api.korewireless.com/t", "me", "s3cr&t=", timeout=30.0).header(endpoint)
    (request,) = endpoint.requests
    assert (request.method, str(request.url)) == ("POST", "https://api.korewireless.com/t")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(request.read().decode())) == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": "s3cr&t=",
    }


async def test_one_token_serves_all_requests(kore):
    endpoint = TokenEndpoint()
    assert {await kore.header(endpoint) for _ in range(5)} == {"Bearer token-1"}
    assert len(endpoint.requests) == 1


async def test_100_requests_at_once_cause_one_token_request(kore):
    endpoint = TokenEndpoint()
    endpoint.open = anyio.Event()
    headers = []

    async def ask():
        headers.append(await kore.header(endpoint))

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        endpoint.open.set()
    assert headers == 100 * ["Bearer token-1"]
    assert len(endpoint.requests) == 1


async def test_100_requests_at_once_with_a_wrong_secret_ask_once_not_100_times(kore):
    endpoint = TokenEndpoint(*100 * [(401, {"error": "unauthorized_client", "error_description": "Invalid client"})])
    endpoint.open = anyio.Event()
    failures = []

    async def ask():
        try:
            await kore.header(endpoint)
        except AuthenticationError as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        endpoint.open.set()
    assert len(failures) == 100
    assert {str(error) for error in failures} == {
        "POST /api-services/v1/auth/token answered 401: unauthorized_client: Invalid client"
    }
    assert len(endpoint.requests) == 1


async def test_a_failure_is_not_kept_for_those_who_ask_later(kore):
    endpoint = TokenEndpoint((503, b""))
    with pytest.raises(ServerError):
        await kore.header(endpoint)
    assert await kore.header(endpoint) == "Bearer token-2"


async def test_the_next_in_line_asks_when_the_one_who_asked_is_cancelled(kore):
    endpoint = TokenEndpoint()
    endpoint.open = anyio.Event()
    headers = []

    async def ask():
        headers.append(await kore.header(endpoint))

    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as first:
            group.start_soon(ask)  # waits behind the one that is cancelled
            first.cancel()
            await kore.header(endpoint)
        await anyio.wait_all_tasks_blocked()
        endpoint.open.set()
    assert len(headers) == 1


@pytest.mark.parametrize(
    ("life", "good_until"), [(3600, 3540), (600, 540), (100, 90), (10, 9), (1, 0.9)], ids=lambda value: f"{value} s"
)
async def test_a_token_is_renewed_a_little_before_it_ends(kore, clock, life, good_until):
    endpoint = TokenEndpoint(expires_in=life)
    await kore.header(endpoint)
    clock.now += good_until - 0.01
    assert await kore.header(endpoint) == "Bearer token-1"
    clock.now += 0.02
    assert await kore.header(endpoint) == "Bearer token-2"


async def test_a_tokens_life_may_be_written_as_text(kore, clock):
    endpoint = TokenEndpoint(expires_in="100")
    await kore.header(endpoint)
    clock.now += 89
    assert await kore.header(endpoint) == "Bearer token-1"
    clock.now += 2
    assert await kore.header(endpoint) == "Bearer token-2"


@pytest.mark.parametrize("reply", [{"access_token": "abc"}, {"access_token": "abc", "expires_in": None}])
async def test_a_token_without_a_life_is_used_until_it_is_refused(kore, clock, reply):
    """OAuth2 lets a server leave it out (RFC 6749, 5.1)."""
    endpoint = TokenEndpoint((200, reply))
    assert await kore.header(endpoint) == "Bearer abc"
    clock.now += 10**6
    assert await kore.header(endpoint) == "Bearer abc"
    kore.renew("Bearer abc")
    assert await kore.header(endpoint) == "Bearer token-2"


async def test_a_tokens_life_counts_from_when_it_was_asked_for(kore, clock):
    endpoint = TokenEndpoint(expires_in=100)

    async def slowly(request):
        clock.now += 95
        return await endpoint(request)

    await kore.header(slowly)
    assert await kore.header(endpoint) == "Bearer token-2"


async def test_a_refused_token_is_renewed_once_however_many_were_refused(kore):
    endpoint = TokenEndpoint()
    old = await kore.header(endpoint)
    kore.renew(old)
    new = await kore.header(endpoint)
    kore.renew(old)
    assert await kore.header(endpoint) == new == "Bearer token-2"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>maintenance</html>", "cannot be read"),
        (b"", "cannot be read"),
        (b'{"access_token": "abc', "cannot be read"),
        ({"expires_in": 3600}, "cannot be read"),
        ({"access_token": None, "expires_in": 3600}, "cannot be read"),
        ({"access_token": "abc", "expires_in": "soon"}, "cannot be read"),
        ({"access_token": "abc", "expires_in": [3600]}, "cannot be read"),
        ({"access_token": "abc", "expires_in": "nan"}, "no usable token"),
        ({"access_token": "abc", "expires_in": "0"}, "no usable token"),
        ({"access_token": "", "expires_in": 3600}, "no usable token"),
        ({"access_token": "abc", "expires_in": 0}, "no usable token"),
        ({"access_token": "abc", "expires_in": -1}, "no usable token"),
        ({"access_token": "abü", "expires_in": 3600}, "no usable token"),
        ({"access_token": "abc\r\nX-Evil: 1", "expires_in": 3600}, "no usable token"),
    ],
)
async def test_a_reply_that_is_no_token_is_a_clear_error_that_does_not_quote_it(kore, body, words):
    with pytest.raises(UnreadableReplyError, match=words) as caught:
        await kore.header(TokenEndpoint((200, body)))
    assert caught.value.verdict is Verdict.TRY_AGAIN  # no command has left yet
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Verdict.REFUSED),
        (401, Verdict.REFUSED),
        (403, Verdict.REFUSED),
        (429, Verdict.TRY_AGAIN),
        (302, Verdict.TRY_AGAIN),
        (500, Verdict.TRY_AGAIN),
        (503, Verdict.TRY_AGAIN),
    ],
)
async def test_a_token_that_was_not_given_leaves_no_doubt_about_a_command(kore, status, verdict):
    with pytest.raises(SuperSimError) as caught:
        await kore.header(TokenEndpoint((status, b"")))
    assert caught.value.verdict is verdict
    assert caught.value.request == "POST /api-services/v1/auth/token"


WRITINGS = [
    str,
    lambda secret: quote(secret, safe=""),
    quote_plus,
    html.escape,
    lambda secret: json.dumps(secret)[1:-1],
]


@pytest.mark.parametrize("write", WRITINGS, ids=["as it is", "in a URL", "in a form", "in HTML", "in JSON"])
async def test_secrets_are_taken_out_of_what_a_proxy_echoes_however_it_writes_them(kore, write):
    basic = BasicAuth("AC1", SECRET)
    header = await basic.header(None)
    echoed = f"you sent {write(SECRET)} and {write(header)}"
    assert basic.redact(echoed) == "you sent *** and " + write("Basic ") + "***"
    await kore.header(TokenEndpoint())
    assert kore.redact(f"you sent {write(SECRET)} and Bearer token-1") == "you sent *** and Bearer ***"


async def test_the_token_before_is_hidden_too_for_a_late_reply_may_echo_it(kore):
    endpoint = TokenEndpoint()
    kore.renew(await kore.header(endpoint))
    assert "token-1" not in kore.redact("Bearer token-1")
    await kore.header(endpoint)
    assert kore.redact("token-1 token-2") == "*** ***"


async def test_no_secret_is_in_a_repr(kore):
    await kore.header(TokenEndpoint())
    token = Token(access_token="token-1", expires_in=60)
    for value in (kore, BasicAuth("AC1", SECRET), token):
        text = repr(value) + str(value) + "".join(map(str, getattr(value, "__rich_repr__", tuple)()))
        assert SECRET not in text
        assert "token-1" not in text
