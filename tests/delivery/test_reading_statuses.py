"""A gate judges by statuses that were read, and never because the API fails for a moment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from support import commands_by_device, devices, once_each

from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.testing import Simulator

GET = {"method": "GET", "path": "/v1/IpCommands"}
COUNT = 30


@pytest.fixture
def execute(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", simulator.connection_json())
    ti = SimpleNamespace(
        dag_id="dag", run_id="run", task_id="roll_out", map_index=-1, max_tries=0, xcom_push=lambda **_: None
    )

    def run(**arguments: Any) -> dict[str, Any]:
        operator = SuperSimRolloutOperator(
            task_id="roll_out",
            payload="apn=iot.example",
            device_port=5683,
            ledger_path=str(tmp_path),
            **{"targets": [target.sim for target in devices(COUNT)], "poll_interval": 0.1, **arguments},
        )
        return operator.execute({"ti": ti})

    return run


def test_a_failed_read_at_the_deadline_halts_nothing(simulator: Simulator, execute) -> None:
    simulator.faults({"kind": "error_before", "status": 503, "skip": 1, "count": 2, **GET})  # after the date

    summary = execute(wave_timeout=0)

    assert simulator.fired()[0]["fired"] == 2
    assert (summary["sent"], summary["halted"]) == (COUNT, False)


def test_when_statuses_cannot_be_read_the_next_try_reads_them(simulator: Simulator, execute) -> None:
    simulator.faults({"kind": "error_before", "status": 503, "skip": 1, **GET})
    with pytest.raises(AirflowException, match=r"\[statuses-unreadable\]") as failure:
        execute(wave_timeout=0)
    assert not isinstance(failure.value, AirflowFailException)
    simulator.faults()

    assert execute(wave_timeout=0)["sent"] == COUNT
    assert commands_by_device(simulator) == once_each(devices(COUNT))


def test_a_wait_ends_when_the_credentials_are_refused_for_the_first_time(simulator: Simulator, execute) -> None:
    simulator.settings(settle=60)
    simulator.faults({"kind": "error_before", "status": 401, "skip": 3, **GET})
    with pytest.raises(AirflowFailException, match="401"):
        execute(wave_timeout=600)

    assert simulator.fired()[0]["fired"] == 1


@pytest.mark.parametrize("number", [1, 8])
def test_devices_whose_commands_may_not_be_read_are_named_as_people_name_them(
    simulator: Simulator, execute, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    simulator.settings(settle=3600)
    ships = [f"ship-{one:02d}" for one in range(20)]
    simulator.seed(fleets=[{"unique_name": "ships"}], sims=[{"unique_name": name, "fleet": "ships"} for name in ships])
    simulator.faults(
        {"kind": "error_before", "status": 403, "count": number, "method": "GET", "path": "/v1/IpCommands/"},
        {"kind": "list_lag", "seconds": 7200, "path": "/v1/IpCommands"},  # so that each is read by itself
    )

    execute(targets=None, fleet="ships", wave_timeout=0, max_failure_ratio=1)

    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().endswith("[status-refused]")]
    names = {one["sid"]: one["sim_name"] for one in simulator.commands()}
    recent = simulator.requests()["recent"]
    refused = {names[one["path"].rpartition("/")[2]] for one in recent if one["status"] == 403}
    named = {name for name in ships if name in line}
    assert named <= refused
    assert (len(refused), len(named)) == (number, min(number, 5))
    assert line.index(min(named)) < 90 < line.index("HG")  # what the log view shows of a line
    assert ("3 more" in line) == (number == 8)
