"""A rollout: waves, each sent, waited for and judged before the next.

A rollout can be left at any step and taken up again by another process: what it knows is in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from airflow_provider_supersim.api.models import Status
from airflow_provider_supersim.delivery.dispatch import Dispatcher, NotNow
from airflow_provider_supersim.delivery.ledger import ABOUT_TO_SEND, REFUSED, WITHDRAWN, Entry, Ledger
from airflow_provider_supersim.delivery.report import NOT_SENT, UNKNOWN, Counts, Progress, Row, summarise
from airflow_provider_supersim.delivery.targets import Device
from airflow_provider_supersim.delivery.waves import Gate, wave_ends
from airflow_provider_supersim.delivery.window import Window

log = logging.getLogger(__name__)

#: Reads the statuses of some commands once, and tells the ledger of them.
Look = Callable[[list[str]], Awaitable[None]]


class Rules(msgspec.Struct, frozen=True):
    """How a rollout goes.

    :ivar waves: how far each wave reaches, see :func:`~airflow_provider_supersim.delivery.waves.wave_ends`
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
    """Go on when these commands are settled, or at a time in seconds since 1970, whichever comes first."""

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

    :param dispatcher: makes the dispatcher, which is to ask the rollout whether a command may leave
    :param devices: in an order that is the same in every try
    :param fresh: whether a new try begins; else one goes on that was waiting
    """

    def __init__(
        self,
        ledger: Ledger,
        devices: Sequence[Device],
        rules: Rules,
        *,
        dispatcher: Callable[[Callable[[Device], None]], Dispatcher],
        look: Look,
        fresh: bool,
    ) -> None:
        self._ledger = ledger
        self._devices = devices
        self._rules = rules
        self._dispatcher = dispatcher(self._may_leave)
        self._look = look
        self._ends = wave_ends(rules.waves, len(devices))
        self._hours: dict[str | None, tuple[float, float]] = {}
        self._wave = 0
        notes = ledger.notes
        now = time.time()
        notes.setdefault("started", now)
        notes.setdefault("sent_until", {})
        if fresh or "try_started" not in notes:
            notes["try_started"] = now

    async def advance(self) -> Wait | End:
        """Send, look and judge until there is something to wait for, or the end."""
        await self._ledger.save_notes()
        for number, wave in enumerate(self._waves()):
            self._wave = number
            passed = self._ledger.notes.get("waves_passed", 0)
            if number < passed and not any(map(self._is_pending, wave)):  # a fleet may grow meanwhile, in any place
                continue
            if wait := await self._run_wave(number, wave):
                return wait
            if halted := self._gate(number, wave):
                return await self._end(halted=halted)
            if closed := self._left_out(wave):
                return await self._end(closed=closed)
            self._ledger.notes["waves_passed"] = max(passed, number + 1)
            await self._ledger.save_notes()
        return await self._end()

    def progress(self, *, rate: float | None) -> Progress:
        """Return how far the rollout is.

        :param rate: commands a second
        """
        counts = self._count(self._devices)
        return Progress(wave=self._wave + 1, waves=len(self._ends), counts=counts, rate=rate)

    def rows(self) -> Iterator[Row]:
        """Yield what became of each device."""
        for device in self._devices:
            yield _row(device, self._ledger.entries.get(device.sim))

    def commands(self) -> int:
        """Return how many commands the API has accepted, second attempts included."""
        entries = map(self._ledger.entries.get, (device.sim for device in self._devices))
        return sum((entry.sid is not None) + len(entry.earlier) for entry in entries if entry)

    def _waves(self) -> Iterator[Sequence[Device]]:
        start = 0
        for end in self._ends:
            yield self._devices[start:end]
            start = end

    async def _run_wave(self, number: int, wave: Sequence[Device]) -> Wait | None:
        """Send the wave, and again what failed; return what is to be waited for, if anything."""
        while True:
            pending = [device for device in wave if self._is_pending(device)]
            if ready := [device for device in pending if self._is_lost(device) or self._is_open(device)]:
                await self._send(number, ready)
                continue
            now = time.time()
            if early := [opens for device in pending if now < (opens := self._opening(device)[0])]:
                log.info("The window opens in %.0f s for %s device(s)", min(early) - now, len(early))
                return Wait([], min(early))
            if wait := await self._unsettled(number, wave):
                return wait
            again = [device for device in wave if self._may_try_again(device) and self._is_open(device)]
            if not again:
                return None
            due = self._sent_until(number) + self._rules.attempt_delay
            if time.time() < due:
                log.info("%s device(s) failed and get another attempt in %.0f s", len(again), due - time.time())
                return Wait([], due)
            await self._send(number, again)

    async def _send(self, number: int, devices: Sequence[Device]) -> None:
        log.info("Wave %s of %s: sending to %s device(s)", number + 1, len(self._ends), len(devices))
        await self._dispatcher.send(devices)
        self._ledger.notes["sent_until"][str(number)] = time.time()
        await self._ledger.save_notes()

    async def _unsettled(self, number: int, wave: Sequence[Device]) -> Wait | None:
        deadline = self._sent_until(number) + self._rules.wave_timeout
        if sids := self._open_sids(wave):
            await self._look(sids)
            await self._ledger.save_changed()
            if (sids := self._open_sids(wave)) and time.time() < deadline:
                return Wait(sids, deadline)
        return None

    def _gate(self, number: int, wave: Sequence[Device]) -> str | None:
        """Return why the gate behind a wave shuts, ``None`` where it opens.

        A command without a final status counts as failed: half a fleet that hangs is no reason to go on.
        """
        so_far = self._devices[: self._ends[number]]
        for what, devices in ((f"wave {number + 1}", wave), ("all waves so far", so_far)):
            counts = self._count(devices)
            failed, reached = counts.failed + counts.unsettled, counts.devices - counts.not_sent
            if self._rules.gate.shut(failed, reached):
                return (
                    f"{failed} of {reached} devices in {what} failed ({counts.failed} refused or not reached, "
                    f"{counts.unsettled} without a final status), more than max_failure_ratio="
                    f"{self._rules.gate.max_failure_ratio:g} allows"
                )
        return None

    def _left_out(self, wave: Sequence[Device]) -> str | None:
        out = [device for device in wave if self._is_pending(device)]
        if not out:
            return None
        closed = datetime.fromtimestamp(max(self._opening(device)[1] for device in out), UTC)
        return (
            f"the window closed at {closed:%Y-%m-%d %H:%M:%S} UTC before {len(out)} devices of the wave had their turn"
        )

    async def _end(self, *, halted: str | None = None, closed: str | None = None) -> End:
        if sids := self._open_sids(self._devices):  # what was overdue may have settled since
            await self._look(sids)
        await self._ledger.save_changed()
        summary = summarise(
            [self._count(wave) for wave in self._waves()],
            duration=time.time() - self._ledger.notes["started"],
            commands=self.commands(),
            halted=halted is not None,
        )
        return End(summary, halted, closed)

    def _count(self, devices: Sequence[Device]) -> Counts:
        counts = Counts()
        for device in devices:
            entry = self._ledger.entries.get(device.sim)
            counts.add(_report_status(entry))
        return counts

    def _is_pending(self, device: Device) -> bool:
        """Whether the device has still to get its first command since the task was last cleared."""
        entry = self._ledger.entries.get(device.sim)
        if entry is None or entry.status in (ABOUT_TO_SEND, WITHDRAWN):
            return True
        return entry.status in (REFUSED, Status.FAILED) and entry.clears < self._ledger.clears

    def _is_lost(self, device: Device) -> bool:
        """Whether an earlier try died over this command: it is looked up at any hour."""
        entry = self._ledger.entries.get(device.sim)
        return entry is not None and entry.status == ABOUT_TO_SEND

    def _may_try_again(self, device: Device) -> bool:
        entry = self._ledger.entries.get(device.sim)
        return entry is not None and entry.status == Status.FAILED and entry.attempt < self._rules.attempts

    def _open_sids(self, devices: Sequence[Device]) -> list[str]:
        entries = (self._ledger.entries.get(device.sim) for device in devices)
        return [str(entry.sid) for entry in entries if entry and entry.open]

    def _sent_until(self, number: int) -> float:
        """When the wave's last command left; this try's start, where the one that sent it could not say."""
        notes = self._ledger.notes
        return float(notes["sent_until"].get(str(number), notes["try_started"]))

    def _opening(self, device: Device) -> tuple[float, float]:
        """Return when the window that this try may use opens and closes for a device."""
        if self._rules.window is None:
            return 0.0, float("inf")
        if device.timezone not in self._hours:
            started = datetime.fromtimestamp(self._ledger.notes["try_started"], UTC)
            opens, closes = self._rules.window.opening(started, device.timezone)
            self._hours[device.timezone] = opens.timestamp(), closes.timestamp()
        return self._hours[device.timezone]

    def _is_open(self, device: Device) -> bool:
        opens, closes = self._opening(device)
        return opens <= time.time() < closes

    def _may_leave(self, device: Device) -> None:
        if not self._is_open(device):
            raise NotNow("outside the window")


def _report_status(entry: Entry | None) -> str:
    if entry is None or entry.status == WITHDRAWN:
        return NOT_SENT
    return UNKNOWN if entry.status == ABOUT_TO_SEND else entry.status


def _row(device: Device, entry: Entry | None) -> Row:
    if entry is None:
        return Row(sim=device.name or device.sim, sim_sid=device.sim_sid)
    return Row(
        sim=device.name or device.sim,
        sim_sid=entry.sim_sid or device.sim_sid,
        sid=entry.sid,
        attempt=len(entry.earlier) + int(entry.status != WITHDRAWN),
        status=_report_status(entry),
        sent_at=_iso(entry.sent_at),
        settled_at=_iso(entry.settled_at),
        error=entry.error or (NOT_REACHED if entry.status == Status.FAILED else None),
    )


NOT_REACHED = "not sent to the device, mostly because it was not attached to a network (83401)"


def _iso(seconds: int | None) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds is not None else None
