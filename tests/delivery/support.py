"""What these tests share: devices, clients, stores, and a rollout that runs as in a task, without Airflow."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from airflow_provider_supersim.api.auth import BasicAuth, ClientCredentialsAuth
from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.api.vendors import VENDORS
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.engine import Rollout, Rules
from airflow_provider_supersim.delivery.rollout.reasons import Hold
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.state.device import Device, Entry
from airflow_provider_supersim.delivery.waiting.watcher import Watcher
from airflow_provider_supersim.testing import Simulator

ACCOUNT = "AC" + 32 * "a"
POST = {"method": "POST", "path": "/v1/IpCommands"}


def device(sim: str, content: str = "apn=iot.example", **fields: Any) -> Device:
    return Device(sim=sim, request=IpCommandRequest.build(sim, content, 5683), **fields)


def devices(count: int, content: str = "apn=iot.example") -> list[Device]:
    """Return the first devices of the simulator's fleet, by name."""
    return [device(f"device-{number:04d}", content) for number in range(1, count + 1)]


def every_fault(count: int) -> list[dict[str, Any]]:
    """Faults of every kind for so many devices, of which about a third meet one."""
    return [
        {"kind": "drop_after", "ratio": 0.05, **POST},
        {"kind": "error_before", "status": 503, "ratio": 0.05, **POST},
        {"kind": "error_after", "status": 503, "ratio": 0.05, **POST},
        # The server cuts the connection, so that on a busy machine too nothing is accepted after the client gave up.
        {"kind": "hang", "seconds": 0.4, "ratio": 0.03, **POST},
        {"kind": "garbage", "ratio": 0.02, **POST},
        # Bounded: if every fifth request were refused for ever, the pace would stay at one request at once.
        {"kind": "too_many_requests", "ratio": 0.2, "count": count // 20, **POST},
    ]


def open_client(
    url: str,
    *,
    kind: type[AsyncSuperSimClient] = AsyncSuperSimClient,
    vendor: str = "twilio",
    password: str = "simulator",
    **options: Any,
) -> AsyncSuperSimClient:
    """Return a client for the simulator, to be used in ``async with``."""
    auth = BasicAuth(ACCOUNT, password)
    if vendor == "kore":
        auth = ClientCredentialsAuth(f"{url}/api-services/v1/auth/token", "simulator", password, timeout=30)
    return kind(VENDORS[vendor], auth, base_url=url, **options)


def rules(**changes: Any) -> Rules:
    """Return rules with one wave, one attempt, and a gate that never halts."""
    plain = {"waves": ["100%"], "gate": (), "attempts": 1, "attempt_delay": 0.0, "wave_timeout": 0.0, "window": None}
    return Rules(**{**plain, **changes})


def rollout(
    client: AsyncSuperSimClient,
    ledger: Ledger,
    targets: Sequence[Device],
    how: Rules,
    *,
    fresh: bool = True,
    lag: float = 0.2,
    concurrency: int = 100,
    holds: Sequence[Hold] = (),
) -> Rollout:
    """The engine that a task runs, for these targets."""
    for target in targets:
        ledger.working_set.add(target, ledger.working_set.add_payload(target.request.payload))
    return Rollout(
        ledger,
        how,
        client=client,
        watcher=Watcher(lambda: nullcontext(client)),
        concurrency=concurrency,
        fresh=fresh,
        poll_interval=0.1,
        holds=holds,
        lag=lag,
    )


async def to_the_end(one: Rollout, wait: Callable[[Wait], Awaitable[None]]) -> End:
    while isinstance(step := await one.advance(), Wait):
        await wait(step)
    return step


def entries(ledger: Ledger) -> dict[str, Entry]:
    """Return the latest entry of each device in the ledger."""
    written = ledger.working_set._base.execute("SELECT sim FROM entry ORDER BY rowid")
    return {sim: ledger.entry(sim) for (sim,) in written.fetchall()}


AtPoint = Callable[[str], None]


def carry_on(_point: str) -> None:
    """Do nothing: the process lives."""


class KillableClient(AsyncSuperSimClient):
    """A client that calls ``at_point`` wherever a test may kill its process."""

    at_point: AtPoint = staticmethod(carry_on)

    async def send(self, command: IpCommandRequest, **options: Any) -> IpCommand:
        self.at_point("before a POST")
        accepted = await super().send(command, **options)
        self.at_point("between a POST and its record")
        return accepted

    async def iter_ip_commands(self, **query: Any) -> AsyncIterator[IpCommand]:
        self.at_point("looking up")
        async for command in super().iter_ip_commands(**query):
            self.at_point("reading what was found")
            yield command


class TextStore:
    """A store that keeps JSON text, as every real one does: only what is written can be read.

    :param at_point: called at each point where a process may die
    """

    place = "a dict of texts"

    def __init__(self, at_point: AtPoint = carry_on, texts: dict[str, str] | None = None) -> None:
        self.texts = {} if texts is None else texts
        self._at_point = at_point

    def get(self, key: str) -> Any | None:
        return json.loads(self.texts[key]) if key in self.texts else None

    def set(self, key: str, value: Any) -> None:
        self._at_point("before a write")
        self.texts[key] = json.dumps(value)
        assert json.loads(self.texts[key]) == value, "Airflow's state store takes JSON types alone, and no tuples"
        self._at_point("after a write")


class FileStore:
    """A store in a folder.

    :param at_point: called at each point where a process may die
    """

    def __init__(self, folder: Path, at_point: AtPoint = carry_on) -> None:
        self._folder = folder
        self.place = str(folder)
        self._at_point = at_point

    def get(self, key: str) -> Any | None:
        path = self._folder / key
        return json.loads(path.read_text()) if path.exists() else None

    def set(self, key: str, value: Any) -> None:
        self._at_point("before a write")
        half, text = self._folder / f"{key}.half", json.dumps(value)
        half.write_text(text[: len(text) // 2])
        self._at_point("in a write")
        half.write_text(text)
        half.replace(self._folder / key)
        self._at_point("after a write")


def commands_by_device(simulator: Simulator) -> Counter[str]:
    """Return how many commands the API has accepted for each device, by name."""
    return Counter(command["sim_name"] for command in simulator.commands())


def once_each(targets: Sequence[Device]) -> Counter[str]:
    return Counter(one.sim for one in targets)
