"""The operator that rolls a configuration out to a fleet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XComArg, conf

from airflow_provider_supersim.operators.device_template import DeviceTemplate
from airflow_provider_supersim.runs.links import IP_COMMANDS_URL, IpCommandsLink, LinkedOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.arguments import RolloutArguments
    from airflow_provider_supersim.runs.rollout import RolloutRun


class SuperSimRolloutOperator(LinkedOperator):
    """Send one configuration, or one per device, to a fleet of 1 to 1,000,000 SIMs, in waves, each device once.

    If anything dies, the next try continues where the last one was. A command that was sent is not sent again. A device
    counts as failed if its last command failed or was refused. The gate also counts a device without a final status
    within ``wave_timeout``. ``sent`` is as far as the API knows: it is no proof that a device got the command.

    XCom: ``return_value`` is the summary: ``devices``, ``sent``, ``failed``, ``unsettled``, ``not_sent``, ``waves`` (a
    list with the same counts), ``duration`` in seconds, ``commands``, ``commands_per_second``, ``halted``. A try that
    fails pushes it too, for tasks with another ``trigger_rule``. ``ip_commands_url`` is the API's list of the account's
    IP Commands, to which the task's link leads.

    Source: https://www.twilio.com/docs/iot/supersim/api/ipcommand-resource

    :param fleet: sid (``HF…``) or unique name of a Fleet: the rollout takes all its active and ready SIMs. Exactly one
        of ``fleet``, ``targets`` and ``targets_path`` is needed (templated)
    :param targets: list of SIMs (sid or unique name), or of rows. A row is a dict with ``sim`` and, if wanted,
        ``payload``, ``payload_type``, ``device_port`` and ``timezone``; further columns are for the template
        (templated, except a row's own ``payload``, which is data)
    :param targets_path: ``.csv`` or ``.jsonl`` file in object storage with such rows (templated)
    :param shard: ``(i, n)``: this task takes part i, from 0, of n stable parts of the targets, and 1/n of the pace;
        default: all targets (not templated)
    :param payload: what is sent to a device whose row has no payload: ``str``, ``bytes``, ``dict`` or ``list``; 1 to
        1300 bytes as the device gets it. Strings are Jinja templates, rendered for each device in a sandbox, which know
        ``device`` (the row, e.g. ``{{ device.unique_name }}``), Airflow's context, and the DAG's filters, macros and
        files. In a ``dict`` or ``list``, a value that is one expression keeps its type. A ``.json`` or ``.txt`` file
        may be named
    :param device_port: UDP port of the devices, 1 to 65535 (templated)
    :param payload_type: ``binary`` for a ``str`` that is base64 already; default: taken from the payload (templated)
    :param waves: how far each wave reaches, as a number of devices or a share of all, e.g. ``[5, "10%", "100%"]``;
        default: one wave with all devices (templated)
    :param max_failure_ratio: greatest share of failed devices, 0 to 1, in a wave and in all waves so far, with which
        the next wave leaves; default 0.1 (templated)
    :param min_sample: smallest number of finished devices on which a gate may halt the rollout before the wave's end.
        A wave with fewer devices is judged as a whole; default 20 (templated)
    :param attempts: maximum number of commands to one device, the first included; default 1, no second attempt
        (templated)
    :param attempt_delay: seconds between two attempts, or a ``timedelta``; default 300 (templated)
    :param wave_timeout: seconds to wait for the final statuses of a wave, or a ``timedelta``; default 900 (templated)
    :param window: hours in which commands may leave, e.g. ``{"start": "01:00", "end": "05:00", "timezone":
        "Europe/Berlin"}``; without ``timezone``, each row has its own. The task waits for the window to open. If it
        closes first, the task fails, and the next try continues when it opens again. Default: at any time (templated)
    :param on_empty: end of a rollout whose Fleet, list or file has no target: ``fail`` (default), ``skip`` (the task is
        skipped) or ``succeed`` (not templated)
    :param max_concurrency: maximum number of requests at once, 1 or more; default: the connection's (templated)
    :param max_rate: maximum number of commands a second, above 0; default: the connection's (templated)
    :param ledger_path: folder in object storage for the ledger; default: Airflow's task state store (3.3+) (templated)
    :param on_clear: after a manual clear, ``resume`` (default) sends to the devices that are not yet ``sent``;
        ``restart`` sends to all (not templated)
    :param report_path: ``.csv``, ``.jsonl`` or ``.parquet`` file for a row per device: ``sim``, ``sim_sid``, ``sid``
        (of the IP Command), ``attempt``, ``status``, ``sent_at``, ``settled_at``, ``error``; default: no report
        (templated)
    :param deferrable: wait in the triggerer after the first ten seconds of each wait; default: ``[operators]
        default_deferrable`` (not templated)
    :param poll_interval: seconds between two looks at the statuses, or a ``timedelta``; default 5 (not templated)
    :param supersim_conn_id: connection of type ``supersim``; default ``supersim_default`` (templated)
    :raises NoTargetsError: there is no target, and ``on_empty`` is ``fail``; Airflow does not retry
    :raises RolloutHaltedError: a gate shut; Airflow does not retry
    :raises RolloutIncompleteError: sending was held back before every device had its turn
    :raises WindowClosedError: the window closed before every device had its turn
    :raises SuperSimTaskError: another of its subclasses; those that a retry cannot fix are ``AirflowFailException`` too
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
        "max_concurrency",
        "max_rate",
        "ledger_path",
        "report_path",
        "supersim_conn_id",
    )
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
        attempt_delay: float | str | timedelta = 300,
        wave_timeout: float | str | timedelta = 900,
        window: Mapping[str, str] | None = None,
        on_empty: str = "fail",
        max_concurrency: int | str | None = None,
        max_rate: float | str | None = None,
        ledger_path: str | None = None,
        on_clear: str = "resume",
        report_path: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float | timedelta = 5,
        supersim_conn_id: str = "supersim_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # What comes from another task's XCom is resolved by Airflow; what is written in the DAG is rendered per device.
        self.payload: Any = DeviceTemplate(payload) if isinstance(payload, str | bytes | dict | list) else payload
        if isinstance(payload, dict | list) and self.has_dag():  # type: ignore[no-untyped-call]  # Airflow's own
            # Airflow itself looks for the tasks that push something only in what it knows, such as a dict.
            XComArg.apply_upstream_relationship(self, payload)
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
        self.on_empty = on_empty
        self.max_concurrency = max_concurrency
        self.max_rate = max_rate
        self.ledger_path = ledger_path
        self.on_clear = on_clear
        self.report_path = report_path
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.supersim_conn_id = supersim_conn_id
        sources = {"fleet": fleet, "targets": targets, "targets_path": targets_path}
        self._sources = [name for name, value in sources.items() if value is not None]
        self._hook: SuperSimHook | None = None
        self._run: RolloutRun | None = None

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a field; ``targets`` with every line end, and without the rows' own payloads, which are data.

        Of the payload, only what other tasks pushed is resolved here.
        """
        from airflow_provider_supersim.runs.templates import rendered_field, rendered_rows, with_pushed

        environment, render_as_airflow = jinja_env or self.get_template_env(), super().render_template

        def render(value: Any, environment: Any) -> Any:
            return render_as_airflow(value, context, environment, seen_oids)

        if isinstance(content, DeviceTemplate):
            return DeviceTemplate(with_pushed(content.content, lambda value: render(value, environment)))
        if content is self.targets and isinstance(content, list | tuple) and id(content) not in (seen_oids or ()):
            return rendered_rows(content, environment, render)
        return rendered_field(self, content, environment, lambda strict: render(content, strict))

    def execute(self, context: Context) -> dict[str, Any]:
        """Begin a try: send, or continue with what the last one left."""
        return self._advance(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Continue after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.waited.Waited` as a dict
        """
        return self._advance(context, event)

    def on_kill(self) -> None:
        """Stop sending at once. The ledger has what was sent."""
        if self._hook is not None:
            self._hook.cancel()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage of ``targets_path`` as input and of ``report_path`` as output."""
        from airflow_provider_supersim.runs import lineage

        return lineage.files(read=self.targets_path, written=self.report_path)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Tell OpenLineage of the report only if this try has written it, as it does when a gate shuts."""
        from airflow_provider_supersim.runs import lineage

        written = self.report_path if self._run is not None and self._run.report_written else None
        return lineage.files(read=self.targets_path, written=written)

    def _arguments(self) -> RolloutArguments:
        from airflow_provider_supersim.runs.arguments import RolloutArguments

        payload, environment = self.payload, self.get_template_env()
        if isinstance(payload, DeviceTemplate):  # otherwise from another task's XCom: data, even if it names a file
            payload = payload.read(environment)
        return RolloutArguments.check(
            sources=self._sources,
            fleet=self.fleet,
            targets=self.targets,
            targets_path=self.targets_path,
            shard=self.shard,
            payload=payload,
            environment=environment,
            device_port=self.device_port,
            payload_type=self.payload_type,
            waves=self.waves,
            max_failure_ratio=self.max_failure_ratio,
            min_sample=self.min_sample,
            attempts=self.attempts,
            attempt_delay=self.attempt_delay,
            wave_timeout=self.wave_timeout,
            window=self.window,
            on_empty=self.on_empty,
            max_concurrency=self.max_concurrency,
            max_rate=self.max_rate,
            poll_interval=self.poll_interval,
            ledger_path=self.ledger_path,
            on_clear=self.on_clear,
            report_path=self.report_path,
            deferrable=self.deferrable,
        )

    def _advance(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on as far as it goes.

        :param event: given when it continues after a deferral
        """
        from airflow_provider_supersim.api.requests import IP_COMMANDS
        from airflow_provider_supersim.delivery.waiting.waited import Waited
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.failures import airflow_failures, told
        from airflow_provider_supersim.runs.rollout import BEGINNING, RolloutRun
        from airflow_provider_supersim.runs.waiting import wait_in_triggerer

        self._hook = hook = SuperSimHook(self.supersim_conn_id)
        failures = airflow_failures(
            self.supersim_conn_id,
            whom=f"fleet {self.fleet!r}" if self.fleet else "the request",
            so_far=lambda: self._run.so_far if self._run else BEGINNING,
        )
        with told(self.log), failures, closing(hook):
            waited = None if event is None else Waited.from_event(event)
            arguments = self._arguments()
            self._run = run = RolloutRun(arguments, hook, context, self.log)
            if event is None:
                self.push_link(context, IP_COMMANDS_URL, f"{hook.account.base_url}{IP_COMMANDS}")
            wait = run.advance(fresh=event is None, may_defer=self.deferrable, waited=waited)
            if wait is not None:
                wait_in_triggerer(
                    self,
                    wait.sids,
                    why=wait.why.sentence(),
                    supersim_conn_id=self.supersim_conn_id,
                    poll_interval=arguments.poll_interval,
                    timeout=max(0.0, wait.until - time.time()),
                    with_commands=False,
                )
            return run.conclude()
