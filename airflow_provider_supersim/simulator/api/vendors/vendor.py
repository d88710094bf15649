"""What a vendor must say about itself: all that differs from one vendor to another is in a subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from airflow_provider_supersim.simulator.api.errors import ApiError, not_found
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import Options

Headers = tuple[tuple[bytes, bytes], ...]
Account = TypeVar("Account", bound=msgspec.Struct)


class Vendor(ABC, Generic[Account]):
    """One vendor's API, as far as it is its own.

    :param options: the simulator's options, this vendor's among them.
    :param clock: decides when a token expires.
    """

    name: ClassVar[str]
    """As in ``--vendor`` and in a connection's extra."""
    title: ClassVar[str]
    """As people write it."""
    account_options: type[Account]
    """This vendor's own options, such as its credentials. The description of each becomes its ``--help``."""
    error_pages: ClassVar[str]
    """How the URL in ``more_info`` begins; the error code follows."""
    max_page_sizes: ClassVar[Mapping[str, int]] = {}
    """Largest ``PageSize`` by the list's path; 1000 for every other list."""
    token_path: ClassVar[str | None] = None
    """Where clients get an access token; None: they sign in without one."""
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    """Form fields of a token request that no one may read afterwards."""
    callback_attempts: ClassVar[int] = 1
    """How often a callback is tried when the URL answers 408, 423 or 5xx."""

    account: Account

    def __init__(self, options: Options, clock: Clock) -> None:
        self.clock = clock
        self.use(options)

    def use(self, options: Options) -> None:
        """Take over options; those of the account may change while the simulator runs."""
        self.options = options
        self.account = msgspec.convert(options, self.account_options, from_attributes=True)

    # --- requests -----------------------------------------------------------------------------------------------

    @abstractmethod
    def claims(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a request is for this vendor. Asked only if the simulator serves several vendors."""

    @abstractmethod
    def authenticate(self, headers: Mapping[bytes, bytes], *, may_write: bool, expired: bool) -> None:
        """Let a request in.

        :param may_write: whether the request changes something.
        :param expired: a fault says that the credentials have expired.
        :raises ApiError: the request stays out.
        """

    def issue_token(self, form: dict[str, str]) -> dict[str, Any]:
        """Answer a POST to :attr:`token_path`.

        :param form: the parameters of the request.
        :raises ApiError: these credentials get no token.
        """
        raise not_found(str(self.token_path))

    def max_page_size(self, path: str) -> int:
        """Return the largest ``PageSize`` that a list takes."""
        return self.max_page_sizes.get(path, 1000)

    # --- replies ------------------------------------------------------------------------------------------------

    def reply_headers(self, in_flight: int) -> Headers:
        """Return this vendor's headers for every reply.

        :param in_flight: number of requests in progress.
        """
        return ()

    def error_body(self, error: ApiError) -> dict[str, Any]:
        """Return the JSON body of a refusal."""
        return error.body or {
            "code": error.code,
            "message": error.message,
            "more_info": f"{self.error_pages}{error.code}",
            "status": error.status,
        }

    # --- callbacks ----------------------------------------------------------------------------------------------

    @abstractmethod
    def callback_headers(self, method: str, url: str, fields: dict[str, str], identity: str) -> dict[str, str]:
        """Return the headers that prove who calls back.

        :param fields: the form of a POST; empty for GET.
        :param identity: the same for each attempt at one callback.
        """

    # --- for people ---------------------------------------------------------------------------------------------

    @abstractmethod
    def credentials(self) -> list[str]:
        """Return one line for each login, to be printed at the start."""

    @abstractmethod
    def connection(self, url: str) -> dict[str, Any]:
        """Return the fields of an Airflow connection to this simulator.

        :param url: the simulator's base URL.
        """
