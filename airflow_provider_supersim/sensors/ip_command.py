"""The sensor that waits until IP Commands were sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    conf,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.delivery.waiting.watcher import Waited


class SuperSimIpCommandSensor(BaseSensorOperator):
    """Wait until every one of some IP Commands was sent; fail as soon as one has failed.

    ``poke``, ``reschedule`` and ``deferrable`` all serve; deferred, the sensors of one triggerer share their requests.
    ``sent`` is as far as the API knows: it is no proof that the device got the datagram. ``poke_interval`` and
    ``timeout``, in seconds, are those of every sensor.

    Source: the vendor's page of the *IpCommands* resource, ``GET /v1/IpCommands/{Sid}``.

    :param ip_command_sid: one sid (``HG…``) or a list of them (templated), e.g. an operator's XCom ``ip_command_sid``
    :param deferrable: whether to wait in the triggerer; default: ``[operators] default_deferrable``
    :param supersim_conn_id: connection of type ``supersim`` (templated)
    :raises AirflowFailException: a command failed, there is no such command, or the credentials were refused
    :raises AirflowSensorTimeout: not all were settled within ``timeout``
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

    def execute(self, context: Context) -> Any:
        """Defer, or go on as sensors do."""
        if not self.deferrable:
            with self._in_our_words():
                return super().execute(context)
        from airflow_provider_supersim.runs.waiting import wait_in_triggerer

        return wait_in_triggerer(
            self,
            self._sids(),
            supersim_conn_id=self.supersim_conn_id,
            poll_interval=self.poke_interval,
            timeout=self.timeout,
        )

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral."""
        with self._in_our_words():
            return super().resume_execution(next_method, next_kwargs, context)

    def poke(self, context: Context) -> bool:
        """Read the statuses once."""
        from airflow_provider_supersim.hooks.supersim import SuperSimHook
        from airflow_provider_supersim.runs.waiting import airflow_failures, look_once

        with airflow_failures(lambda: "a status was being read"), closing(SuperSimHook(self.supersim_conn_id)) as hook:
            return self._all_sent(look_once(hook, self._sids()))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Go on after the trigger has fired.

        :param event: :class:`~airflow_provider_supersim.delivery.waiting.watcher.Waited` as a dict
        """
        from airflow_provider_supersim.delivery.waiting.sentences import overdue_sentence
        from airflow_provider_supersim.runs.waiting import check_readable, read_event

        waited = read_event(event)
        if not self._all_sent(waited):
            check_readable(waited)
            raise AirflowSensorTimeout(overdue_sentence(waited, self.timeout))

    def _sids(self) -> list[str]:
        sids = [self.ip_command_sid] if isinstance(self.ip_command_sid, str) else list(self.ip_command_sid or [])
        if not sids or not all(isinstance(sid, str) and sid.strip() for sid in sids):
            given = repr(self.ip_command_sid)
            raise AirflowFailException(f"ip_command_sid must be a sid (HG…) or a list of them, got {given}")
        return [sid.strip() for sid in sids]

    def _all_sent(self, waited: Waited) -> bool:
        from airflow_provider_supersim.delivery.waiting.sentences import failed_commands, failed_sentence, summary

        self._seen = waited
        if failed := failed_commands(waited):
            raise AirflowFailException(failed_sentence(failed))
        self.log.info(summary(waited))
        return waited.settled and waited.error is None

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """Name the commands where Airflow says only that a sensor has timed out, or was skipped by ``soft_fail``."""
        from airflow_provider_supersim.delivery.waiting.sentences import overdue_sentence

        try:
            yield
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            if error.__cause__:
                raise type(error)(str(error.__cause__)) from error
            raise type(error)(overdue_sentence(self._seen, self.timeout)) from error
