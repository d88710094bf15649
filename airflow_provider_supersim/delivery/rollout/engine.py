"""A rollout: waves, each sent, waited for and judged before the next.

A rollout can be left at any step, and another process continues it: what it knows is in the ledger.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import pairwise

import msgspec

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.delivery.background import in_background
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.job import NotNow
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.once.reconcile import LAG
from airflow_provider_supersim.delivery.rollout.gates import Evidence, GateRule
from airflow_provider_supersim.delivery.rollout.overview import Overview
from airflow_provider_supersim.delivery.rollout.reasons import (
    Hold,
    Holds,
    NextAttempt,
    Reason,
    StatusesOpen,
    WindowHold,
)
from airflow_provider_supersim.delivery.rollout.statuses import Statuses
from airflow_provider_supersim.delivery.rollout.steps import End, LeftOut, RolloutState, Step, Wait
from airflow_provider_supersim.delivery.rollout.waves import Wave, wave_ends
from airflow_provider_supersim.delivery.rollout.window import Window
from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.delivery.state.states import ATTEMPTED_AGAIN, LOST, UNSENT, State
from airflow_provider_supersim.delivery.waiting.watcher import Watcher
from airflow_provider_supersim.words import count, duration

log = logging.getLogger(__name__)


class Rules(msgspec.Struct, frozen=True):
    """How a rollout goes.

    :ivar waves: how far each wave reaches, see :func:`~airflow_provider_supersim.delivery.rollout.waves.wave_ends`
    :ivar gate: what must hold after a wave, so that the next one leaves
    :ivar attempts: maximum number of commands to one device whose command fails, the first included
    :ivar attempt_delay: seconds between two attempts of a wave
    :ivar wave_timeout: seconds to wait for the final statuses of a wave
    :ivar window: the hours in which commands may leave; ``None`` for any time
    """

    waves: Sequence[int | str]
    gate: Sequence[GateRule]
    attempts: int
    attempt_delay: float
    wave_timeout: float
    window: Window | None


class Rollout:
    """Takes a rollout as far as it goes without waiting. Make one for each process that continues it.

    :param ledger: its working set holds the devices, in an order that is the same in every try
    :param client: for the account, open
    :param watcher: reads the statuses; it may be shared with others that wait for the same account
    :param concurrency: maximum number of requests under way at once
    :param fresh: a new try begins; otherwise one continues that was waiting
    :param poll_interval: seconds between two looks at statuses that could not be read
    :param holds: what else than the window may hold commands back
    :param lag: seconds for which the API's list may not yet show a command that was accepted
    :raises JournalError: the ledger holds a state that this version cannot read

    :ivar overview: says how far it is
    """

    def __init__(
        self,
        ledger: Ledger,
        rules: Rules,
        *,
        client: AsyncSuperSimClient,
        watcher: Watcher,
        concurrency: int,
        fresh: bool,
        poll_interval: float = 5.0,
        holds: Sequence[Hold] = (),
        lag: float = LAG,
    ) -> None:
        self._ledger = ledger
        self._rules = rules
        self._lag = lag
        try:
            self._state = RolloutState.read(ledger.state, now=time.time(), fresh=fresh)
        except msgspec.ValidationError as error:
            raise ledger.unreadable(f"the state of the rollout is damaged: {error}") from error
        window = [WindowHold(rules.window, self._state.try_began)] if rules.window else []
        self._holds = Holds([*holds, *window])
        self._dispatcher = Dispatcher(client, ledger, concurrency=concurrency, lag=lag, may_leave=self._may_leave)
        self._statuses = Statuses(ledger, client, watcher, poll_interval)
        devices = len(ledger.working_set)
        self._all = self._positions(0, devices)
        ends = wave_ends(rules.waves, devices)
        self._waves = [Wave(number, self._positions(*pair)) for number, pair in enumerate(pairwise([0, *ends]), 1)]
        self.overview = Overview(ledger, self._state, self._waves, self._all)

    async def advance(self) -> Wait | End:
        """Send, look and judge until there is something to wait for, or the end."""
        self._note(self._state.step)
        await self.overview.set_others_apart()
        so_far = Counts()
        for wave in self._waves:
            # A Fleet may grow meanwhile, at any place: a wave that has passed can have new devices.
            under_way = wave.number > self._state.waves_passed or await self._is_pending(wave)
            self._state.wave = wave.number
            if under_way and (wait := await self._run_wave(wave)):
                return wait
            counts = Counts.build(await wave.devices.statuses())
            so_far.merge(counts)
            if not under_way:
                continue
            if halted := await self._broken_rule(Evidence(wave.number, counts, so_far, wave.devices)):
                return await self._end(halted=halted)
            if left_out := await self._left_out(wave):
                return await self._end(left_out=left_out)
            self._state.waves_passed = max(self._state.waves_passed, wave.number)
            await self._remember(self._state.step)
        return await self._end()

    async def look_once(self, error: BaseException) -> None:
        """Read the statuses that can still be read.

        :param error: what has ended the try
        """
        await self._statuses.last_look(self._all, after=error)

    def _positions(self, start: int, end: int) -> Positions:
        return Positions(
            self._ledger.working_set, start, end, clears=self._ledger.clears, attempts=self._rules.attempts
        )

    def _note(self, step: Step) -> None:
        """Hand the state to the ledger, which writes it with the next chunk."""
        self._state.step = step
        self._ledger.state = self._state.to_json()

    async def _remember(self, step: Step) -> None:
        """Write the state beside the ledger now."""
        self._note(step)
        await self._ledger.save_state()

    async def _run_wave(self, wave: Wave) -> Wait | None:
        """Send the wave, and again what failed; return what is to be waited for, if anything."""
        while True:
            lost, unsent = await self._count_lost(wave), await wave.devices.timezones(UNSENT)
            if lost:
                log.info(
                    "Recovering %s of the last try: looking them up (%s). Those not in the API's list are sent again",
                    count(lost, "command"),
                    duration(self._lag),
                )
            held = self._held_back(unsent)
            if (ready := _count_ready(unsent, held)) or lost:
                await self._send(wave, ready, self._lost_then_ready(wave))
                continue
            if later := _first_to_pass(held):
                return await self._wait(Step.HELD_BACK, [], later)
            if statuses := await self._open_statuses(wave):
                return statuses
            if len(self._held_back(unsent)) < len(held):  # a reason has passed meanwhile
                continue
            failed_ones = await wave.devices.timezones(ATTEMPTED_AGAIN)
            failed = _count_ready(failed_ones, self._held_back(failed_ones))
            if not failed:
                return None
            due = self._last_left(wave) + self._rules.attempt_delay
            if time.time() < due:
                return await self._wait(Step.BETWEEN_ATTEMPTS, [], NextAttempt(passes_at=due, devices=failed))
            await self._send(wave, failed, self._that_may_leave(wave.devices.devices(ATTEMPTED_AGAIN)))

    async def _send(self, wave: Wave, ready: int, devices: AsyncIterator[Device]) -> None:
        if ready:
            log.info("Wave %s of %s: sending to %s", wave.number, len(self._waves), count(ready, "device"))
        self._note(Step.SENDING)
        async with in_background(self._recall_what_is_held_back()):
            await self._dispatcher.send_stream(devices)
        self._state.last_left[wave.number] = time.time()
        await self._remember(Step.SENDING)

    async def _recall_what_is_held_back(self) -> None:
        """Take commands back that wait for their turn, as soon as there is a reason not to send them."""
        while True:
            await self._holds.changed()
            await self._dispatcher.recall(lambda one: self._holds.reason(one.timezone) is not None, "held back")

    def _may_leave(self, device: Device) -> None:
        if reason := self._holds.reason(device.timezone):
            raise NotNow(reason.sentence())

    def _held_back(self, timezones: Iterable[str | None]) -> dict[str | None, Reason]:
        """Return the timezones in which no command may leave now, each with the reason."""
        return {timezone: reason for timezone in timezones if (reason := self._holds.reason(timezone))}

    async def _lost_then_ready(self, wave: Wave) -> AsyncIterator[Device]:
        """Yield devices over whose command an earlier try died, and then those that may leave now."""
        if await self._count_lost(wave):
            async for device in wave.devices.devices(LOST):
                yield device
        async for device in self._that_may_leave(wave.devices.devices(UNSENT)):
            yield device

    async def _that_may_leave(self, devices: AsyncIterator[Device]) -> AsyncIterator[Device]:
        async for device in devices:
            if not self._holds.reason(device.timezone):
                yield device

    async def _open_statuses(self, wave: Wave) -> Wait | None:
        """Look at the statuses that are not final; return the wait for them, if there are any and time is left."""
        deadline = self._last_left(wave) + self._rules.wave_timeout
        await self._statuses.look(wave.devices, until=deadline)
        sids = await self._statuses.newest(wave.devices)
        if not sids or time.time() >= deadline:
            return None
        return await self._wait(Step.SETTLING, sids, StatusesOpen(passes_at=deadline, commands=len(sids)))

    async def _wait(self, step: Step, sids: list[str], why: Reason) -> Wait:
        if why.passes_at is None:
            raise RuntimeError(f"this does not pass by itself: {why.sentence()}")
        await self._remember(step)
        return Wait(sids, why.passes_at, why)

    async def _broken_rule(self, evidence: Evidence) -> str | None:
        """Return how a rule of the gate is broken; ``None`` if the gate stays open."""
        for rule in self._rules.gate:
            if broken := await rule.broken(evidence):
                return broken
        return None

    async def _left_out(self, wave: Wave) -> LeftOut | None:
        """Return which devices of the wave have had no turn in this try; ``None`` if all had theirs."""
        unsent = await wave.devices.timezones(UNSENT)
        return LeftOut(unsent.total(), list(self._held_back(unsent).values())) if unsent else None

    async def _end(self, *, halted: str | None = None, left_out: LeftOut | None = None) -> End:
        await self._statuses.look(self._all)  # a status that was overdue may be final by now
        await self._remember(Step.ENDED)
        return End(await self.overview.summary(halted=halted is not None), halted, left_out)

    async def _count_lost(self, wave: Wave) -> int:
        """Return over how many commands of the wave an earlier try died."""
        if not self._ledger.statuses[State.ABOUT_TO_SEND]:
            return 0
        return (await wave.devices.timezones(LOST)).total()

    async def _is_pending(self, wave: Wave) -> bool:
        return bool(await self._count_lost(wave) or await wave.devices.timezones(UNSENT))

    def _last_left(self, wave: Wave) -> float:
        """Return when the wave's last command left; if the try that sent it died, when this try began."""
        return self._state.last_left.get(wave.number, self._state.try_began)


def _count_ready(devices: Mapping[str | None, int], held: Mapping[str | None, Reason]) -> int:
    """Return how many devices may get a command now.

    :param devices: how many there are in each timezone
    :param held: the timezones in which no command may leave
    """
    return sum(number for timezone, number in devices.items() if timezone not in held)


def _first_to_pass(held: Mapping[str | None, Reason]) -> Reason | None:
    """Return the reason that is the first to pass by itself; ``None`` if none does."""
    passing = [(reason.passes_at, reason) for reason in held.values() if reason.passes_at is not None]
    return min(passing, key=lambda pair: pair[0])[1] if passing else None
