"""How a rollout is going, from the ledger and its working set: in counts, in causes, and device by device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.progress import Progress, summarise
from airflow_provider_supersim.delivery.rollout.report import Cause, Row, error_of
from airflow_provider_supersim.delivery.rollout.steps import RolloutState
from airflow_provider_supersim.delivery.rollout.waves import Wave
from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.delivery.state.states import ANY, MISSED, State, word


class Overview:
    """Says how far a rollout is, at any moment and at any end.

    :param state: the engine's, which it changes meanwhile
    :param everyone: all devices
    """

    def __init__(self, ledger: Ledger, state: RolloutState, waves: Sequence[Wave], everyone: Positions) -> None:
        self._ledger = ledger
        self._working_set = ledger.working_set
        self._state = state
        self._waves = waves
        self._everyone = everyone
        self._no_targets: Counter[str | None] | None = None  # states of SIMs in the ledger that are no targets any more

    async def set_others_apart(self) -> None:
        """Find out, once, what in the ledger is of SIMs that are no targets any more."""
        if self._no_targets is None:
            self._no_targets = self._ledger.statuses - await self._everyone.statuses()

    async def summary(self, *, halted: bool) -> dict[str, Any]:
        """Return what the task leaves in XCom, at any end.

        :param halted: whether a gate shut
        """
        return summarise(
            [Counts.build(await wave.devices.statuses()) for wave in self._waves],
            seconds=time.time() - self._state.began,
            commands=self.commands(),
            halted=halted,
        )

    def progress(self, *, rate: float | None) -> Progress:
        """Return how far the rollout is.

        :param rate: commands a second; ``None`` if it is not known
        """
        states = self._ledger.statuses - (self._no_targets or Counter())
        counts = Counts.build(states)
        counts.add(State.NOT_SENT, len(self._working_set) - counts.devices)
        return Progress(
            wave=self._state.wave,
            waves=len(self._waves),
            counts=counts,
            in_flight=states[State.ABOUT_TO_SEND],
            rate=rate,
        )

    def rows(self) -> Iterator[Row]:
        """Yield what became of each device."""
        return (Row.build(device, self._ledger.entry(device.sim)) for device in self._working_set.stream(ANY))

    def causes(self, most: int, named: int) -> list[Cause]:
        """Return why commands have not succeeded, the most frequent cause first.

        :param most: at most this many causes
        :param named: for each cause, at most this many devices by name
        """
        return [
            Cause(word(state), error_of(state, error), devices, self._working_set.labels(state, error, named))
            for state, error, devices in self._working_set.causes(MISSED, most)
        ]

    def commands(self) -> int:
        """Return how many commands the API has accepted, second attempts included."""
        return self._ledger.commands
