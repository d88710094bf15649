"""What users would otherwise run: twilio-python in three ways, bare httpx, bare aiohttp. Each sends and reads replies.

They do less than we do: they do not check, write ahead, keep a pace or try again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from tests.benchmarks.load import LOGIN, PASSWORD, PORT, payload

HOME = "https://supersim.twilio.com"

# Without this, each logs every request once Airflow has set up logging in this process.
for name in ("httpx", "twilio", "urllib3"):
    logging.getLogger(name).setLevel(logging.ERROR)


async def bare_aiohttp(url: str, sims: Sequence[str], at_once: int) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth(LOGIN, PASSWORD)}
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        forms = _forms(sims)

        async def work() -> None:
            for form in forms:
                async with session.post(f"{url}/v1/IpCommands", data=form) as response:
                    await response.json()

        await asyncio.gather(*[work() for _ in range(at_once)])


async def bare_httpx(url: str, sims: Sequence[str], at_once: int) -> None:
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(auth=(LOGIN, PASSWORD), limits=limits, timeout=60) as client:
        forms = _forms(sims)

        async def work() -> None:
            for form in forms:
                (await client.post(f"{url}/v1/IpCommands", data=form)).json()

        await asyncio.gather(*[work() for _ in range(at_once)])


async def twilio_async(url: str, sims: Sequence[str], at_once: int) -> None:
    async with _twilio_async(url) as client:
        numbered = enumerate(sims)

        async def work() -> None:
            for number, sim in numbered:
                await client.supersim.v1.ip_commands.create_async(sim=sim, payload=payload(number), device_port=PORT)

        await asyncio.gather(*[work() for _ in range(at_once)])


async def twilio_threads(url: str, sims: Sequence[str], at_once: int) -> None:
    client = Client(LOGIN, PASSWORD, http_client=_TwilioHere(url))
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda one: _create(client, *one), enumerate(sims)))


async def twilio_loop(url: str, sims: Sequence[str], at_once: int) -> None:  # one at a time
    client = Client(LOGIN, PASSWORD, http_client=_TwilioHere(url))
    for number, sim in enumerate(sims):
        _create(client, number, sim)


def _create(client: Client, number: int, sim: str) -> None:
    client.supersim.v1.ip_commands.create(sim=sim, payload=payload(number), device_port=PORT)


def _forms(sims: Sequence[str]) -> Iterator[dict[str, str]]:
    return ({"Sim": sim, "Payload": payload(number), "DevicePort": str(PORT)} for number, sim in enumerate(sims))


class _TwilioHere(TwilioHttpClient):
    """Send twilio-python's requests to the simulator."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        return super().request(method, url.replace(HOME, self._url), *arguments, **options)


class _AsyncTwilioHere(AsyncTwilioHttpClient):
    def __init__(self, url: str) -> None:
        super().__init__(pool_connections=True)
        self._url = url

    async def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        return await super().request(method, url.replace(HOME, self._url), *arguments, **options)


@asynccontextmanager
async def _twilio_async(url: str) -> AsyncIterator[Client]:
    async with _AsyncTwilioHere(url) as http:
        yield Client(LOGIN, PASSWORD, http_client=http)
