"""Links that Airflow's UI shows with a task: from there to what it has sent.

Neither vendor documents an address of its console for an IP Command, and none is guessed: the links lead to the API
itself. A browser asks for the credentials of an account at Twilio; what KORE has is shown to clients with a token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

# Airflow 2 asks for a link in its webserver, where nothing but XCom is left of the run.
IP_COMMAND_URL = "ip_command_url"
IP_COMMANDS_URL = "ip_commands_url"


@contextmanager
def link_or_none(context: Context, key: str) -> Iterator[Callable[[str | None], None]]:
    """Yield what pushes a link. If the task fails before, push that there is none.

    Airflow reads the link of every task that ends, and logs an error if it was not pushed.

    :param key: in XCom
    """
    pushed = False

    def push(url: str | None) -> None:
        nonlocal pushed
        pushed = True
        context["ti"].xcom_push(key=key, value=url)

    try:
        yield push
    except Exception:
        if not pushed:
            with suppress(Exception):  # the failure itself matters more
                push("")
        raise


class IpCommandLink(BaseOperatorLink):
    """The IP Command that the task sent: the ``url`` that the API gave it."""

    name = "IP Command (API)"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing where no command was accepted."""
        return _pushed(IP_COMMAND_URL, ti_key)


class IpCommandsLink(BaseOperatorLink):
    """The list of the account's IP Commands, in which are those of the rollout."""

    name = "IP Commands (API)"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing where the rollout has not begun."""
        return _pushed(IP_COMMANDS_URL, ti_key)


def _pushed(key: str, ti_key: TaskInstanceKey) -> str:
    from airflow.providers.common.compat.sdk import XCom

    url = str(XCom.get_value(key=key, ti_key=ti_key) or "")
    return url if url.startswith(("https://", "http://")) else ""  # a reply's word: never a script
