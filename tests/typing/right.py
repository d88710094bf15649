"""What users write, with every public name: mypy (strict) and pyright find nothing wrong in it. It is never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_supersim import get_provider_info
from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError, SuperSimError, Verdict
from airflow_provider_supersim.api.models import Fleet, IpCommand, Sim
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor
from airflow_provider_supersim.testing import Simulator, run_simulator
from airflow_provider_supersim.triggers.ip_command import SuperSimIpCommandTrigger

info: dict[str, Any] = get_provider_info()

SuperSimIpCommandOperator(task_id="text", sim="device-0001", payload="reboot", device_port=4000)
SuperSimIpCommandOperator(
    task_id="all",
    sim="{{ params.sim }}",
    payload={"report_every": 900, "servers": ["a", "b"]},
    device_port="{{ params.port }}",
    payload_type=None,
    callback_url="https://example.com/done",
    callback_method="GET",
    wait_for_completion=True,
    deferrable=True,
    poll_interval=2.5,
    timeout=timedelta(minutes=10),
    ledger_path="s3://bucket/ledgers",
    on_clear="resume",
    supersim_conn_id="kore",
    retries=2,
)
for payload in (b"\x00\xff", ["a", 1]):
    SuperSimIpCommandOperator(task_id="payload", sim="HS0", payload=payload, device_port=4000)

SuperSimRolloutOperator(task_id="fleet", fleet="field-devices", payload="{{ device.unique_name }}", device_port=4000)
SuperSimRolloutOperator(
    task_id="targets",
    targets=["device-0001", {"sim": "device-0002", "payload": {"own": True}, "timezone": "Europe/Berlin"}],
    shard=(0, 8),
    payload={"report_every": 900},
    device_port="4000",
    waves=[5, "10%", "100%"],
    max_failure_ratio=0.05,
    min_sample=10,
    attempts=2,
    attempt_delay=60,
    wave_timeout=900,
    window={"start": "01:00", "end": "05:00"},
    on_empty="skip",
    max_concurrency=50,
    max_rate="{{ params.rate }}",
    ledger_path=None,
    on_clear="restart",
    report_path="s3://bucket/{{ ds }}.parquet",
    deferrable=False,
    poll_interval=5,
    supersim_conn_id="supersim_default",
)
SuperSimRolloutOperator(task_id="file", targets_path="s3://bucket/targets.csv", payload=b"\x00", device_port=4000)

SuperSimIpCommandSensor(task_id="one", ip_command_sid="HG0", deferrable=True, poke_interval=10, timeout=60)
SuperSimIpCommandSensor(task_id="some", ip_command_sid=["HG0", "HG1"], mode="reschedule", soft_fail=True)

SuperSimIpCommandTrigger(
    ip_command_sids=["HG0"],
    supersim_conn_id="supersim_default",
    poll_interval=5,
    deadline=datetime.now(UTC),
    with_commands=True,
)


def in_a_task() -> None:
    hook = SuperSimHook(supersim_conn_id="supersim_default")
    command: IpCommand = hook.send_ip_command("device-0001", "x", 4000, payload_type="binary")
    again: IpCommand = hook.get_ip_command(str(command.sid))
    as_dict: dict[str, Any] = again.to_dict() | {"sid": again["sid"]}
    commands: Iterator[IpCommand] = hook.iter_ip_commands(sim="device-0001", status="sent", direction="to_sim")
    sim: Sim = hook.get_sim("device-0001")
    sims: list[Sim] = list(hook.iter_sims(fleet="field-devices", status="active"))
    fleet: Fleet = hook.get_fleet("field-devices")
    fleets: Iterator[Fleet] = hook.iter_fleets()
    succeeded, words = hook.test_connection()
    problem: str = "" if succeeded else words
    hook.close()
    print(as_dict, commands, sim.unique_name, sims, fleet.sid, fleets, problem)


async def in_a_coroutine() -> None:
    async with SuperSimHook().client() as client:
        taken: AsyncSuperSimClient = client
        command: IpCommand = await taken.send_ip_command("device-0001", b"\x00", 4000)
        async for one in taken.iter_ip_commands(sim=command.sim_sid):
            print(one.status)
        names: list[str | None] = [sim.unique_name async for sim in taken.iter_sims(fleet="field-devices")]
        print(names)


def what_an_error_says(hook: SuperSimHook) -> bool:
    try:
        hook.get_sim("nobody")
    except NotFoundError as error:
        print(error.status)
    except SuperSimError as error:
        return error.verdict is Verdict.UNKNOWN
    return False


def test_my_dag(supersim_simulator: Simulator) -> None:
    supersim_simulator.reset(sims=50, settle=0.1)
    with run_simulator(sims=5) as simulator:
        connection: str = simulator.connection_json("kore")
        assert connection
        assert simulator.datagrams("device-0001") == []
