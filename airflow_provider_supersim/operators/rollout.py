"""The operator that rolls a configuration out to a fleet."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, conf

from airflow_provider_supersim.runs.links import IP_COMMANDS_URL, IpCommandsLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.rollout import RolloutRun


_UNTIL_KILLED = "rolling out; what was sent is in the ledger, and the next try, or a clear, goes on from there"


class DeviceTemplate:
    """A payload that Airflow leaves alone: it is rendered for each device, when the task runs."""

    template_fields: Sequence[str] = ()

    def __init__(self, content: Any) -> None:
        self.content = content

    def __str__(self) -> str:
        """Return what the UI shows as the rendered template: a tree as JSON."""
        return json.dumps(self.content, default=str) if isinstance(self.content, dict | list) else str(self.content)


class SuperSimRolloutOperator(BaseOperator):
    """Send one configuration, or one per device, to a fleet of 1 to 1,000,000 SIMs, in waves, each device once.

    Whatever dies, the next try goes on where the last one was: what was sent is not sent again. Between polls the task
    is deferred. A device counts as failed when its last command failed or was refused, and for the gate also when it
    had no final status within ``wave_timeout``. ``sent`` is as far as the API knows: no proof that a device got it.

    XCom: ``return_value`` is the summary: ``devices``, ``sent``, ``failed``, ``unsettled``, ``not_sent``, ``waves`` (a
    list with the same counts), ``duration`` in seconds, ``commands``, ``commands_per_second``, ``halted``.
    ``ip_commands_url`` is the API's list of the account's IP Commands, to which the task's link leads.

    Source: the vendor's pages of the *IpCommands*, *Sims* and *Fleets* resources.

    :param fleet: sid (``HF…``) or unique name of a Fleet: all its active and ready SIMs (templated)
    :param targets: instead of a fleet: a list of SIMs (sid or unique name), or of dicts with ``sim`` and, as they like,
        ``payload``, ``payload_type``, ``device_port``, ``timezone`` and further columns for the template (templated)
    :param targets_path: instead of both: a ``.csv`` or ``.jsonl`` file in object storage with such rows (templated)
    :param shard: ``(i, n)``: this task takes the i-th of n stable parts of the targets, and the n-th part of the pace
    :param payload: what is sent to a device whose row has no payload of its own: ``str``, ``bytes``, ``dict`` or
        ``list``. Strings are Jinja templates, rendered for each device in a sandbox, which know ``device`` (the row,
        e.g. ``{{ device.unique_name }}``) and Airflow's context; a ``.json`` or ``.txt`` file may be named
    :param device_port: the devices' UDP port, 1 to 65535 (templated)
    :param payload_type: ``binary`` for a ``str`` that is base64 already (templated)
    :param waves: how far each wave reaches, as a number of devices or a share of all, e.g. ``[5, "10%", "100%"]``; it,
        the numbers below and the window are templated, so that they may come from the DAG's params
    :param max_failure_ratio: the rollout halts after a wave where more than this share of its devices, or of all so
        far, has failed
    :param min_sample: but not on fewer devices than this
    :param attempts: most commands to one device whose command fails
    :param attempt_delay: seconds between two attempts
    :param wave_timeout: seconds to wait for the final statuses of a wave
    :param window: no command leaves outside it, e.g. ``{"start": "01:00", "end": "05:00", "timezone":
        "Europe/Berlin"}``; without ``timezone``, each row has its own. The task waits for it to open; where it closes
        before all was sent, the task fails, and the next try goes on when it opens again
    :param max_concurrency: requests at once, instead of the connection's
    :param max_rate: commands a second, instead of the connection's
    :param ledger_path: keep the ledger in object storage instead of Airflow's task state store (3.3+) (templated)
    :param on_clear: after a clear by hand, ``resume`` sends to those that were not reached; ``restart`` to all
    :param report_path: write one row per device to this ``.csv``, ``.jsonl`` or ``.parquet`` file (templated): ``sim``,
        ``sim_sid``, ``sid`` (of the IP Command), ``attempt``, ``status``, ``sent_at``, ``settled_at``, ``error``
    :param deferrable: whether to wait in the triggerer; default: ``[operators] default_deferrable``
    :param poll_interval: seconds between two looks at the statuses
    :param supersim_conn_id: connection of type ``supersim`` (templated)
    :raises AirflowFailException: a gate shut, or for what no retry can mend: bad targets, refused credentials
    :raises AirflowException: the window closed first, or the API could not be reached: the next try goes on
    """

    template_fields: Sequence[str] = (
        "fleet",
        "targets",
        "targets_path",
        "payload",
        "device_port",
        "payload_type",
        "waves",
        "max_failure_ratio",
        "min_sample",
        "attempts",
        "attempt_delay",
        "wave_timeout",
        "window",
        "ledger_path",
        "report_path",
        "supersim_conn_id",
    )
    template_ext: Sequence[str] = (".json", ".txt")
    template_fields_renderers = {"payload": "json", "targets": "json", "waves": "json", "window": "json"}
    operator_extra_links = (IpCommandsLink(),)
    ui_color = "#b9dcec"
    ui_fgcolor = "#12303f"

    def __init__(
        self,
        *,
        payload: str | bytes | dict[str, Any] | list[Any],
        device_port: int | str,
        fleet: str | None = None,
        targets: Sequence[str | Mapping[str, Any]] | None = None,
        targets_path: str | None = None,
        shard: Sequence[int] | None = None,
        payload_type: str | None = None,
        waves: Sequence[int | str] = ("100%",),
        max_failure_ratio: float | str = 0.1,
        min_sample: int | str = 20,
        attempts: int | str = 1,
        attempt_delay: float | str = 300,
        wave_timeout: float | str = 900,
        window: Mapping[str, str] | None = None,
        max_concurrency: int | None = None,
        max_rate: float | None = None,
        ledger_path: str | None = None,
        on_clear: str = "resume",
        report_path: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 5,
        supersim_conn_id: str = "supersim_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # What comes from another task's XCom is resolved by Airflow; what is written in the DAG is rendered per device.
        self.payload: Any = DeviceTemplate(payload) if isinstance(payload, str | bytes | dict | list) else payload
        self.device_port = device_port
        self.fleet = fleet
        self.targets = targets
        self.targets_path = targets_path
        self.shard = shard
        self.payload_type = payload_type
        self.waves = waves
        self.max_failure_ratio = max_failure_ratio
        self.min_sample = min_sample
        self.attempts = attempts
        self.attempt_delay = attempt_delay
        self.wave_timeout = wave_timeout
        self.window = window
        self.max_concurrency = max_concurrency
        self.max_rate = max_rate
        self.ledger_path = ledger_path
        self.on_clear = on_clear
        self.report_path = report_path
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.supersim_conn_id = supersim_conn_id
        self._hook: SuperSimHook | None = None
        self._run: RolloutRun | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin a try: send, or go on with what the last one has left."""
        return self._go_on(context, fresh=True)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.watcher.Waited` as a dict
        """
        from airflow_provider_supersim.runs.waiting import check_readable, read_event

        check_readable(read_event(event))
        return self._go_on(context, fresh=False)

    def on_kill(self) -> None:
        """Stop sending at once. What was sent is in the ledger."""
        if self._hook is not None:
            self._hook.cancel()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage of ``targets_path`` as input and of ``report_path`` as output."""
        from airflow_provider_supersim.runs import lineage

        return lineage.files(read=self.targets_path, written=self.report_path)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell it of the report only where this try has written it, as it does where a gate shut."""
        from airflow_provider_supersim.runs import lineage

        written = self.report_path if self._run is not None and self._run.report_written else None
        return lineage.files(read=self.targets_path, written=written)

    def payload_template(self) -> Any:
        """Return the payload as it is to be rendered for each device, out of its file where one is named."""
        if not isinstance(self.payload, DeviceTemplate):
            return self.payload  # from another task's XCom: data, even where it looks like the name of a file
        content = self.payload.content
        environment = self.get_template_env()
        if isinstance(content, str) and content.endswith(tuple(self.template_ext)) and environment.loader:
            return environment.loader.get_source(environment, content)[0]
        return content

    def _go_on(self, context: Context, *, fresh: bool) -> dict[str, Any]:
        from airflow_provider_supersim.api.requests import IP_COMMANDS
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.rollout import RolloutRun
        from airflow_provider_supersim.runs.waiting import airflow_failures, wait_in_triggerer

        self._hook = hook = SuperSimHook(self.supersim_conn_id)
        with airflow_failures(lambda: _UNTIL_KILLED), closing(hook):
            self._run = run = RolloutRun(self, hook, context)
            if fresh:
                context["ti"].xcom_push(key=IP_COMMANDS_URL, value=f"{hook.account.base_url}{IP_COMMANDS}")
            wait = run.go_on(fresh=fresh, may_defer=self.deferrable)
            if wait is not None:
                wait_in_triggerer(
                    self,
                    wait.sids,
                    supersim_conn_id=self.supersim_conn_id,
                    poll_interval=self.poll_interval,
                    timeout=max(0.0, wait.until - time.time()),
                    with_commands=False,
                )
            return run.conclude()
