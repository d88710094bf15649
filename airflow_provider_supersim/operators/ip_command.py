"""The operator that sends one IP Command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_supersim.exceptions import CommandFailedError, NotSettledError
from airflow_provider_supersim.runs.links import IP_COMMAND_URL, IpCommandLink, LinkedOperator
from airflow_provider_supersim.words import duration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.api.models import IpCommand
    from airflow_provider_supersim.delivery.once.store import Store
    from airflow_provider_supersim.delivery.waiting.waited import Waited
    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.arguments import CommandArguments
    from airflow_provider_supersim.runs.so_far import SoFar


class SuperSimIpCommandOperator(LinkedOperator):
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
        self._leaving = False
        self._resumed = False
        self._accepted: IpCommand | None = None

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a field; the payload with every line end, and from its file if it names one.

        The password of a callback URL is masked.
        """
        if content is self.payload and isinstance(content, str | dict | list) and id(content) not in (seen_oids or ()):
            from airflow_provider_supersim.runs.templates import rendered_payload

            environment = jinja_env or self.get_template_env()
            resolve = partial(super().render_template, context=context, jinja_env=environment, seen_oids=seen_oids)
            return rendered_payload(content, context, environment, resolve)
        from airflow_provider_supersim.runs.templates import rendered_field

        render = super().render_template
        rendered = rendered_field(
            self,
            content,
            jinja_env or self.get_template_env(),
            lambda environment: render(content, context, environment, seen_oids),
        )
        if content is not None and content is self.callback_url:
            from airflow_provider_supersim.hooks.masking import mask_password

            mask_password(rendered)  # before Airflow stores the rendered fields
        return rendered

    def execute(self, context: Context) -> dict[str, Any]:
        """Send, push the sid, and wait."""
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.stores import store_for
        from airflow_provider_supersim.runs.waiting import wait_here_then_defer, wait_in_worker

        self._hook = hook = SuperSimHook(self.supersim_conn_id)
        with self._failures(context), closing(hook):
            arguments = self._arguments()
            store = store_for(context, arguments.ledger_path, self.log)
            self._leaving = True
            self._accepted = command = hook.run(self._send_once, arguments, store, context)
            context["ti"].xcom_push(key="ip_command_sid", value=command.sid)
            self.push_link(context, IP_COMMAND_URL, command.url)
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
                return self._conclude(waited, context)
            waited = wait_in_worker(hook, sids, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
            return self._conclude(waited, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.waited.Waited` as a dict
        """
        from airflow_provider_supersim.delivery.waiting.waited import Waited

        self._resumed = True
        with self._failures(context):
            return self._conclude(Waited.from_event(event), context)

    @contextmanager
    def _failures(self, context: Context) -> Iterator[None]:
        from airflow_provider_supersim.runs.failures import airflow_failures, told

        so_far = partial(self._so_far, context)
        with told(self.log), airflow_failures(self.supersim_conn_id, whom=f"sim {self.sim!r}", so_far=so_far):
            yield

    def _so_far(self, context: Context) -> SoFar:
        from airflow_provider_supersim.runs import sentences
        from airflow_provider_supersim.runs.so_far import Stage, of_command
        from airflow_provider_supersim.runs.stores import has_ledger

        accepted = self._accepted
        if accepted or self._resumed:
            stage = Stage.ACCEPTED
        elif self._leaving:
            stage = Stage.SENDING
        else:
            stage = Stage.NOTHING
        return of_command(
            self.sim,
            stage,
            on_clear=self.on_clear,
            ledger=has_ledger(context, self.ledger_path),
            status=accepted.status.value if accepted else "accepted",
            lines=[sentences.name(accepted)] if accepted else [],
        )

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

    def _conclude(self, waited: Waited, context: Context) -> dict[str, Any]:
        from airflow_provider_supersim.runs import sentences
        from airflow_provider_supersim.runs.arguments import seconds

        so_far = self._so_far(context)
        if failed := sentences.failed_commands(waited):
            raise CommandFailedError(sentences.command_failed(failed[0], self.sim, ledger=so_far.retry is not None))
        waited.check_readable()
        if not waited.settled:
            timeout = seconds("timeout", self.timeout, least=0)
            raise NotSettledError(sentences.command_not_settled(waited, timeout, so_far))
        (command,) = waited.commands
        self.log.info("%s: %s", self.sim, sentences.describe(command))
        return command.to_dict()
