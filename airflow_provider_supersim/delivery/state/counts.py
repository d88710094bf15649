"""How many devices are in which state."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from airflow_provider_supersim.delivery.state.states import facts


class Counts(msgspec.Struct):
    """How many devices there are, and what each is counted as.

    The fields but ``devices`` are the values of
    :class:`~airflow_provider_supersim.delivery.state.states.CountedAs`.

    :ivar unsettled: the API has, or may have, accepted their command; it has no final status yet
    """

    devices: int = 0
    sent: int = 0
    failed: int = 0
    unsettled: int = 0
    not_sent: int = 0

    @classmethod
    def build(cls, states: Mapping[str | None, int]) -> Counts:
        """Count devices.

        :param states: how many devices are in each state; ``None`` for those without an entry
        """
        counts = cls()
        for state, devices in states.items():
            counts.add(state, devices)
        return counts

    def add(self, state: str | None, devices: int = 1) -> None:
        """Count devices that are in this state."""
        counted = facts(state).counted.value
        self.devices += devices
        setattr(self, counted, getattr(self, counted) + devices)

    def merge(self, other: Counts) -> None:
        """Count the devices of ``other`` too."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))
