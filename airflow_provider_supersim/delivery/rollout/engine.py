"""A rollout: waves, each sent, waited for and judged before the next.

A rollout can be left at any step and taken up again by another process: what it knows is in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import msgspec

from airflow_provider_supersim.delivery.once.dispatcher import LAG, Dispatcher, NotNow
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.progress import Progress, summarise
from airflow_provider_supersim.delivery.rollout.report import Row
from airflow_provider_supersim.delivery.rollout.waves import Gate, wave_ends
from airflow_provider_supersim.delivery.rollout.window import OpenHours, Window
from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.delivery.state.states import ANY, ATTEMPTED_AGAIN, LOST, MISSED, UNSENT, State
from airflow_provider_supersim.words import count

log = logging.getLogger(__name__)

#: Most commands that are waited for by name: their sids travel through Airflow's database. A wave ends when all are
#: settled, so a part may be waited for first: the newest, for these settle last. Then all are looked at.
WAITED_FOR = 5_000
#: Most commands whose statuses are asked for by name, forty megabytes of the watcher's memory. Where there are more,
#: the API's list is read first, of which nothing has to be kept.
LOOKED_AT = 100_000

#: Reads the statuses of some commands once, and tells the ledger of them.
Look = Callable[[list[str]], Awaitable[None]]


class Rules(msgspec.Struct, frozen=True):
    """How a rollout goes.

    :ivar waves: how far each wave reaches, see :func:`~airflow_provider_supersim.delivery.rollout.waves.wave_ends`
    :ivar attempts: most commands to one device whose command fails
    :ivar attempt_delay: seconds between two attempts of a wave
    :ivar wave_timeout: seconds to wait for the statuses of a wave
    """

    waves: Sequence[int | str]
    gate: Gate
    attempts: int
    attempt_delay: float
    wave_timeout: float
    window: Window | None


class Wait(msgspec.Struct, frozen=True):
    """Go on when these commands are settled, or at a time in seconds since 1970, whichever comes first.

    :ivar sids: of the :data:`WAITED_FOR` newest of the commands that are not settled
    """

    sids: list[str]
    until: float


class End(msgspec.Struct, frozen=True):
    """The rollout is over, for now or for good.

    :ivar summary: for XCom
    :ivar halted: why a gate shut, in one sentence
    :ivar closed: why commands were left unsent that the next try may send, in one sentence
    """

    summary: dict[str, Any]
    halted: str | None = None
    closed: str | None = None


class Rollout:
    """Takes a rollout as far as it goes without waiting. Make one for each process that takes it up.

    :param ledger: whose table holds the devices, in an order that is the same in every try
    :param dispatcher: makes the dispatcher, which is to ask the rollout whether a command may leave
    :param fresh: whether a new try begins; else one goes on that was waiting
    """

    def __init__(
        self,
        ledger: Ledger,
        rules: Rules,
        *,
        dispatcher: Callable[[Callable[[Device], None]], Dispatcher],
        look: Look,
        fresh: bool,
    ) -> None:
        self._ledger = ledger
        self._table = ledger.table
        self._rules = rules
        self._dispatcher = dispatcher(self._may_leave)
        self._look = look
        self._all = self._span(0, len(self._table))
        self._waves = [self._span(*ends) for ends in pairwise([0, *wave_ends(rules.waves, len(self._table))])]
        self._wave = 0
        self._others: Counter[str | None] | None = None
        notes = ledger.notes
        now = time.time()
        notes.setdefault("started", now)
        notes.setdefault("sent_until", {})
        if fresh or "try_started" not in notes:
            notes["try_started"] = now
        self._hours = OpenHours(rules.window, notes["try_started"])

    async def advance(self) -> Wait | End:
        """Send, look and judge until there is something to wait for, or the end."""
        await self._ledger.save_notes()
        if self._others is None:  # SIMs in the ledger that are no targets any more
            self._others = self._ledger.statuses - await self._all.statuses()
        so_far = Counts()
        for number, wave in enumerate(self._waves):
            self._wave = number
            passed = self._ledger.notes.get("waves_passed", 0)
            anew = number >= passed or await self._is_pending(wave)  # a fleet may grow meanwhile, in any place
            if anew and (wait := await self._run_wave(number, wave)):
                return wait
            counts = Counts.build(await wave.statuses())
            so_far.merge(counts)
            if not anew:
                continue
            if halted := self._gate(number, counts, so_far):
                return await self._end(halted=halted)
            if closed := await self._left_out(wave):
                return await self._end(closed=closed)
            self._ledger.notes["waves_passed"] = max(passed, number + 1)
            await self._ledger.save_notes()
        return await self._end()

    def progress(self, *, rate: float | None) -> Progress:
        """Return how far the rollout is.

        :param rate: commands a second
        """
        statuses = self._ledger.statuses - (self._others or Counter())
        counts = Counts.build(statuses)
        counts.add(State.NOT_SENT, len(self._table) - counts.devices)
        return Progress(
            wave=self._wave + 1,
            waves=len(self._waves),
            counts=counts,
            in_flight=statuses[State.ABOUT_TO_SEND],
            rate=rate,
        )

    def rows(self) -> Iterator[Row]:
        """Yield what became of each device."""
        return map(self._row, self._table.stream(ANY))

    def missed(self) -> Iterator[Row]:
        """Yield what became of each device that was not reached."""
        return map(self._row, self._table.stream(MISSED))

    def commands(self) -> int:
        """Return how many commands the API has accepted, second attempts included."""
        return self._ledger.commands

    def _row(self, device: Device) -> Row:
        return Row.build(device, self._ledger.entry(device.sim))

    def _span(self, start: int, end: int) -> Positions:
        return Positions(self._table, start, end, clears=self._ledger.clears, attempts=self._rules.attempts)

    async def _run_wave(self, number: int, wave: Positions) -> Wait | None:
        """Send the wave, and again what failed; return what is to be waited for, if anything."""
        while True:
            lost, unsent = await self._lost(wave), await wave.timezones(UNSENT)
            if lost:
                log.info(
                    "%s command(s) were being sent when the last try ended: looking them up in the API's list. Those "
                    "that it does not show within %.0f s were not accepted, and are sent again",
                    lost,
                    LAG,
                )
            opens = self._hours.next_opening(unsent)
            if (ready := self._hours.count_open(unsent)) or lost:
                await self._send(number, ready, self._ready(wave))
                continue
            if opens is not None:
                devices = count(self._hours.count_early(unsent), "device")
                log.info("Waiting for the window: %s, %s", self._hours.describe(unsent), devices)
                return Wait([], opens)
            if wait := await self._unsettled(number, wave):
                return wait
            again = self._hours.count_open(await wave.timezones(ATTEMPTED_AGAIN))
            if not again:
                return None
            due = self._sent_until(number) + self._rules.attempt_delay
            if time.time() < due:
                log.info("%s device(s) failed and get another attempt in %.0f s", again, due - time.time())
                return Wait([], due)
            await self._send(number, again, self._may_leave_now(wave.devices(ATTEMPTED_AGAIN)))

    async def _send(self, number: int, count: int, devices: AsyncIterator[Device]) -> None:
        if count:
            log.info("Wave %s of %s: sending to %s device(s)", number + 1, len(self._waves), count)
        await self._dispatcher.send_stream(devices)
        self._ledger.notes["sent_until"][str(number)] = time.time()
        await self._ledger.save_notes()

    async def _ready(self, wave: Positions) -> AsyncIterator[Device]:
        """Yield what an earlier try died over, which is looked up at any hour, then what may leave now."""
        if await self._lost(wave):
            async for device in wave.devices(LOST):
                yield device
        async for device in self._may_leave_now(wave.devices(UNSENT)):
            yield device

    async def _may_leave_now(self, devices: AsyncIterator[Device]) -> AsyncIterator[Device]:
        async for device in devices:
            if self._hours.is_open(device.timezone):
                yield device

    async def _unsettled(self, number: int, wave: Positions) -> Wait | None:
        deadline = self._sent_until(number) + self._rules.wave_timeout
        await self._look_at_open(wave)
        sids = await wave.open_sids(WAITED_FOR)
        return Wait(sids, deadline) if sids and time.time() < deadline else None

    async def _look_at_open(self, span: Positions) -> None:
        """Read the status of every command that is not settled."""
        sids = await span.open_sids(LOOKED_AT + 1)
        if len(sids) > LOOKED_AT:
            await self._dispatcher.read_list()
            # The list may lag and lack the newest, so these are asked for by name; the others it has just shown.
            sids = await span.open_sids(LOOKED_AT)
        if sids:
            await self._look(sids)
        await self._ledger.save_changed()

    def _gate(self, number: int, wave: Counts, so_far: Counts) -> str | None:
        """Return why the gate behind a wave shuts, ``None`` where it opens.

        A command without a final status counts as failed: half a fleet that hangs is no reason to go on.
        """
        for what, counts in ((f"wave {number + 1}", wave), ("all waves so far", so_far)):
            failed, reached = counts.failed + counts.unsettled, counts.devices - counts.not_sent
            if self._rules.gate.shut(failed, reached):
                return (
                    f"{failed} of {reached} devices in {what} failed ({counts.failed} refused or not reached, "
                    f"{counts.unsettled} without a final status), more than max_failure_ratio="
                    f"{self._rules.gate.max_failure_ratio:g} allows"
                )
        return None

    async def _left_out(self, wave: Positions) -> str | None:
        out = await wave.timezones(UNSENT)
        if not out:
            return None
        closed = datetime.fromtimestamp(max(self._hours.opening(zone).closes for zone in out), UTC)
        return (
            f"the window closed at {closed:%Y-%m-%d %H:%M:%S} UTC before {out.total()} devices of the wave had their "
            "turn"
        )

    async def _end(self, *, halted: str | None = None, closed: str | None = None) -> End:
        await self._look_at_open(self._all)  # what was overdue may have settled since
        summary = summarise(
            [Counts.build(await wave.statuses()) for wave in self._waves],
            duration=time.time() - self._ledger.notes["started"],
            commands=self.commands(),
            halted=halted is not None,
        )
        return End(summary, halted, closed)

    async def _lost(self, wave: Positions) -> int:
        """Return over how many commands an earlier try died."""
        return (await wave.timezones(LOST)).total() if self._ledger.statuses[State.ABOUT_TO_SEND] else 0

    async def _is_pending(self, wave: Positions) -> bool:
        return bool(await self._lost(wave) or await wave.timezones(UNSENT))

    def _sent_until(self, number: int) -> float:
        """When the wave's last command left; this try's start, where the one that sent it could not say."""
        notes = self._ledger.notes
        return float(notes["sent_until"].get(str(number), notes["try_started"]))

    def _may_leave(self, device: Device) -> None:
        if not self._hours.is_open(device.timezone):
            raise NotNow("outside the window")
