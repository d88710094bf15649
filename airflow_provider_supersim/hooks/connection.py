"""Reads a Super SIM account out of an Airflow connection, checks it, and makes clients for it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import SplitResult, urlsplit

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.api.pace import pace_of
from airflow_provider_supersim.api.proxies import is_loopback
from airflow_provider_supersim.api.vendors import VENDORS, Vendor
from airflow_provider_supersim.hooks.connection_form import EXTRA_FIELDS, FORM_PREFIX
from airflow_provider_supersim.hooks.masking import mask


class BadConnectionError(BadInputError):
    """A field of a connection cannot be right.

    :ivar problem: one sentence that names the field; without the connection, whose id Airflow makes up for its Test
        button
    """

    def __init__(self, conn_id: str, problem: str) -> None:
        super().__init__(conn_id, problem)
        self.conn_id = conn_id
        self.problem = problem

    def __str__(self) -> str:
        """Return the sentence, with the connection."""
        return f"Connection {self.conn_id!r}: {self.problem}"


class ConnectionFields(Protocol):
    """The fields of an Airflow connection that this module reads."""

    conn_id: str
    host: str | None
    login: str | None
    password: str | None
    port: int | None
    schema: str | None


class Limits(NamedTuple):
    """How much of an account to use; empty fields leave what the connection says.

    :ivar max_concurrency: requests at once
    :ivar max_rate: commands a second
    :ivar share: number of tasks that divide both among them
    """

    max_concurrency: int | None = None
    max_rate: float | None = None
    share: int = 1


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One account at one vendor, and how to speak to it.

    :ivar base_url: URL of the API
    :ivar auth_url: URL of the token endpoint; ``None`` if the vendor has none
    :ivar timeout: seconds for a request in all
    :ivar max_concurrency: requests at once, in one process
    :ivar max_rate: commands a second, in one process; ``None`` for no ceiling
    :ivar ca_bundle: path of a CA bundle; ``None`` for the system's
    """

    vendor: Vendor
    login: str
    password: str
    base_url: str
    auth_url: str | None
    timeout: float
    max_concurrency: int
    max_rate: float | None
    ca_bundle: str | None

    def __repr__(self) -> str:
        return f"Account({self.login} at {self.base_url})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("login", self.login), ("base_url", self.base_url)]

    @classmethod
    def read(cls, connection: ConnectionFields, extra: Mapping[str, Any]) -> Account:
        """Check a connection's fields.

        :param extra: the connection's *extra*, decoded
        :raises ValueError: with one sentence that names the connection and the field
        """
        try:
            return cls._read(connection, _filled(extra))
        except BadInputError as error:
            raise BadConnectionError(connection.conn_id, str(error)) from None

    @classmethod
    def _read(cls, connection: ConnectionFields, extra: Mapping[str, Any]) -> Account:
        if unknown := sorted(set(extra) - set(EXTRA_FIELDS)):
            raise BadInputError(f"extra has unknown fields {unknown}; known are {sorted(EXTRA_FIELDS)}")
        host, login = (connection.host or "").strip(), (connection.login or "").strip()
        vendor = _vendor(extra.get("vendor"), host, login)
        if not login or not connection.password:
            raise BadInputError(f"login and password are needed: {vendor.credentials}")
        if "auth_url" in extra and vendor.auth_url is None:
            raise BadInputError(f"extra.auth_url must be empty: {vendor.name} signs in with login and password alone")
        return cls(
            vendor=vendor,
            login=login,
            password=connection.password,
            base_url=_url("host", _with_port(host, connection)) if host else vendor.base_url,
            auth_url=_url("auth_url", str(extra["auth_url"])) if "auth_url" in extra else vendor.auth_url,
            timeout=_number(extra, "timeout", float, 30.0),
            max_concurrency=_number(extra, "max_concurrency", int, vendor.max_concurrency),
            max_rate=_number(extra, "max_rate", float, None),
            ca_bundle=_ca_bundle(extra.get("verify")),
        )

    def within(self, limits: Limits) -> Account:
        """Return the same account with these limits."""
        concurrency = limits.max_concurrency or self.max_concurrency
        rate = limits.max_rate or self.max_rate
        return msgspec.structs.replace(
            self, max_concurrency=max(1, concurrency // limits.share), max_rate=rate / limits.share if rate else None
        )

    def client(
        self,
        kind: type[AsyncSuperSimClient] = AsyncSuperSimClient,
        *,
        keep_trying: float = 120.0,
        wait_if_busy: float = 120.0,
    ) -> AsyncSuperSimClient:
        """Return a new client for the account, not yet open. All of them share one pace in this process.

        :param kind: its class
        :param keep_trying: see :class:`AsyncSuperSimClient`; default 120 seconds
        :param wait_if_busy: see :class:`AsyncSuperSimClient`; default 120 seconds
        """
        account = f"{self.base_url.partition('://')[2]}, account {self.login}"
        auth = self.vendor.auth(self.login, self.password, auth_url=self.auth_url, timeout=self.timeout)
        auth.tell(mask)
        return kind(
            self.vendor,
            auth,
            base_url=self.base_url,
            timeout=self.timeout,
            pace=pace_of(account, self.max_concurrency, self.max_rate),
            ca_bundle=self.ca_bundle,
            keep_trying=keep_trying,
            wait_if_busy=wait_if_busy,
        )


def _filled(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are filled in, by their own names.

    The Test button of Airflow 2 posts each field a second time, as ``extra__supersim__vendor`` beside ``vendor``.
    """
    filled = {key: value for key, value in extra.items() if value not in (None, "")}
    own = {key: value for key, value in filled.items() if not key.startswith(FORM_PREFIX)}
    return {key.removeprefix(FORM_PREFIX): value for key, value in filled.items()} | own


def _vendor(name: object, host: str, login: str) -> Vendor:
    if name is not None:
        if str(name).lower() not in VENDORS:
            raise BadInputError(f"extra.vendor must be one of {sorted(VENDORS)}, got {name!r}")
        return VENDORS[str(name).lower()]
    for vendor in VENDORS.values():
        if vendor.host_part in host.lower():
            return vendor
    for vendor in VENDORS.values():
        if login.startswith(vendor.login_prefixes):
            return vendor
    raise BadInputError(
        f"{' or '.join(vendor.title for vendor in VENDORS.values())}? "
        f"Set extra.vendor to {' or '.join(map(repr, VENDORS))}."
    )


def _with_port(host: str, connection: ConnectionFields) -> str:
    """Join the parts into which Airflow splits the URI form of a connection: ``supersim://…@host:8025/http``."""
    url = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    return f"{url}:{connection.port}" if connection.port and _parts("host", url).port is None else url


def _url(field: str, url: str) -> str:
    parts = _parts(field, url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise BadInputError(f"{field} is plain http://, which would show the credentials to the network; use https://")
    return url.rstrip("/")


def _parts(field: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # also from reading the port
        fits = False
    if not fits or "@" in parts.netloc or parts.query or parts.fragment or any(map(str.isspace, url)):
        # Not quoted, because a secret may be what is wrong with it.
        raise BadInputError(
            f"{field} must be a host name or an http(s) URL, without user, query, fragment or white space"
        )
    return parts


def _number(extra: Mapping[str, Any], field: str, kind: type[int | float], default: Any) -> Any:
    """Read a number. The forms of Airflow before 3.2 save it as text."""
    if field not in extra:
        return default
    try:
        number = kind(str(extra[field]))
    except ValueError:
        number = kind(0)
    if not 0 < number < float("inf"):
        whole = "whole " if kind is int else ""
        raise BadInputError(f"extra.{field} must be a {whole}number above 0, got {extra[field]!r}")
    return number


def _ca_bundle(verify: object) -> str | None:
    if verify is None or verify is True or str(verify).lower() == "true":
        return None
    if verify is False or str(verify).lower() in ("false", "0", "no", "off"):
        raise BadInputError("extra.verify cannot be switched off; give the path of a CA bundle that trusts the host")
    try:
        ssl.create_default_context(cafile=str(verify))
    except OSError as error:  # ssl.SSLError is a subclass
        raise BadInputError(
            f"extra.verify must be the path of a CA bundle; {str(verify)!r} cannot be read as one: {error}"
        ) from None
    return str(verify)
