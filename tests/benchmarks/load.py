"""What the benchmarks share: devices, sending as a rollout does, and the CPU that this process used."""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import NamedTuple

import psutil

from airflow_provider_supersim.api.auth import BasicAuth
from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.api.pace import Pace
from airflow_provider_supersim.api.vendors import VENDORS
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.hooks.blocking import UVLOOP
from airflow_provider_supersim.runs.stores import ObjectStorageStore
from airflow_provider_supersim.simulator import Simulator

PORT = 5683
LOGIN, PASSWORD = "AC" + "a" * 32, "simulator"


class Cost(NamedTuple):
    """The cost of some commands: commands a second, and this process's CPU for each in milliseconds."""

    rate: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.rate:,.0f}/s, {self.cpu:.2f} ms CPU"


def payload(number: int) -> str:
    return f"interval={number % 60}"


def names(simulator: Simulator) -> list[str]:
    return [
        str(sim["unique_name"]) for sim in simulator.sims(fleet="field-devices") if sim["status"] in ("active", "ready")
    ]


def devices(sims: Sequence[str]) -> list[Device]:
    return [
        Device(sim=sim, request=IpCommandRequest.build(sim, payload(number), PORT)) for number, sim in enumerate(sims)
    ]


def client_of(simulator: Simulator, pace: Pace | None = None) -> AsyncSuperSimClient:
    return AsyncSuperSimClient(VENDORS["twilio"], BasicAuth(LOGIN, PASSWORD), base_url=simulator.url, pace=pace)


async def send_all(simulator: Simulator, targets: Sequence[Device], concurrency: int) -> None:
    async with client_of(simulator, Pace(concurrency)) as client:
        await send_through(client, targets, concurrency)


async def send_through(
    client: AsyncSuperSimClient,
    targets: Sequence[Device],
    concurrency: int,
    on_accepted: Callable[[IpCommand], None] = lambda _: None,
) -> None:
    """Send as a rollout does: checked, written ahead in a folder, paced, recorded."""
    with TemporaryDirectory() as folder:
        ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="send", map_index=-1)
        ledger = await Ledger.open(ObjectStorageStore(folder, {"ti": ti}), clears=0, restart=False)
        await Dispatcher(client, ledger, concurrency=concurrency, on_accepted=on_accepted).send(targets)


def cost_of(work: Callable[[], Awaitable[object]], commands: int, *, as_shipped: bool = False) -> Cost:
    """Measure some work on its own event loop: the one that the hook's session makes, or a plain one."""
    loop_factory = None
    if as_shipped and UVLOOP:
        import uvloop

        loop_factory = uvloop.new_event_loop
    gc.collect()  # with Airflow imported this takes 0.1 s, which belongs to no sender
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        cpu, clock = _cpu(), time.monotonic()
        runner.run(_awaited(work))
        return Cost(commands / (time.monotonic() - clock), (_cpu() - cpu) / commands * 1000)


async def _awaited(work: Callable[[], Awaitable[object]]) -> None:
    await work()


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds that another process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
