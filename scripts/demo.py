"""``make demo``: Airflow reconfigures simulated devices, and each of them tells what it received."""
# ruff: noqa: T201  # it is here to print

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, NamedTuple

from airflow_provider_supersim.testing import Simulator, run_simulator
from scripts.airflow_home import AirflowHome, end_in_order
from scripts.run_results import RunResults

DAG = "nightly_reconfiguration"
FLEET = "field-devices"
OFFLINE = "device-0007"


class Row(NamedTuple):
    """One device: what Airflow wanted it to have, how that ended, and what the device itself received."""

    device: str
    wanted: str
    status: str
    received: list[str]

    @property
    def right(self) -> bool:
        """Whether the device got its own configuration exactly once, or, being offline, nothing."""
        if self.device == OFFLINE:
            return self.status == "failed" and not self.received
        return self.status == "sent" and self.received == [self.wanted]


def main() -> int:
    """Run the demo.

    :return: exit code: 0 if every device got what it should
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument(
        "--devices",
        type=int,
        default=50,
        help="at least 20 (default: 50)",
    )
    devices = parser.parse_args().devices
    if devices < 20:
        parser.error("with fewer than 20 devices, one that is offline is more than the DAG tolerates")
    end_in_order()

    home = AirflowHome("demo")
    with run_simulator(sims=devices, settle=0.05) as simulator:
        simulator.set_behaviour(OFFLINE, network="offline")
        print(f"Simulator  {simulator.url}, with {devices} devices, of which {OFFLINE} is offline")
        home.new_database()
        print(f"Airflow    {version('apache-airflow')}, which logs to {home.show(home.log)}")
        run_dag(home, simulator)
        rows = observe(simulator, RunResults(home.database, DAG))
    print_table(rows)
    return conclude(rows, devices)


def run_dag(home: AirflowHome, simulator: Simulator) -> None:
    """Run the DAG as ``airflow dags test`` does, in a process of its own, and end it whatever happens here."""
    started = time.monotonic()
    environment = home.environment(
        AIRFLOW_CONN_SUPERSIM_DEFAULT=simulator.connection_json(),
        AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY="1",  # the offline device is tried again: here without a pause
    )
    process = home.start("dags", "test", DAG, environment=environment)
    try:
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    state = RunResults(home.database, DAG).state
    print(f"DAG        {DAG}, {state} after {time.monotonic() - started:.0f} s\n")
    if process.returncode or state != "success":
        raise home.complain("The DAG did not end well")


def observe(simulator: Simulator, results: RunResults) -> list[Row]:
    """Put Airflow's record beside what the devices really received, for every SIM that there is."""
    wanted = results.returned("devices").get(-1, [])
    commands, states = results.returned("configure"), results.states("configure")
    status = {
        device["sim"]: commands[index]["status"] if index in commands else states.get(index, "none")
        for index, device in enumerate(wanted)
    }
    payload = {device["sim"]: _compact(device["payload"]) for device in wanted}
    received: dict[str, list[str]] = {}
    for datagram in simulator.datagrams():
        received.setdefault(datagram["sim_name"], []).append(datagram["text"])
    return [
        Row(name, payload.get(name, ""), status.get(name, "none"), received.get(name, []))
        for name in sorted({*payload, *received})
    ]


def print_table(rows: Iterable[Row]) -> None:
    """Print a line for each device."""
    head = Row("DEVICE", "CONFIGURATION SENT", "STATUS", ["RECEIVED BY THE DEVICE"])
    for device, wanted, status, received in (head, *rows):
        print(f"{device:<12} {wanted:<41} {status:<7} {' and '.join(received) or 'nothing'}")


def conclude(rows: list[Row], devices: int) -> int:
    """Print the totals, and return the exit code."""
    sent = sum(row.status == "sent" for row in rows)
    failed = [row.device for row in rows if row.status == "failed"]
    print(f"\n{sent} sent, {len(failed)} failed ({', '.join(failed) or 'none'}).", end=" ")
    if len(rows) == devices and all(row.right for row in rows):
        print("Every device that was reached received its own configuration, exactly once.")
        return 0
    wrong = ", ".join(row.device for row in rows if not row.right) or f"there are {len(rows)} devices, not {devices}"
    print(f"That is not what should have happened: {wrong}.")
    return 1


def _compact(payload: dict[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing is left running.")
