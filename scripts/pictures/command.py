"""One command and its faults: what goes wrong, what the ledger says, what is sent, what the device gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from airflow_provider_supersim.api.auth import BasicAuth
from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import SuperSimError, Verdict
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest, Status
from airflow_provider_supersim.api.vendors import VENDORS
from airflow_provider_supersim.delivery.once.journal_format import CHUNK_UPGRADES, Chunk, decode
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.one_command import send_once
from airflow_provider_supersim.delivery.state.states import State
from airflow_provider_supersim.simulator import Simulator
from scripts.pictures import svg

SIM = "device-0001"
LAG = 0.2  # seconds; the real one is 30
POST = {"method": "POST", "path": "/v1/IpCommands", "count": 1}
STATES = (State.ABOUT_TO_SEND, State.NOT_SENT, State.REFUSED, *Status)


class Step(NamedTuple):
    """Something that happened.

    :ivar kind: ``ledger``, ``request``, ``verdict``, ``look``, ``death`` or ``try``
    :ivar what: the ledger's state, the reply's status, the verdict
    """

    kind: str
    what: str


class Story(NamedTuple):
    """What happened to one command.

    :ivar accepted: number of commands that the API accepted
    :ivar received: number of datagrams that the device took from its socket
    """

    title: str
    steps: list[Step]
    accepted: int
    received: int


class Killed(Exception):  # noqa: N818  # it takes the place of a signal
    """The process was killed."""


class _Store:
    """A ledger's store that notes the state of the one device in it."""

    place = "a dict"

    def __init__(self, note: Callable[[Step], None]) -> None:
        self._values: dict[str, Any] = {}
        self._note = note
        self.dead = False

    def get(self, key: str) -> Any | None:
        return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        if self.dead:
            return
        self._values[key] = value
        if "entries" in value:
            for entry in decode(value, Chunk, CHUNK_UPGRADES).entries.values():
                self._note(Step("ledger", entry.status))


class _Client(AsyncSuperSimClient):
    """A client that notes its requests and their verdicts."""

    note: Callable[[Step], None]
    die_after_post: Callable[[], None] = staticmethod(lambda: None)

    async def send(
        self, command: IpCommandRequest, *, may_leave: Callable[[], None] = lambda: None, **options: Any
    ) -> IpCommand:
        def leave() -> None:
            may_leave()
            self.note(Step("request", "POST"))

        try:
            accepted = await super().send(command, may_leave=leave, **options)
        except SuperSimError as error:
            self.note(Step("verdict", error.verdict.value))
            raise
        self.die_after_post()
        return accepted

    async def iter_ip_commands(self, **query: Any) -> AsyncIterator[IpCommand]:
        if "page_size" not in query:  # that one is read before anything is sent, to know what is there already
            self.note(Step("look", "list"))
        async for command in super().iter_ip_commands(**query):
            yield command


class _Player:
    """Plays one story.

    :param simulator: with a fresh world
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.steps: list[Step] = []
        self._state = ""  # of the ledger's one entry
        self._store = _Store(self._note)

    def _note(self, step: Step) -> None:
        if step.kind == "ledger":
            if step.what == self._state:
                return
            self._state = step.what
        if step.kind == "look" and self.steps[-1].kind == "look":
            return  # the number of look-ups depends on timing
        self.steps.append(step)

    def new_try(self) -> None:
        """Begin another try of the task."""
        self._note(Step("try", "next try"))

    def send(self, *, patience: float = 5, dies: bool = False) -> None:
        """Send as the operator does, and read the final status once.

        :param patience: seconds for which a request that was not processed is repeated; default 5, in production 120
        :param dies: kill the process as soon as the API has accepted the command
        """

        def die() -> None:
            self._note(Step("death", "killed"))
            self._store.dead = True
            raise Killed

        async def send() -> None:
            ledger = await Ledger.open(self._store, clears=0, restart=False)
            auth = BasicAuth(self.simulator.options()["account_sid"], "simulator")
            client = _Client(
                VENDORS["twilio"], auth, base_url=self.simulator.url, keep_trying=patience, wait_if_busy=patience
            )
            client.note = self._note
            if dies:
                client.die_after_post = die
            async with client:
                command, _ = await send_once(client, ledger, IpCommandRequest.build(SIM, "x", 4000), lag=LAG)
                self.simulator.advance(60)
                ledger.settle(await client.get_ip_command(str(command.sid)))
                await ledger.save_changed()

        with suppress(SuperSimError, Killed):
            asyncio.run(send())
        self._store.dead = False

    def told(self, title: str) -> Story:
        """Return the story, with what the simulator counted."""
        replies = iter([seen["status"] for seen in self.simulator.requests()["recent"] if seen["method"] == "POST"])
        steps = [Step(step.kind, str(next(replies))) if step.kind == "request" else step for step in self.steps]
        return Story(title, steps, len(self.simulator.commands(SIM)), len(self.simulator.datagrams(SIM)))


def _plain(player: _Player) -> None:
    player.send()


def _refused(player: _Player) -> None:
    player.simulator.update_sim(SIM, status="inactive")
    player.send()


def _fault(kind: str, **options: Any) -> Callable[[_Player], None]:
    def play(player: _Player) -> None:
        player.simulator.faults({"kind": kind, **POST, **options})
        player.send()

    return play


def _for_too_long(player: _Player) -> None:
    player.simulator.faults({"kind": "too_many_requests", **POST})
    player.send(patience=0)
    player.new_try()
    player.send()


def _death(player: _Player) -> None:
    player.send(dies=True)
    player.new_try()
    player.send()


def _device_off(player: _Player) -> None:
    player.simulator.set_behaviour(SIM, network="offline")
    player.send()
    player.simulator.set_behaviour(SIM, network="online")
    player.new_try()
    player.send()


STORIES: dict[str, Callable[[_Player], None]] = {
    "No fault": _plain,
    "The SIM is inactive": _refused,
    "Too many requests at once (429)": _fault("too_many_requests"),
    "429 for two minutes": _for_too_long,
    "503, not accepted": _fault("error_before", status=503),
    "503, but accepted": _fault("error_after", status=503),
    "The reply is lost": _fault("drop_after"),
    "The request is lost": _fault("drop_before"),
    "The reply cannot be read": _fault("garbage"),
    "The worker dies after the POST": _death,
    "The device is off, later on": _device_off,
}


def trace(simulator: Simulator) -> list[Story]:
    """Play every story."""
    told = []
    for title, play in STORIES.items():
        simulator.reset(sims=1)
        simulator.stop_clock()
        player = _Player(simulator)
        play(player)
        told.append(player.told(title))
    return told


_LOOKS = {
    State.ABOUT_TO_SEND: ("ledger", "about to send"),
    State.NOT_SENT: ("ledger", "not sent"),
    State.REFUSED: ("bad", "refused"),
    Status.QUEUED: ("ledger", "queued"),
    Status.SENT: ("good", "sent"),
    Status.FAILED: ("bad", "failed"),
    "list": ("plain", "look it up"),
    "killed": ("doubt", "killed"),
    "next try": ("doubt", "next try"),
}
_LOOKS_OF_VERDICTS = {
    Verdict.REFUSED.value: ("plain", "refused"),
    Verdict.TRY_AGAIN.value: ("plain", "try again"),
    Verdict.UNKNOWN.value: ("doubt", "unknown"),
}


def _look(step: Step) -> tuple[str, str]:
    if step.kind == "request":
        return "plain", f"POST: {step.what}" if step.what != "0" else "POST: cut"
    return (_LOOKS_OF_VERDICTS if step.kind == "verdict" else _LOOKS)[step.what]


_LABEL, _BOX, _GAP, _LINE = 208.0, 84.0, 13.0, 31.0


def draw(stories: list[Story]) -> str:
    """Return the picture: a line of boxes for each story, and one more for each further try."""
    lines = [(story, _tries(story.steps)) for story in stories]
    result = _LABEL + max(len(steps) for _, tries in lines for steps in tries) * (_BOX + _GAP) + 6
    parts = [
        svg.text(12, 22, "what happens", bold=True),
        svg.text(_LABEL, 22, "what the task does, and what the ledger says (grey, green, red)", bold=True),
        svg.text(result, 22, "the device got", bold=True),
    ]
    y = 36.0
    for story, tries in lines:
        parts.append(svg.text(12, y + 16, story.title))
        times = {0: "nothing", 1: "one command"}.get(story.received, f"{story.received} commands")
        parts.append(svg.text(result, y + 16, times))
        for steps in tries:
            parts += _line(y, steps)
            y += _LINE
    return svg.picture(result + 96, y + 6, parts)


def _tries(steps: list[Step]) -> list[list[Step]]:
    """Cut the steps where another try begins."""
    tries: list[list[Step]] = [[]]
    for step in steps:
        if step.kind == "try":
            tries.append([])
        tries[-1].append(step)
    return tries


def _line(y: float, steps: list[Step]) -> Iterator[str]:
    for place, step in enumerate(steps):
        x = _LABEL + place * (_BOX + _GAP)
        kind, words = _look(step)
        if place:
            yield svg.arrow(x - _GAP + 1, y + 12, _GAP - 3)
        yield svg.box(x, y, (_BOX, 24), kind=kind, words=words)
