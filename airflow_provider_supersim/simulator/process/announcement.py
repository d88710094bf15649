"""What a simulator says of itself: its first line of output, and connections to it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

ANNOUNCEMENT = "supersim-simulator is listening on "
"""How the first line of output begins; the base URL follows."""

TOKEN_PATH = "/api-services/v1/auth/token"  # noqa: S105 - a path
"""Where KORE gives out tokens."""

Vendor = Literal["twilio", "kore"]


def connection(options: Mapping[str, Any], url: str, vendor: Vendor) -> dict[str, Any]:
    """Return the fields of an Airflow connection to a simulator.

    :param options: those in force, by name.
    :param url: its base URL.
    """
    extra: dict[str, Any] = {"vendor": vendor}
    login, password = options["account_sid"], options["auth_token"]
    if vendor == "kore":
        extra["auth_url"] = f"{url}{TOKEN_PATH}"
        login, password = options["client_id"], options["client_secret"]
    return {"conn_type": "supersim", "host": url, "login": login, "password": password, "extra": extra}
