"""What the operators were given, checked. From here on, nothing asks an operator.

Checking needs no network. It happens when the task runs, because templates and XComs are known only then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

import msgspec
from jinja2 import Environment

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
        wait_for_completion: object,
        deferrable: object,
        timeout: object,
        poll_interval: object,
        ledger_path: str | None,
        on_clear: str,
    ) -> Self:
        """Check the arguments that are not part of the command.

        :raises ValueError: with one sentence that names the argument; nothing was sent
        """
        _check_flag("wait_for_completion", wait_for_completion)
        _check_flag("deferrable", deferrable)
        return cls(
            request=request,
            timeout=seconds("timeout", timeout, least=0),
            poll_interval=seconds("poll_interval", poll_interval, least=0.1),
            ledger_path=ledger_path,
            on_clear=_one_of("on_clear", on_clear, "resume", "restart"),
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
    on_empty: str
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
        sources: Sequence[str],
        fleet: str | None,
        targets: Sequence[str | Mapping[str, Any]] | None,
        targets_path: str | None,
        shard: Sequence[int] | None,
        payload: Any,
        environment: Environment | None,
        device_port: int | str,
        payload_type: str | None,
        waves: Sequence[int | str],
        max_failure_ratio: object,
        min_sample: object,
        attempts: object,
        attempt_delay: object,
        wave_timeout: object,
        window: Mapping[str, Any] | None,
        on_empty: str,
        max_concurrency: object,
        max_rate: object,
        poll_interval: object,
        ledger_path: str | None,
        on_clear: str,
        report_path: str | None,
        deferrable: object,
    ) -> Self:
        """Check everything that does not depend on the devices.

        Numbers may be text, as templates make them.

        :param sources: which of ``fleet``, ``targets`` and ``targets_path`` the DAG names
        :param environment: whose filters, macros and files the payload can use
        :raises ValueError: with one sentence that names the argument; nothing was sent
        """
        _check_sources({"fleet": fleet, "targets": targets, "targets_path": targets_path}, sources)
        # Once for the argument, not once for each row.
        IpCommandRequest.build("any", "AAAA", device_port, payload_type=payload_type)
        check_waves(waves)
        _check_flag("deferrable", deferrable)
        rules = Rules(
            waves=waves,
            gate=[
                FailureShare(
                    max_failure_ratio=_number("max_failure_ratio", max_failure_ratio, float, least=0),
                    min_sample=_number("min_sample", min_sample, int, least=1),
                )
            ],
            attempts=_number("attempts", attempts, int, least=1),
            attempt_delay=seconds("attempt_delay", attempt_delay, least=0),
            wave_timeout=seconds("wave_timeout", wave_timeout, least=0),
            window=Window.build(window) if window else None,
        )
        return cls(
            fleet=fleet,
            targets=targets,
            targets_path=targets_path,
            shard=Shard.build(shard) if shard is not None else None,
            template=PayloadTemplate(payload, environment),
            device_port=device_port,
            payload_type=payload_type,
            rules=rules,
            on_empty=_one_of("on_empty", on_empty, "fail", "skip", "succeed"),
            max_concurrency=None
            if max_concurrency is None
            else _number("max_concurrency", max_concurrency, int, least=1),
            max_rate=None if max_rate is None else _rate(max_rate),
            poll_interval=seconds("poll_interval", poll_interval, least=0.1),
            ledger_path=ledger_path,
            on_clear=_one_of("on_clear", on_clear, "resume", "restart"),
            report_path=report_path or None,
            report_suffix=_report_suffix(report_path),
        )


def seconds(name: str, value: object, *, least: float) -> float:
    """Read a length of time: a number of seconds, or a ``timedelta``.

    :param name: of the argument
    :raises ValueError: it is neither, or shorter than ``least``
    """
    return _number(name, value.total_seconds() if isinstance(value, timedelta) else value, float, least=least)


def _check_sources(sources: Mapping[str, object], named: Sequence[str]) -> None:
    """Check that exactly one source of the targets is given.

    :param named: those that the DAG names; they are ``None`` if another task gave nothing
    """
    given = [name for name, value in sources.items() if value is not None]
    if named and not given:
        name = named[0]
        raise BadInputError(f"{name} came as None: what should make it, such as another task, returned nothing")
    if len(given) != 1:
        raise BadInputError(f"one of fleet, targets and targets_path must be given, got {given or 'none of them'}")
    (name,) = given
    if name != "targets" and not (isinstance(sources[name], str) and str(sources[name]).strip()):
        raise BadInputError(f"{name} must be text that is not empty, got {sources[name]!r}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise BadInputError(f"{name} must be True or False, got {value!r}")


def _one_of(name: str, value: str, *choices: str) -> str:
    if value not in choices:
        *others, last = map(repr, choices)
        raise BadInputError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")
    return value


def _rate(max_rate: object) -> float:
    rate = _number("max_rate", max_rate, float, least=0)
    if not rate:
        raise BadInputError(f"max_rate must be a number above 0, got {max_rate!r}")
    return rate


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
