"""The vendors of the Super SIM API: one object holds everything in which a vendor differs from the others.

A new vendor is a subclass of :class:`Vendor` and an entry in :data:`VENDORS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from airflow_provider_supersim.api.auth import Auth, BasicAuth, ClientCredentialsAuth
from airflow_provider_supersim.api.judging import error_field
from airflow_provider_supersim.api.reply import Reply
from airflow_provider_supersim.api.requests import FLEETS, IP_COMMANDS, SIMS


class Vendor(ABC):
    """One vendor of the API.

    :cvar name: what a connection's ``extra.vendor`` says, in small letters
    :cvar title: how people write the name
    :cvar base_url: where the vendor serves the API
    :cvar auth_url: where the vendor gives out access tokens; ``None`` if requests carry the credentials themselves
    :cvar credentials: what the login and the password of a connection are, for an error that asks for them
    :cvar host_part: a host that contains this text belongs to the vendor
    :cvar login_prefixes: a login that begins with one of these belongs to the vendor
    :cvar max_concurrency: requests at once with which a client starts; it adapts when the API answers 429
    :cvar page_sizes: largest ``PageSize`` that the vendor documents, by list
    """

    name: ClassVar[str]
    title: ClassVar[str]
    base_url: ClassVar[str]
    auth_url: ClassVar[str | None] = None
    credentials: ClassVar[str]
    host_part: ClassVar[str]
    login_prefixes: ClassVar[tuple[str, ...]] = ()
    max_concurrency: ClassVar[int] = 100
    page_sizes: ClassVar[Mapping[str, int]]

    @property
    def smallest_page_size(self) -> int:
        """The ``PageSize`` that the API takes for every list; asked for if it refuses the documented one."""
        return min(self.page_sizes.values())

    @abstractmethod
    def auth(self, login: str, password: str, *, auth_url: str | None, timeout: float) -> Auth:
        """Return how an account of this vendor signs in.

        :param auth_url: replaces :attr:`auth_url`
        :param timeout: seconds for a token request in all
        """

    def says_token_expired(self, reply: Reply) -> bool:
        """Tell whether the API refuses the token rather than the request, so that a new token may help."""
        return False

    def under_way(self, reply: Reply) -> int | None:
        """Return how many requests of the account the API serves, all clients together; ``None``: it does not say."""
        return None


class Twilio(Vendor):
    """Twilio, which launched Super SIM.

    Sources: https://www.twilio.com/docs/iot/supersim/api and https://www.twilio.com/docs/usage/requests-to-twilio.
    """

    name = "twilio"
    title = "Twilio"
    base_url = "https://supersim.twilio.com"
    credentials = "Account SID and Auth Token, or API Key SID and secret"
    host_part = "twilio"
    login_prefixes = ("AC", "SK")
    page_sizes: ClassVar = {IP_COMMANDS: 1000, SIMS: 1000, FLEETS: 1000}

    @override
    def auth(self, login: str, password: str, *, auth_url: str | None, timeout: float) -> Auth:
        return BasicAuth(login, password)

    @override
    def under_way(self, reply: Reply) -> int | None:
        number = reply.headers.get("Twilio-Concurrent-Requests", "")
        return int(number) if number.isdecimal() and len(number) < 10 else None


class Kore(Vendor):
    """KORE, which took Super SIM over from Twilio.

    It publishes no limit on concurrent requests, so a client starts with Twilio's.

    Source: https://github.com/korewireless/kore-openapi, the document ``kore-supersim-v1``.
    """

    name = "kore"
    title = "KORE"
    base_url = "https://supersim.api.korewireless.com"
    auth_url = "https://api.korewireless.com/api-services/v1/auth/token"
    credentials = "client id and client secret"
    host_part = "kore"
    page_sizes: ClassVar = {IP_COMMANDS: 100, SIMS: 1000, FLEETS: 1000}

    @override
    def auth(self, login: str, password: str, *, auth_url: str | None, timeout: float) -> Auth:
        return ClientCredentialsAuth(auth_url or self.auth_url, login, password, timeout=timeout)

    @override
    def says_token_expired(self, reply: Reply) -> bool:
        return reply.status_code == 401 or (reply.status_code == 403 and "token" in error_field(reply, "error").lower())


#: Every vendor, by its name.
VENDORS: dict[str, Vendor] = {vendor.name: vendor for vendor in (Twilio(), Kore())}
