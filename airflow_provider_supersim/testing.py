"""The simulator as a pytest fixture: tests of DAGs need no account and no SIM cards.

In ``conftest.py``::

    pytest_plugins = ["airflow_provider_supersim.testing"]

and in a test::

    def test_last_nights_rollout(supersim_simulator, monkeypatch):
        monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())
        supersim_simulator.reset(sims=50, settle=0.1)
        supersim_simulator.set_behaviour("device-0007", network="offline")

        my_dag.test()

        counts = supersim_simulator.summary(fleet="field-devices")
        assert counts["sims"]["with_more_commands"] == 0
        assert counts["commands"]["by_status"]["failed"] == 1
        assert {datagram["text"] for datagram in supersim_simulator.datagrams()} == {"apn=iot.example"}

Outside pytest: ``with run_simulator(sims=50) as simulator: ...``, from :mod:`airflow_provider_supersim.simulator`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_supersim.simulator import Simulator, run_simulator

__all__ = ["Simulator", "run_simulator", "supersim_simulator", "supersim_simulator_process"]


@pytest.fixture(scope="session")
def supersim_simulator_process() -> Iterator[Simulator]:
    """One simulator for the whole session: starting it is the slow part."""
    with run_simulator() as simulator:
        yield simulator


@pytest.fixture
def supersim_simulator(supersim_simulator_process: Simulator) -> Simulator:
    """A simulator with a fresh world of 200 SIMs: no commands, no faults, the clock running."""
    supersim_simulator_process.reset()
    return supersim_simulator_process
