"""Links that Airflow's UI shows with a task: from there to what it has sent.

Neither vendor documents an address of its console for an IP Command, and none is guessed: the links lead to the API
itself. A browser asks for the credentials of an account at Twilio; what KORE has is shown to clients with a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskInstanceKey

# Airflow 2 asks for a link in its webserver, where nothing but XCom is left of the run.
IP_COMMAND_URL = "ip_command_url"
IP_COMMANDS_URL = "ip_commands_url"


class LinkedOperator(BaseOperator):
    """An operator that knows whether it has pushed its link.

    Airflow 3 asks for the link of every task that ends, and would log an error for one that was not pushed.
    """

    has_link = False

    def push_link(self, context: Context, key: str, url: str | None) -> None:
        """Push where the link leads.

        :param key: in XCom
        """
        context["ti"].xcom_push(key=key, value=url)
        self.has_link = True

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral, before which the link was pushed."""
        self.has_link = True
        return super().resume_execution(next_method, next_kwargs, context)


class IpCommandLink(BaseOperatorLink):
    """The IP Command that the task sent: the ``url`` that the API gave it."""

    name = "IP Command (API)"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing where no command was accepted."""
        return _pushed(operator, IP_COMMAND_URL, ti_key)


class IpCommandsLink(BaseOperatorLink):
    """The list of the account's IP Commands, in which are those of the rollout."""

    name = "IP Commands (API)"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or nothing where the rollout has not begun."""
        return _pushed(operator, IP_COMMANDS_URL, ti_key)


def _pushed(operator: BaseOperator, key: str, ti_key: TaskInstanceKey) -> str:
    if isinstance(operator, LinkedOperator) and not operator.has_link:  # in Airflow 2's webserver it is no such thing
        return ""
    from airflow.providers.common.compat.sdk import XCom

    url = str(XCom.get_value(key=key, ti_key=ti_key) or "")
    return url if url.startswith(("https://", "http://")) else ""  # a reply's word: never a script
