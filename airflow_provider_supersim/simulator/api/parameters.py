"""Reads a request's parameters and refuses what the vendor would refuse, with the vendor's code."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_supersim.simulator.api.errors import (
    INVALID_VALUE,
    IP_COMMANDS,
    SIM_NOT_FOUND,
    ApiError,
    invalid,
    missing,
    unknown,
)
from airflow_provider_supersim.simulator.api.paging import PageRequest
from airflow_provider_supersim.simulator.world.models import PAYLOAD_TYPES, REACHABLE, Sim
from airflow_provider_supersim.simulator.world.world import CommandRequest

MAX_PAYLOAD = 1300
"""Most bytes that a device can get in one command."""

_REQUIRED = ("Sim", "Payload", "DevicePort")
_KNOWN = frozenset({*_REQUIRED, "PayloadType", "CallbackUrl", "CallbackMethod"})
_PAGING = frozenset({"PageSize", "Page", "PageToken"})
NO_WEB_URL = "is not an http or https URL of ASCII characters without blanks"
"""What :func:`is_web_url` finds wrong."""

_URL = re.compile("[!-~]+")
_NUMBER = re.compile(r"[0-9]{1,9}")
_PAGE = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A list's parameters: which page, and which filters."""

    page: PageRequest
    filters: dict[str, str]


def parse(text: bytes) -> dict[str, str]:
    """Read form-encoded parameters.

    :raises ApiError: it is not UTF-8, or a name is given twice.
    """
    parameters: dict[str, str] = {}
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ApiError(400, INVALID_VALUE, "Invalid parameter value: it is not form-encoded UTF-8") from None
    for name, value in pairs:
        if name in parameters:
            raise invalid(name, value, "is given more than once")
        parameters[name] = value
    return parameters


def command_request(form: dict[str, str], find_sim: Callable[[str], Sim | None], vendor: str) -> CommandRequest:
    """Validate the form of ``POST /v1/IpCommands``.

    :param find_sim: returns the SIM with a sid or unique_name.
    :raises ApiError: something is wrong with it; the code is the vendor's.
    """
    _names(form)
    payload_type = form.get("PayloadType", "text")
    if payload_type not in PAYLOAD_TYPES:
        raise invalid("PayloadType", payload_type, "is neither text nor binary")
    data = _payload(form["Payload"], payload_type)
    port = form["DevicePort"]
    if not _NUMBER.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise invalid("DevicePort", port, "is not an integer from 1 to 65535")
    method = form.get("CallbackMethod", "POST")
    if method not in ("GET", "POST"):
        raise invalid("CallbackMethod", method, "is neither GET nor POST")
    url = form.get("CallbackUrl")
    if url is not None and not is_web_url(url):
        raise invalid("CallbackUrl", url, NO_WEB_URL)
    sim = find_sim(form["Sim"])
    if sim is None:
        raise ApiError(404, SIM_NOT_FOUND, f"Super SIM not found: {form['Sim']}")
    _refuse_unreachable(sim)
    return CommandRequest(sim, form["Payload"], payload_type, data, int(port), url, method, form, vendor)


def list_request(query: dict[str, str], filters: Collection[str], max_page_size: int) -> ListRequest:
    """Validate the query of a list.

    :param filters: names of the filters that this list has.
    :raises ApiError: a parameter is unknown or has a bad value.
    """
    for name in query:
        if name not in _PAGING and name not in filters:
            raise unknown(name)
    size = query.get("PageSize", str(min(50, max_page_size)))
    if not _NUMBER.fullmatch(size) or not 1 <= int(size) <= max_page_size:
        raise invalid("PageSize", size, f"is not an integer from 1 to {max_page_size}")
    page = query.get("Page", "0")
    if not _PAGE.fullmatch(page):
        raise invalid("Page", page, "is not an integer from 0")
    chosen = {name: value for name, value in query.items() if name not in _PAGING}
    return ListRequest(PageRequest(int(page), int(size), query.get("PageToken")), chosen)


def choice(filters: dict[str, str], name: str, values: Collection[str]) -> str | None:
    """Return a filter that must be one of ``values``; None if it is not given."""
    value = filters.get(name)
    if value is not None and value not in values:
        raise invalid(name, value, f"is none of {', '.join(values)}")
    return value


def is_web_url(url: str) -> bool:
    """Whether this is an absolute http or https URL, with everything escaped that a URL cannot hold."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return bool(_URL.fullmatch(url) and parts.scheme in ("http", "https") and parts.hostname) and port != 0


def _names(form: dict[str, str]) -> None:
    for name in form:
        if name not in _KNOWN:
            raise unknown(name)
    for name in _REQUIRED:
        if name not in form:
            raise missing(name)
    if not form["Sim"]:
        raise missing("Sim")


def _payload(payload: str, payload_type: str) -> bytes:
    if payload_type == "text":
        data = payload.encode()
    else:
        try:
            data = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            raise invalid("Payload", payload, "is not base64, which PayloadType binary needs") from None
    if not data:
        raise invalid("Payload", payload, "is empty")
    if len(data) > MAX_PAYLOAD:
        raise invalid("Payload", payload, f"has {len(data)} bytes; at most {MAX_PAYLOAD} can be sent")
    return data


def _refuse_unreachable(sim: Sim) -> None:
    if sim.status not in REACHABLE:
        message = f"IP Commands error: Super SIM {sim.sid} is {sim.status}, it must be active or ready"
    elif sim.fleet is None:
        message = f"IP Commands error: Super SIM {sim.sid} is in no Fleet"
    elif not sim.fleet.data_enabled:
        message = f"IP Commands error: Fleet {sim.fleet.sid} of Super SIM {sim.sid} has data disabled"
    else:
        return
    raise ApiError(400, IP_COMMANDS, message)
