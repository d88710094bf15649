"""A local Super SIM: both vendors' API, virtual devices on real UDP sockets, and faults on demand.

Start it with ``supersim-simulator --help``, from a program with :func:`run_simulator`, and in tests with
:mod:`airflow_provider_supersim.testing`.
It shares no code with the rest of the package: a mistake made there cannot hide here.
"""

from airflow_provider_supersim.simulator.process.handle import Simulator
from airflow_provider_supersim.simulator.process.launch import run_simulator

__all__ = ["Simulator", "run_simulator"]
