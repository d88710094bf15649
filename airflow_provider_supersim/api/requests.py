"""Builds requests, and says what may be concluded of one that has no answer. No I/O, as :mod:`replies` has none.

Source: the vendor's pages of the *IpCommands*, *Sims* and *Fleets* resources, and each vendor's page on authentication.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlencode

import httpx
import msgspec

from airflow_provider_supersim.api.errors import UnreadableReplyError, Verdict
from airflow_provider_supersim.api.models import IpCommandRequest

IP_COMMANDS = "/v1/IpCommands"
SIMS = "/v1/Sims"
FLEETS = "/v1/Fleets"


class Vendor(msgspec.Struct, frozen=True):
    """What differs between the two vendors of one API."""

    name: str
    base_url: str
    token_url: str | None
    max_page_size: int
    max_concurrency: int


#: KORE publishes no limit; its former owner's is where the pace starts, and it adapts.
VENDORS: Mapping[str, Vendor] = {
    "twilio": Vendor("twilio", "https://supersim.twilio.com", None, 1000, 100),
    "kore": Vendor(
        "kore",
        "https://supersim.api.korewireless.com",
        "https://api.korewireless.com/api-services/v1/auth/token",
        100,
        100,
    ),
}


class Endpoint(msgspec.Struct, frozen=True):
    """Where requests of one client go, and how long each may take."""

    origin: str
    timeout: float

    def get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> httpx.Request:
        """Return a GET; parameters that are ``None`` are left out."""
        given = {key: value for key, value in (query or {}).items() if value is not None}
        url = f"{self.origin}{path}" + (f"?{urlencode(given)}" if given else "")
        return httpx.Request("GET", url, headers=_HEADERS, extensions=_extensions(self.timeout, repeatable=True))

    def get_one(self, collection: str, sid_or_name: str) -> httpx.Request:
        """Return a GET of one resource; a name with ``/`` or ``?`` in it stays one path segment."""
        if not isinstance(sid_or_name, str) or not sid_or_name.strip(". \t\n"):
            raise ValueError(f"{collection}: a sid or a unique name is needed, got {sid_or_name!r}")
        return self.get(f"{collection}/{quote(sid_or_name, safe='')}")

    def create_ip_command(self, command: IpCommandRequest) -> httpx.Request:
        """Return the POST that sends a command. Optional parameters that were not given are left to the vendor."""
        form: dict[str, str | int] = {
            "Sim": command.sim,
            "Payload": command.payload,
            "DevicePort": command.device_port,
            "PayloadType": command.payload_type.value,
        }
        if command.callback_url is not None:
            form["CallbackUrl"] = command.callback_url
        if command.callback_method is not None:
            form["CallbackMethod"] = command.callback_method
        return _form(f"{self.origin}{IP_COMMANDS}", form, self.timeout, repeatable=False)

    def next_page(self, page_url: str) -> httpx.Request:
        """Return the GET of a list's next page.

        :raises UnreadableReplyError: when the link leads elsewhere; credentials never follow it there
        """
        home = httpx.URL(self.origin)
        try:
            url = home.join(page_url)
        except (httpx.InvalidURL, ValueError):
            raise _astray("an address that cannot be read", self.origin) from None
        if _origin(url) != _origin(home) or url.userinfo:
            raise _astray(f"{url.scheme}://{url.host}", self.origin)
        return httpx.Request("GET", url, headers=_HEADERS, extensions=_extensions(self.timeout, repeatable=True))


def _astray(where: str, origin: str) -> UnreadableReplyError:
    return UnreadableReplyError(
        f"the list goes on at {where}, not at {origin}; not followed there",
        request="GET of the next page",
        verdict=Verdict.REFUSED,
    )


#: The encodings are named, for aiohttp would ask for more than httpx can decode where only aiohttp has the library.
#: Made once: httpx copies its own Headers in a third of the time that it takes for a dict.
_HEADERS = httpx.Headers({"Accept": "application/json", "Accept-Encoding": "gzip, deflate"})
_FORM_HEADERS = httpx.Headers({**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"})


def _extensions(timeout: float, *, repeatable: bool) -> dict[str, object]:
    return {"timeout": timeout, "repeatable": repeatable}


def _form(url: str, form: Mapping[str, str | int], timeout: float, *, repeatable: bool) -> httpx.Request:
    return httpx.Request(
        "POST",
        _parsed(url),
        headers=_FORM_HEADERS,
        # As a stream, for which httpx does not work out again what aiohttp adds: Host and Content-Length.
        stream=httpx.ByteStream(urlencode(form).encode()),
        extensions=_extensions(timeout, repeatable=repeatable),
    )


@lru_cache(maxsize=16)  # parsing the one URL that all commands go to took a tenth of a command's CPU
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default


def basic_header(login: str, password: str) -> str:
    """Return the value of an ``Authorization`` header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


def token_request(url: str, client_id: str, client_secret: str, timeout: float) -> httpx.Request:
    """Return KORE's token request (its page *Authentication*)."""
    return _form(
        url,
        {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret},
        timeout,
        repeatable=True,
    )


def unsure(request: httpx.Request) -> Verdict:
    """What is known of a request that was sent without a readable answer: only a repeatable one is harmless."""
    return Verdict.TRY_AGAIN if request.extensions.get("repeatable") else Verdict.UNKNOWN


def describe(request: httpx.Request) -> str:
    """Name a request in an error or a log line: method and path, without query, host or credentials."""
    return f"{request.method} {request.url.path}"
