"""``make demo``: a rollout to simulated devices in three waves, and what each of them received."""
# ruff: noqa: T201  # its job is to print

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from airflow_provider_supersim.testing import Simulator, run_simulator
from scripts.airflow_home import AirflowHome, end_in_order
from scripts.run_results import RunResults

DAG = "nightly_reconfiguration"
FLEET = "field-devices"
OFFLINE = "device-0007"  # always
ASLEEP = "device-0019"  # until its first command has failed
REPORT_EVERY = 900  # what the DAG's params say by default


class Row(NamedTuple):
    """One device: what it should get, what the report says, and what it received."""

    device: str
    wanted: str
    attempts: int
    status: str
    received: list[str]

    @property
    def right(self) -> bool:
        """Whether the device got its own configuration exactly once, or, being offline, nothing."""
        if self.device == OFFLINE:
            return (self.attempts, self.status, self.received) == (2, "failed", [])
        attempts = 2 if self.device == ASLEEP else 1
        return (self.attempts, self.status, self.received) == (attempts, "sent", [self.wanted])


def main() -> int:
    """Run the demo.

    :return: exit code: 0 if every device got what it should
    """
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument(
        "--devices",
        type=int,
        default=200,
        help="at least 20 (default: 200)",
    )
    devices = parser.parse_args().devices
    if devices < 20:
        parser.error("with fewer than 20 devices there are too few for all that the demo shows")
    end_in_order()

    home = AirflowHome("demo")
    with run_simulator(sims=devices, settle=0.05) as simulator:
        simulator.set_behaviour([OFFLINE, ASLEEP], network="offline")
        print(f"Simulator  {simulator.url}, with {devices} devices; {OFFLINE} is offline, {ASLEEP} wakes up late")
        home.new_database()
        print(f"Airflow    {version('apache-airflow')}, which logs to {home.show(home.log)}")
        run_dag(home, simulator)
        rows = observe(simulator, home)
    print_table(rows)
    return conclude(rows, devices)


def run_dag(home: AirflowHome, simulator: Simulator) -> None:
    """Run the DAG as ``airflow dags test`` does, in its own process, and end that process in any case."""
    started = time.monotonic()
    shutil.rmtree(reports(home), ignore_errors=True)
    environment = home.environment(AIRFLOW_CONN_SUPERSIM_DEFAULT=simulator.connection_json())
    # Five minutes before a second attempt are right at night, but too long for a demo.
    params = json.dumps({"attempt_delay": 2, "report_folder": str(reports(home))})
    process = home.start("dags", "test", "--conf", params, DAG, environment=environment)
    try:
        wake_after_first_command(simulator, process)
        process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    results = RunResults(home.database, DAG)
    print(f"DAG        {DAG}, {results.state} after {time.monotonic() - started:.0f} s\n")
    if process.returncode or results.state != "success":
        raise home.complain("The DAG did not end well")
    for wave in results.returned("rollout")[-1]["waves"]:
        print(f"Wave {wave['wave']}  {wave['devices']:>4} devices: {wave['sent']} sent, {wave['failed']} failed")
    print()


def wake_after_first_command(simulator: Simulator, process: subprocess.Popen[bytes]) -> None:
    """Switch the late device on when its first command has failed, so that the second attempt reaches it."""
    while process.poll() is None:
        if any(command["status"] == "failed" for command in simulator.commands(ASLEEP)):
            simulator.set_behaviour(ASLEEP, network="online")
            return
        time.sleep(0.1)


def reports(home: AirflowHome) -> Path:
    """Return the folder for the rollout's report."""
    return home.path / "reports"


def observe(simulator: Simulator, home: AirflowHome) -> list[Row]:
    """Compare the rollout's report with what each device received, for every SIM."""
    (report,) = reports(home).glob("*.csv")
    with report.open(newline="") as file:
        told = {line["sim"]: line for line in csv.DictReader(file)}
    wanted = {sim["unique_name"]: configuration(sim["iccid"]) for sim in simulator.sims(fleet=FLEET)}
    received: dict[str, list[str]] = {}
    for datagram in simulator.datagrams():
        received.setdefault(datagram["sim_name"], []).append(datagram["text"])
    return [
        Row(name, wanted.get(name, ""), int(told[name]["attempt"]), told[name]["status"], received.get(name, []))
        if name in told
        else Row(name, wanted.get(name, ""), 0, "none", received.get(name, []))
        for name in sorted({*told, *received})
    ]


def configuration(iccid: str) -> str:
    """Return what the DAG should send to a SIM, computed without the DAG."""
    return json.dumps(
        {"report_every": REPORT_EVERY, "report_at": int(iccid[-4:]) % REPORT_EVERY}, separators=(",", ":")
    )


def print_table(rows: Iterable[Row]) -> None:
    """Print a line for each device."""
    print(f"{'DEVICE':<12} {'CONFIGURATION':<39} {'ATTEMPTS':<8} {'STATUS':<7} RECEIVED BY THE DEVICE")
    for device, wanted, attempts, status, received in rows:
        print(f"{device:<12} {wanted:<39} {attempts:<8} {status:<7} {' and '.join(received) or 'nothing'}")


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


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing is left running.")
