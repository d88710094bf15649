"""The operator that sends one IP Command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_supersim.exceptions import CommandFailedError, NotSettledError
from airflow_provider_supersim.runs.links import IP_COMMAND_URL, IpCommandLink, link_or_none
from airflow_provider_supersim.words import duration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.api.models import IpCommand
    from airflow_provider_supersim.delivery.once.store import Store
    from airflow_provider_supersim.delivery.waiting.watcher import Waited
    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.arguments import CommandArguments
    from airflow_provider_supersim.runs.failures import SoFar


class SuperSimIpCommandOperator(BaseOperator):
    """Send one IP Command to one SIM, and wait until the API says that it was sent.

    The worker sends and waits. If ``deferrable``, the triggerer takes over after ten seconds. ``sent`` is as far as the
    API knows: it is no proof that the device got the datagram.

    XCom: ``return_value`` is the IP Command as a dict (dates as ISO 8601 strings). ``ip_command_sid`` is its sid and
    ``ip_command_url`` its address in the API, to which the task's link leads. Both are there once it is accepted.

    Source: https://www.twilio.com/docs/iot/supersim/api/ipcommand-resource

    :param sim: sid (``HS…``) or unique name of a SIM that is ready or active (templated)
    :param payload: ``str`` as UTF-8 text, ``bytes`` as binary, ``dict`` or ``list`` as compact JSON text; 1 to 1300
        bytes as the device gets it. Line ends stay as they are. In a ``dict`` or ``list``, a value that is one
        expression keeps its type (templated; a ``.json`` or ``.txt`` file may be named)
    :param device_port: UDP port of the device, 1 to 65535 (templated)
    :param payload_type: ``binary`` for a ``str`` that is base64 already; default: taken from the payload (templated)
    :param callback_url: http(s) URL that the API calls after it has sent the command; default: none (templated)
    :param callback_method: ``GET`` or ``POST``; default: the API's, ``POST`` (templated)
    :param wait_for_completion: wait for the final status (default); with ``False`` the task succeeds as soon as the API
        accepts the command (not templated)
    :param deferrable: wait in the triggerer after the first ten seconds; default: ``[operators] default_deferrable``
        (not templated)
    :param poll_interval: seconds between two looks at the status, or a ``timedelta``; default 5 (not templated)
    :param timeout: seconds to wait for the final status, or a ``timedelta``; default 300 (not templated)
    :param ledger_path: folder in object storage for the ledger; default: Airflow's task state store (3.3+) (templated)
    :param on_clear: after a manual clear, ``restart`` (default) sends again; ``resume`` sends only what was not sent. A
        retry sends again only a command that failed (not templated)
    :param supersim_conn_id: connection of type ``supersim``; default ``supersim_default`` (templated)
    :raises CommandFailedError: the API could not send the command
    :raises NotSettledError: it had no final status within ``timeout``
    :raises SuperSimTaskError: another of its subclasses; those that a retry cannot fix are ``AirflowFailException`` too
    """

    template_fields: Sequence[str] = (
        "sim",
        "payload",
        "device_port",
        "payload_type",
        "callback_url",
        "callback_method",
        "ledger_path",
        "supersim_conn_id",
    )
    template_fields_renderers = {"payload": "json"}
    operator_extra_links = (IpCommandLink(),)
    ui_color = "#d9ecf7"
    ui_fgcolor = "#12303f"

    def __init__(
        self,
        *,
        sim: str,
        payload: str | bytes | dict[str, Any] | list[Any],
        device_port: int | str,
        payload_type: str | None = None,
        callback_url: str | None = None,
        callback_method: str | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5,
        timeout: float | timedelta = 300,
        ledger_path: str | None = None,
        on_clear: str = "restart",
        supersim_conn_id: str = "supersim_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sim = sim
        self.payload = payload
        self.device_port = device_port
        self.payload_type = payload_type
        self.callback_url = callback_url
        self.callback_method = callback_method
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.ledger_path = ledger_path
        self.on_clear = on_clear
        self.supersim_conn_id = supersim_conn_id
        self._hook: SuperSimHook | None = None
        self._doing = "nothing had been sent yet"
        self._accepted = False

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a field; the payload with every line end, and from its file if it names one."""
        if content is self.payload and isinstance(content, str | dict | list) and id(content) not in (seen_oids or ()):
            from airflow_provider_supersim.runs.templates import rendered_payload

            environment = jinja_env or self.get_template_env()
            resolve = partial(super().render_template, context=context, jinja_env=environment, seen_oids=seen_oids)
            return rendered_payload(content, context, environment, resolve)
        return super().render_template(content, context, jinja_env, seen_oids)

    def execute(self, context: Context) -> dict[str, Any]:
        """Send, push the sid, and wait."""
        from airflow_provider_supersim.runs.failures import told

        with told(self.log), link_or_none(context, IP_COMMAND_URL) as push_link:
            return self._execute(context, push_link)

    def _execute(self, context: Context, push_link: Callable[[str | None], None]) -> dict[str, Any]:
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs import sentences
        from airflow_provider_supersim.runs.stores import store_for
        from airflow_provider_supersim.runs.waiting import wait_here_then_defer, wait_in_worker

        self._hook = hook = SuperSimHook(self.supersim_conn_id)
        with self._failures(lambda: self._doing), closing(hook):
            arguments = self._arguments()
            store = store_for(context, arguments.ledger_path, self.log)
            self._doing = f"sending to {self.sim}. The next try looks up whether the API has accepted the command"
            command = hook.run(self._send_once, arguments, store, context)
            self._doing = (
                f"waiting for {self.sim}: command {sentences.describe(command)}. It can still go out and cannot be "
                "cancelled. The next try keeps waiting and sends nothing"
            )
            self._accepted = True
            context["ti"].xcom_push(key="ip_command_sid", value=command.sid)
            push_link(command.url)
            if not self.wait_for_completion:
                return command.to_dict()
            sids = [str(command.sid)]
            if self.deferrable:
                waited = wait_here_then_defer(
                    self,
                    hook,
                    sids,
                    why=f"the final status of the command to {self.sim}, at most {duration(arguments.timeout)}",
                    supersim_conn_id=self.supersim_conn_id,
                    poll_interval=arguments.poll_interval,
                    timeout=arguments.timeout,
                )
                return self._conclude(waited)
            return self._conclude(
                wait_in_worker(hook, sids, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
            )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.watcher.Waited` as a dict
        """
        from airflow_provider_supersim.runs.failures import told
        from airflow_provider_supersim.runs.waiting import read_event

        self._accepted = True
        with told(self.log), self._failures(lambda: "reading the final status"):
            return self._conclude(read_event(event))

    def _failures(self, doing: Callable[[], str]) -> AbstractContextManager[None]:
        from airflow_provider_supersim.runs.failures import airflow_failures

        return airflow_failures(doing, self.supersim_conn_id, whom=f"sim {self.sim!r}", so_far=self._so_far)

    def _so_far(self) -> SoFar:
        from airflow_provider_supersim.runs.failures import SoFar

        if not self._accepted:
            return SoFar(f"no command to {self.sim} was accepted, as far as is known", clear="clear this task to send")
        clear = (
            "look the command up before you clear this task, because a clear sends again"
            if self.on_clear == "restart"
            else "clear this task: it sends nothing again"
        )
        return SoFar(f"the command to {self.sim} was accepted", clear=clear)

    def _arguments(self) -> CommandArguments:
        from airflow_provider_supersim.api.models import IpCommandRequest
        from airflow_provider_supersim.runs.arguments import CommandArguments

        request = IpCommandRequest.build(
            self.sim,
            self.payload,
            self.device_port,
            payload_type=self.payload_type,
            callback_url=self.callback_url,
            callback_method=self.callback_method,
        )
        return CommandArguments.check(
            request,
            wait_for_completion=self.wait_for_completion,
            deferrable=self.deferrable,
            timeout=self.timeout,
            poll_interval=self.poll_interval,
            ledger_path=self.ledger_path,
            on_clear=self.on_clear,
        )

    async def _send_once(
        self, client: AsyncSuperSimClient, arguments: CommandArguments, store: Store, context: Context
    ) -> IpCommand:
        """Send the command, unless an earlier try has sent it."""
        from airflow_provider_supersim.delivery.once.one_command import send_once
        from airflow_provider_supersim.runs.sentences import describe
        from airflow_provider_supersim.runs.stores import open_ledger

        ledger = await open_ledger(store, context, arguments.on_clear)
        command, new = await send_once(client, ledger, arguments.request)
        what = "accepted by the API" if new else "sent by an earlier try, so not again"
        self.log.info("%s: %s, %s", self.sim, what, describe(command))
        return command

    def on_kill(self) -> None:
        """Stop sending and waiting at once; :meth:`execute` then says how far it was."""
        if self._hook is not None:
            self._hook.cancel()

    def _conclude(self, waited: Waited) -> dict[str, Any]:
        from airflow_provider_supersim.runs import sentences
        from airflow_provider_supersim.runs.arguments import seconds

        if failed := sentences.failed_commands(waited):
            raise CommandFailedError(sentences.command_failed(failed[0], self.sim))
        waited.check_readable()
        if not waited.settled:
            timeout = seconds("timeout", self.timeout, least=0)
            raise NotSettledError(sentences.command_not_settled(waited, self.sim, timeout, self.on_clear))
        (command,) = waited.commands
        self.log.info("%s: %s", self.sim, sentences.describe(command))
        return command.to_dict()
