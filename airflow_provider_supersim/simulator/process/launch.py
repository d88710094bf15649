"""Starts a simulator in a process of its own. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_supersim.simulator.process.handle import Simulator

ANNOUNCEMENT = "supersim-simulator is listening on "
"""Beginning of a simulator's first line of output; its base URL follows."""

_ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def run_simulator(
    *, program: Sequence[str] = ("-m", "airflow_provider_supersim.simulator"), **options: Any
) -> Iterator[Simulator]:
    """Run a simulator in a process of its own for as long as the block lasts.

    :param program: what Python runs; default: the simulator. A script of your own can register a vendor first.
    :param options: those of the command line with underscores, such as ``sims=1000``. The default port is a free one.
    :raises RuntimeError: it did not start; the message has what it printed.
    """
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {"port": 0, **options}.items()]
    command = [sys.executable, *program, "--until-stdin-closes", *flags]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(  # noqa: S603 - the caller's own program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment()
        ) as process,
    ):
        try:
            first = process.stdout.readline() if process.stdout else ""
            if not first.startswith(ANNOUNCEMENT):
                process.wait()
                said = (first + Simulator("", log).log()).strip()
                raise RuntimeError(f"the simulator did not start (exit code {process.returncode}): {said}")
            yield Simulator(first.removeprefix(ANNOUNCEMENT).strip(), log)
        finally:
            process.terminate()


def environment() -> dict[str, str]:
    """Return the environment in which a new process finds this package, even if it is not installed."""
    environment = dict(os.environ)
    if str(_ROOT) not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), environment.get("PYTHONPATH"))))
    return environment
