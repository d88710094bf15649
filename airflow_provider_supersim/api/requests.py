"""Builds requests, and says what is known of one that got no answer. No I/O.

Source: https://www.twilio.com/docs/iot/supersim/api, the pages of the *IpCommands*, *Sims* and *Fleets* resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, urlencode

import httpx
import msgspec

from airflow_provider_supersim.api.errors import BadInputError, UnreadableReplyError, Verdict
from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.words import quoted

IP_COMMANDS = "/v1/IpCommands"
SIMS = "/v1/Sims"
FLEETS = "/v1/Fleets"


class Endpoint(msgspec.Struct, frozen=True):
    """Builds the requests of one client.

    :ivar origin: URL of the API, without a slash at its end
    :ivar timeout: seconds for a request in all
    """

    origin: str
    timeout: float

    def get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> httpx.Request:
        """Return a GET.

        :param query: parameters by name; those that are ``None`` are left out
        """
        given = {key: value for key, value in (query or {}).items() if value is not None}
        url = f"{self.origin}{path}" + (f"?{urlencode(given)}" if given else "")
        return httpx.Request("GET", url, headers=_HEADERS, extensions=_extensions(self.timeout, repeatable=True))

    def get_one(self, collection: str, sid_or_name: str) -> httpx.Request:
        """Return a GET of one resource. A name that holds ``/`` or ``?`` stays one path segment.

        :raises ValueError: the name would lead to another resource
        """
        if not isinstance(sid_or_name, str) or not sid_or_name.strip(". \t\n"):
            raise BadInputError(f"sid_or_name must be a sid or a unique name, got {sid_or_name!r}")
        return self.get(f"{collection}/{quote(sid_or_name, safe='')}")

    def create_ip_command(self, command: IpCommandRequest) -> httpx.Request:
        """Return the POST that sends a command. The vendor chooses for optional parameters that were not given."""
        form = (
            f"Sim={quote_plus(command.sim)}&Payload={quote_plus(command.payload)}&DevicePort={command.device_port:d}"
            f"&PayloadType={quote_plus(command.payload_type.value)}"
        )
        if command.callback_url is not None:
            form += f"&CallbackUrl={quote_plus(command.callback_url)}"
        if command.callback_method is not None:
            form += f"&CallbackMethod={quote_plus(command.callback_method)}"
        return _post(f"{self.origin}{IP_COMMANDS}", form, self.timeout, repeatable=False)

    def next_page(self, page_url: str) -> httpx.Request:
        """Return the GET of a list's next page.

        :raises UnreadableReplyError: the link leads to another host; credentials never follow it there
        """
        home = httpx.URL(self.origin)
        try:
            url = home.join(page_url)
        except (httpx.InvalidURL, ValueError):
            raise _astray("an address that cannot be read", self.origin) from None
        if _origin(url) != _origin(home) or url.userinfo:
            raise _astray(f"{url.scheme}://{url.host}", self.origin)
        url = url.copy_with(fragment=None)  # it names no other page
        return httpx.Request("GET", url, headers=_HEADERS, extensions=_extensions(self.timeout, repeatable=True))


def _astray(where: str, origin: str) -> UnreadableReplyError:
    return UnreadableReplyError(
        f"the list continues at {quoted(where, 100)}, not at {origin}; not followed there",
        request="GET of the next page",
        verdict=Verdict.REFUSED,
    )


#: gzip alone: by itself aiohttp asks for every encoding that it finds a library for.
_HEADERS = httpx.Headers({"Accept": "application/json", "Accept-Encoding": "gzip"})
_FORM_HEADERS = httpx.Headers({**_HEADERS, "Content-Type": "application/x-www-form-urlencoded"})


def _extensions(timeout: float, *, repeatable: bool) -> dict[str, object]:
    return {"timeout": timeout, "repeatable": repeatable}


def post_form(url: str, form: Mapping[str, str | int], timeout: float, *, repeatable: bool) -> httpx.Request:
    """Return the POST of a form.

    :param timeout: seconds for the request in all
    :param repeatable: the same request can be made twice without harm
    """
    return _post(url, urlencode(form), timeout, repeatable=repeatable)


def _post(url: str, form: str, timeout: float, *, repeatable: bool) -> httpx.Request:
    return httpx.Request(
        "POST",
        _parsed(url),
        headers=_FORM_HEADERS,
        stream=httpx.ByteStream(form.encode()),
        extensions=_extensions(timeout, repeatable=repeatable),
    )


@lru_cache(maxsize=16)  # all commands go to one URL
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    default = {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host, url.port or default


def unsure(request: httpx.Request) -> Verdict:
    """Return what is known of a request that left and got no readable answer: only a repeatable one is harmless."""
    return Verdict.TRY_AGAIN if request.extensions.get("repeatable") else Verdict.UNKNOWN


def describe(request: httpx.Request) -> str:
    """Name a request in an error or a log line: method and path, without query, host or credentials."""
    return f"{request.method} {request.url.path}"
