"""The sensor that waits until IP Commands were sent."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, BaseSensorOperator, conf

from airflow_provider_supersim.exceptions import (
    BadArgumentError,
    CommandsFailedError,
    CredentialsRefusedError,
    RequestRefusedError,
    SensorSkippedError,
    SensorTimedOutError,
    SuperSimTaskError,
)
from airflow_provider_supersim.words import count, duration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.delivery.waiting.waited import Waited

#: What a person must correct. ``soft_fail`` is for commands that failed or are late, and must not hide these.
NOT_SOFT = (BadArgumentError, CredentialsRefusedError, RequestRefusedError)


class SuperSimIpCommandSensor(BaseSensorOperator):
    """Wait until each of some IP Commands was sent; fail as soon as one has failed.

    It works in all three ways of waiting: ``poke``, ``reschedule`` and ``deferrable``. The deferred sensors of one
    triggerer share their requests. ``sent`` is as far as the API knows: it is no proof that the device got the
    datagram. ``poke_interval`` and ``timeout``, in seconds, are those of every sensor.

    Source: https://www.twilio.com/docs/iot/supersim/api/ipcommand-resource

    :param ip_command_sid: one sid (``HG…``) or a list of them, e.g. an operator's XCom ``ip_command_sid`` (templated)
    :param deferrable: wait in the triggerer after the first ten seconds; default: ``[operators] default_deferrable``
        (not templated)
    :param supersim_conn_id: connection of type ``supersim``; default ``supersim_default`` (templated)
    :raises CommandsFailedError: a command failed; Airflow does not retry
    :raises SensorTimedOutError: not all had a final status within ``timeout``
    :raises SuperSimTaskError: another of its subclasses; those that a retry cannot fix are ``AirflowFailException`` too
    """

    template_fields: Sequence[str] = ("ip_command_sid", "supersim_conn_id")
    ui_color = "#edf6fa"
    ui_fgcolor = "#12303f"

    _seen: Waited  # at the last look

    def __init__(
        self,
        *,
        ip_command_sid: str | list[str],
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        supersim_conn_id: str = "supersim_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ip_command_sid = ip_command_sid
        self.deferrable = deferrable
        self.supersim_conn_id = supersim_conn_id

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a field. A ``None`` in a text is an error."""
        from airflow_provider_supersim.runs.templates import rendered_field

        render = super().render_template
        return rendered_field(
            self,
            content,
            jinja_env or self.get_template_env(),
            lambda environment: render(content, context, environment, seen_oids),
        )

    def execute(self, context: Context) -> Any:
        """Defer, or continue as sensors do."""
        from airflow_provider_supersim.runs.failures import told

        with told(self.log), self._failures():
            self._sids()
            if not self.deferrable:
                with self._with_commands_named():
                    # Without its guard, which Airflow 2 takes for a call from outside a task.
                    return inspect.unwrap(BaseSensorOperator.execute)(self, context)
        # As after a deferral, so that soft_fail means the same in both.
        return self.resume_execution("_wait_here_then_defer", None, context)

    def _wait_here_then_defer(self, context: Context) -> None:
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.waiting import wait_here_then_defer

        sids = self._sids()
        with self._failures(), closing(SuperSimHook(self.supersim_conn_id)) as hook:
            waited = wait_here_then_defer(
                self,
                hook,
                sids,
                why=f"the final status of {count(len(sids), 'command')}, at most {duration(self.timeout)}",
                supersim_conn_id=self.supersim_conn_id,
                poll_interval=self.poke_interval,
                timeout=self.timeout,
            )
            self._conclude(waited)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Continue after a deferral."""
        from airflow_provider_supersim.runs.failures import told

        with told(self.log), self._with_commands_named():
            return super().resume_execution(next_method, next_kwargs, context)

    def poke(self, context: Context) -> bool:
        """Read the statuses once."""
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.waiting import look_once

        with self._failures(), closing(SuperSimHook(self.supersim_conn_id)) as hook:
            return self._all_sent(look_once(hook, self._sids(), timeout=self.timeout))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Continue after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.waited.Waited` as a dict
        """
        from airflow_provider_supersim.delivery.waiting.waited import Waited

        with self._failures():
            self._conclude(Waited.from_event(event))

    def _conclude(self, waited: Waited) -> None:
        from airflow_provider_supersim.runs.sentences import commands_not_settled

        if not self._all_sent(waited):
            waited.check_readable()
            raise SensorTimedOutError(commands_not_settled(waited, self.timeout))

    def _sids(self) -> list[str]:
        sids = [self.ip_command_sid] if isinstance(self.ip_command_sid, str) else list(self.ip_command_sid or [])
        sids = [sid.strip() if isinstance(sid, str) else "" for sid in sids]
        if not sids or not all(sid.startswith("HG") and sid.isalnum() for sid in sids):
            raise BadArgumentError(
                "ip_command_sid must be a sid (HG…) or a list of them, got "
                f"{self.ip_command_sid!r}. If another task should have pushed it, look there"
            )
        return sids

    def _all_sent(self, waited: Waited) -> bool:
        from airflow_provider_supersim.runs.sentences import commands_failed, failed_commands, in_counts

        self._seen = waited
        if failed := failed_commands(waited):
            raise CommandsFailedError(commands_failed(failed, len(waited.commands) + len(waited.unread)))
        self.log.info(in_counts(waited))
        return waited.settled and waited.error is None

    def _failures(self) -> AbstractContextManager[None]:
        from airflow_provider_supersim.runs.failures import airflow_failures
        from airflow_provider_supersim.runs.so_far import of_sensor

        commands = len(self.ip_command_sid) if isinstance(self.ip_command_sid, list) else 1
        return airflow_failures(self.supersim_conn_id, whom="ip_command_sid", so_far=lambda: of_sensor(commands))

    @contextmanager
    def _with_commands_named(self) -> Iterator[None]:
        """Name the commands when Airflow says only that a sensor has timed out, or was skipped by ``soft_fail``."""
        from airflow_provider_supersim.runs.sentences import commands_not_settled

        try:
            yield
        except SuperSimTaskError:
            raise
        except AirflowSkipException as error:
            if isinstance(error.__cause__, NOT_SOFT):
                raise error.__cause__ from None
            if isinstance(error.__cause__, SuperSimTaskError):
                raise SensorSkippedError(error.__cause__.args[0], error.__cause__.code) from error
            raise SensorSkippedError(commands_not_settled(self._seen, self.timeout)) from error
        except AirflowSensorTimeout as error:
            raise SensorTimedOutError(commands_not_settled(self._seen, self.timeout)) from error
