"""One rollout: waves, a second attempt, a gate that halts it, a clear, and its end; a row for each device."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.simulator import Simulator
from scripts.pictures import svg

DEVICES = [f"device-{number:04d}" for number in range(1, 13)]
ASLEEP = DEVICES[2:5]  # while their wave is sent
WAKES_UP = DEVICES[4]  # before its second attempt
LOST = DEVICES[-1]  # never online
SENDING = re.compile(r"Wave (\d+) of \d+: sending to (\d+) device")


class Step(NamedTuple):
    """A step of the rollout.

    :ivar heading: its name, in up to three lines
    :ivar after: the status of the last command to each device, when the step ends; None if there was none
    """

    heading: list[str]
    after: dict[str, str | None]


class _Memory:
    """Airflow's task state store, as far as a ledger needs it."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str) -> Any | None:
        return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        self._values[key] = value


class _Observer(logging.Handler):
    """Reads in the log that the rollout sends, and notes the result of the step before."""

    def __init__(self, simulator: Simulator) -> None:
        super().__init__()
        self._simulator = simulator
        self.headings: list[list[str]] = []
        self.states: list[dict[str, str | None]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not (sending := SENDING.match(record.getMessage())):
            return
        wave, count = sending.groups()
        again = any(heading[0] == f"Wave {wave}" for heading in self.headings)
        if again and self._simulator.commands(WAKES_UP):
            self._simulator.set_behaviour(WAKES_UP, network="online")
        self.begin(f"Wave {wave}", f"{count} device{'s' if count != '1' else ''}", "again" if again else "")

    def begin(self, *heading: str) -> None:
        """Note that a step begins, and the state of the devices after the one before."""
        self.states.append(self._now())
        self.headings.append(list(heading))

    def end(self) -> list[Step]:
        """Return the steps."""
        after = [*self.states[1:], self._now()]
        return [Step(heading, state) for heading, state in zip(self.headings, after, strict=True)]

    def failed(self) -> tuple[str, str]:
        """Return how many devices of the last wave failed, and which wave that is."""
        wave = self.headings[-1][0]
        before = self.states[[heading[0] for heading in self.headings].index(wave)]
        statuses = [status for device, status in self._now().items() if status and not before[device]]
        return f"{statuses.count('failed')} of {len(statuses)} failed", f"in {wave.lower()}"

    def _now(self) -> dict[str, str | None]:
        last = {command["sim_name"]: command["status"] for command in self._simulator.commands()}
        return {device: last.get(device) for device in DEVICES}


def trace(simulator: Simulator) -> list[Step]:
    """Roll out until a gate halts it; clear it, and continue to the end."""
    simulator.reset(sims=len(DEVICES), settle=0)
    simulator.set_behaviour([*ASLEEP, LOST], network="offline")
    observer, memory = _Observer(simulator), _Memory()
    connection = {"AIRFLOW_CONN_SUPERSIM_DEFAULT": simulator.connection_json()}
    with patch.dict(os.environ, connection), _listening(observer):
        with suppress(AirflowFailException):
            _execute(memory, clears=0)
        observer.begin("Halted", *observer.failed())
        simulator.set_behaviour(ASLEEP, network="online")
        observer.begin("Cleared", "by hand")
        complete = _execute(memory, clears=1)
        observer.begin("Complete", complete)
    return observer.end()


def _execute(memory: _Memory, *, clears: int) -> str:
    """Run the operator as Airflow does, and return how many devices are sent.

    :raises AirflowFailException: the rollout was halted
    """
    task = SuperSimRolloutOperator(
        task_id="rollout",
        targets=DEVICES,
        payload="x",
        device_port=4000,
        waves=[2, "50%", "100%"],
        max_failure_ratio=0.4,
        attempts=2,
        attempt_delay=0,
        poll_interval=0.1,
        deferrable=False,
    )
    ti = SimpleNamespace(
        dag_id="nightly",
        run_id="manual",
        task_id="rollout",
        map_index=-1,
        max_tries=clears,
        xcom_push=lambda **_: None,
    )
    summary = task.execute({"ti": ti, "task_state_store": memory})  # type: ignore[typeddict-item]
    return f"{summary['sent']} of {summary['devices']} sent"


@contextmanager
def _listening(observer: _Observer) -> Iterator[None]:
    log = logging.getLogger("airflow_provider_supersim")
    level = log.level
    log.addHandler(observer)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(observer)
        log.setLevel(level)


_LABEL, _CELL, _ROW, _TOP = 90.0, 88.0, 24.0, 62.0
_KINDS = {"sent": "good", "failed": "bad"}


def draw(steps: list[Step]) -> str:
    """Return the picture: a column for each step, a row for each device, and words only if something has changed."""
    parts = []
    for number, step in enumerate(steps):
        middle = _LABEL + number * _CELL + _CELL / 2
        for line, words in enumerate(step.heading):
            parts.append(svg.text(middle, 20 + line * 15, words, anchor="middle", bold=line == 0))
        if number:
            parts.append(svg.arrow(_LABEL + number * _CELL - 7, 16, 12))
    for row, device in enumerate(DEVICES):
        y = _TOP + row * _ROW
        parts.append(svg.text(12, y + 14, device))
        for number, step in enumerate(steps):
            if status := step.after[device]:
                x = _LABEL + number * _CELL + 6
                words = "" if number and steps[number - 1].after[device] == status else status
                parts.append(svg.box(x, y, (_CELL - 12, 18), kind=_KINDS.get(status, "plain"), words=words))
    return svg.picture(_LABEL + len(steps) * _CELL + 12, _TOP + len(DEVICES) * _ROW + 8, parts)
