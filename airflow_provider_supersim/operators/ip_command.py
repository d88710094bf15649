"""The operator that sends one IP Command."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, conf

from airflow_provider_supersim.runs.links import IP_COMMAND_URL, IpCommandLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.api.models import IpCommand
    from airflow_provider_supersim.delivery.waiting.watcher import Waited
    from airflow_provider_supersim.hooks.supersim import SuperSimHook


class SuperSimIpCommandOperator(BaseOperator):
    """Send one IP Command to one SIM, and wait until the API says that it was sent.

    The worker sends; waiting is done by the triggerer (``deferrable``) or in the worker. ``sent`` is as far as the
    API knows: it is no proof that the device got the datagram.

    XCom: ``return_value`` is the IP Command as a dict (dates as ISO 8601 strings). ``ip_command_sid`` is its sid and
    ``ip_command_url`` its address in the API, to which the task's link leads; both are there once it is accepted.

    Source: the vendor's page of the *IpCommands* resource, ``POST /v1/IpCommands``.

    :param sim: sid (``HS…``) or unique name of a SIM that is ready or active (templated)
    :param payload: ``str`` as UTF-8 text, ``bytes`` as binary, ``dict`` or ``list`` as compact JSON text; 1 to 1300
        bytes as the device gets it (templated; a ``.json`` or ``.txt`` file may be named)
    :param device_port: the device's UDP port, 1 to 65535 (templated)
    :param payload_type: ``binary`` for a ``str`` that is base64 already; else taken from the payload (templated)
    :param callback_url: http(s) URL that the API calls after it has sent the command (templated)
    :param callback_method: ``GET`` or ``POST``, the API's default (templated)
    :param wait_for_completion: whether to wait for the final status; else the task ends when the API has accepted
    :param deferrable: whether to wait in the triggerer; default: ``[operators] default_deferrable``
    :param poll_interval: seconds between two looks at the status
    :param timeout: seconds to wait for the final status
    :param ledger_path: remember in object storage what was sent, instead of in Airflow's task state store (3.3+)
        (templated)
    :param on_clear: after a clear by hand, ``restart`` sends again; ``resume`` only what was not sent. A retry never
        sends again what was sent, unless it failed
    :param supersim_conn_id: connection of type ``supersim`` (templated)
    :raises AirflowFailException: for what no retry can mend: bad input, and 400, 401, 403 and 404 from the API
    :raises AirflowException: the command failed, was not settled in time, or the API could not be reached
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
    template_ext: Sequence[str] = (".json", ".txt")
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
        poll_interval: float = 5,
        timeout: float = 300,
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

    def execute(self, context: Context) -> dict[str, Any]:
        """Send, push the sid, and wait."""
        from airflow_provider_supersim.delivery.waiting.sentences import describe
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.waiting import (
            airflow_failures,
            check_on_clear,
            wait_in_triggerer,
            wait_in_worker,
        )

        self._hook = hook = SuperSimHook(self.supersim_conn_id)
        with airflow_failures(lambda: self._doing), closing(hook):
            check_on_clear(self.on_clear)
            self._doing = f"sending to SIM {self.sim}; the next try looks up whether the API has accepted it"
            command = hook.run(self._send_once, context)
            self._doing = f"waiting for {describe(command)}; it may still be sent, and the API cannot take it back"
            context["ti"].xcom_push(key="ip_command_sid", value=command.sid)
            context["ti"].xcom_push(key=IP_COMMAND_URL, value=command.url)
            if not self.wait_for_completion:
                return command.to_dict()
            if self.deferrable:
                wait_in_triggerer(
                    self,
                    [str(command.sid)],
                    supersim_conn_id=self.supersim_conn_id,
                    poll_interval=self.poll_interval,
                    timeout=self.timeout,
                )
            return self._conclude(
                wait_in_worker(hook, [str(command.sid)], poll_interval=self.poll_interval, timeout=self.timeout)
            )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.watcher.Waited` as a dict
        """
        from airflow_provider_supersim.runs.waiting import read_event

        return self._conclude(read_event(event))

    async def _send_once(self, client: AsyncSuperSimClient, context: Context) -> IpCommand:
        """Send the command, unless an earlier try has sent it."""
        from airflow_provider_supersim.api.models import IpCommandRequest
        from airflow_provider_supersim.delivery.once.one_command import send_once
        from airflow_provider_supersim.delivery.waiting.sentences import describe
        from airflow_provider_supersim.runs.stores import open_ledger, store_for

        request = IpCommandRequest.build(
            self.sim,
            self.payload,
            self.device_port,
            payload_type=self.payload_type,
            callback_url=self.callback_url,
            callback_method=self.callback_method,
        )
        ledger = await open_ledger(store_for(context, self.ledger_path, self.log), context, self.on_clear)
        command, anew = await send_once(client, ledger, request)
        self.log.info("%s: %s", "Accepted" if anew else "Sent by an earlier try, so not again", describe(command))
        return command

    def on_kill(self) -> None:
        """Stop sending and waiting at once; :meth:`execute` then says how far it was."""
        if self._hook is not None:
            self._hook.cancel()

    def _conclude(self, waited: Waited) -> dict[str, Any]:
        from airflow_provider_supersim.delivery.waiting.sentences import describe, failed_commands, failed_sentence
        from airflow_provider_supersim.runs.waiting import check_settled

        if failed := failed_commands(waited):
            raise AirflowException(failed_sentence(failed))
        check_settled(waited, self.timeout)
        (command,) = waited.commands
        self.log.info("Settled: %s", describe(command))
        return command.to_dict()
