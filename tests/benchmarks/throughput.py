"""Commands a second at a latency of 100 ms, 100 at once, beside bare HTTP clients that only POST and read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx

from airflow_provider_supersim.simulator.handle import Simulator, run_simulator
from tests.benchmarks.load import LOGIN, PASSWORD, PORT, Cost, cost_of, devices, names, payload, send_all
from tests.benchmarks.table import Line

DEVICES, LATENCY, AT_ONCE = 5_000, 0.1, 100
HTTPX_DEVICES = 500  # at 74 a second, 5,000 would take more than a minute
ENOUGH = 0.85


def measure() -> list[Line]:
    with run_simulator(sims=DEVICES, latency=LATENCY) as simulator:
        sims = names(simulator)
        bare = _measured(simulator, lambda: _bare_aiohttp(simulator.url, sims), DEVICES)
        ours = _measured(simulator, lambda: send_all(simulator, devices(sims), AT_ONCE), DEVICES, as_shipped=True)
        slow = _measured(simulator, lambda: _bare_httpx(simulator.url, sims[:HTTPX_DEVICES]), HTTPX_DEVICES)
    what = f"{DEVICES:,} commands at {LATENCY * 1000:.0f} ms, {AT_ONCE} at once"
    return [
        Line(what, str(ours), f"bare aiohttp {bare}", f"{ENOUGH:.0%} of it", ours.rate >= ENOUGH * bare.rate),
        Line(what, str(ours), f"bare httpx {slow}", "faster", ours.rate > slow.rate),
    ]


def _measured(
    simulator: Simulator, work: Callable[[], Awaitable[object]], commands: int, *, as_shipped: bool = False
) -> Cost:
    simulator.reset(sims=DEVICES, latency=LATENCY)
    cost = cost_of(work, commands, as_shipped=as_shipped)
    accepted = simulator.summary()["commands"]["to_sim"]
    if accepted != commands:
        raise RuntimeError(f"{accepted} commands were accepted, not {commands}: the figure would mean nothing")
    return cost


def _forms(sims: list[str]) -> Iterator[dict[str, str]]:
    return ({"Sim": sim, "Payload": payload(number), "DevicePort": str(PORT)} for number, sim in enumerate(sims))


async def _bare_aiohttp(url: str, sims: list[str]) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth(LOGIN, PASSWORD)}
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        forms = _forms(sims)

        async def work() -> None:
            for form in forms:
                async with session.post(f"{url}/v1/IpCommands", data=form) as response:
                    await response.json()

        await asyncio.gather(*[work() for _ in range(AT_ONCE)])


async def _bare_httpx(url: str, sims: list[str]) -> None:
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(auth=(LOGIN, PASSWORD), limits=limits, timeout=60) as client:
        forms = _forms(sims)

        async def work() -> None:
            for form in forms:
                (await client.post(f"{url}/v1/IpCommands", data=form)).json()

        await asyncio.gather(*[work() for _ in range(AT_ONCE)])
