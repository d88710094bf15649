"""What the operators were given, checked. From here on, nothing asks an operator.

Checking needs no network. It happens when the task runs, because templates and XComs are known only then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.delivery.rollout.engine import Rules
from airflow_provider_supersim.delivery.rollout.gates import FailureShare
from airflow_provider_supersim.delivery.rollout.report import check_report_library, check_report_path
from airflow_provider_supersim.delivery.rollout.waves import check_waves
from airflow_provider_supersim.delivery.rollout.window import Window
from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate
from airflow_provider_supersim.delivery.targets.shards import Shard

N = TypeVar("N", int, float)


class CommandArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of ``SuperSimIpCommandOperator``, as it documents them.

    :ivar request: the command, ready to leave
    """

    request: IpCommandRequest
    timeout: float
    poll_interval: float
    ledger_path: str | None
    on_clear: str

    @classmethod
    def check(
        cls,
        request: IpCommandRequest,
        *,
        timeout: object,
        poll_interval: object,
        ledger_path: str | None,
        on_clear: str,
    ) -> Self:
        """Check the arguments that are not part of the command.

        :raises ValueError: with one sentence that names the argument; nothing was sent
        """
        return cls(
            request=request,
            timeout=_number("timeout", timeout, float, least=0),
            poll_interval=_number("poll_interval", poll_interval, float, least=0.1),
            ledger_path=ledger_path,
            on_clear=_on_clear(on_clear),
        )


class RolloutArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of ``SuperSimRolloutOperator``, as it documents them.

    Exactly one of ``fleet``, ``targets`` and ``targets_path`` is given.

    :ivar template: the payload, compiled
    :ivar rules: waves, gate, attempts and window
    :ivar report_suffix: of ``report_path``, which says how the report is written; empty without a report
    """

    fleet: str | None
    targets: Sequence[str | Mapping[str, Any]] | None
    targets_path: str | None
    shard: Shard | None
    template: PayloadTemplate
    device_port: int | str
    payload_type: str | None
    rules: Rules
    max_concurrency: int | None
    max_rate: float | None
    poll_interval: float
    ledger_path: str | None
    on_clear: str
    report_path: str | None
    report_suffix: str

    @property
    def share(self) -> int:
        """How many tasks divide the pace of the account among them."""
        return self.shard.count if self.shard else 1

    @classmethod
    def check(
        cls,
        *,
        fleet: str | None,
        targets: Sequence[str | Mapping[str, Any]] | None,
        targets_path: str | None,
        shard: Sequence[int] | None,
        payload: Any,
        device_port: int | str,
        payload_type: str | None,
        waves: Sequence[int | str],
        max_failure_ratio: object,
        min_sample: object,
        attempts: object,
        attempt_delay: object,
        wave_timeout: object,
        window: Mapping[str, Any] | None,
        max_concurrency: int | None,
        max_rate: float | None,
        poll_interval: object,
        ledger_path: str | None,
        on_clear: str,
        report_path: str | None,
    ) -> Self:
        """Check everything that does not depend on the devices.

        Numbers may be text, as templates make them.

        :raises ValueError: with one sentence that names the argument; nothing was sent
        """
        sources = {"fleet": fleet, "targets": targets, "targets_path": targets_path}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise BadInputError(f"one of fleet, targets and targets_path must be given, got {given or 'none of them'}")
        check_waves(waves)
        rules = Rules(
            waves=waves,
            gate=[
                FailureShare(
                    max_failure_ratio=_number("max_failure_ratio", max_failure_ratio, float, least=0),
                    min_sample=_number("min_sample", min_sample, int, least=1),
                )
            ],
            attempts=_number("attempts", attempts, int, least=1),
            attempt_delay=_number("attempt_delay", attempt_delay, float, least=0),
            wave_timeout=_number("wave_timeout", wave_timeout, float, least=0),
            window=Window.build(window) if window else None,
        )
        return cls(
            fleet=fleet,
            targets=targets,
            targets_path=targets_path,
            shard=Shard.build(shard) if shard is not None else None,
            template=PayloadTemplate(payload),
            device_port=device_port,
            payload_type=payload_type,
            rules=rules,
            max_concurrency=max_concurrency,
            max_rate=max_rate,
            poll_interval=_number("poll_interval", poll_interval, float, least=0.1),
            ledger_path=ledger_path,
            on_clear=_on_clear(on_clear),
            report_path=report_path or None,
            report_suffix=_report_suffix(report_path),
        )


def _on_clear(on_clear: str) -> str:
    if on_clear not in ("resume", "restart"):
        raise BadInputError(f"on_clear must be 'resume' or 'restart', got {on_clear!r}")
    return on_clear


def _report_suffix(report_path: str | None) -> str:
    if not report_path:
        return ""
    suffix = check_report_path(report_path)
    check_report_library(suffix)
    return suffix


def _number(name: str, value: object, kind: type[N], *, least: float) -> N:
    """Read a number that a template may have made text of."""
    try:
        number = kind(str(value))
    except ValueError:
        number = None
    if number is None or not least <= number < float("inf"):
        raise BadInputError(f"{name} must be a {'whole ' if kind is int else ''}number, {least} or more, got {value!r}")
    return number
