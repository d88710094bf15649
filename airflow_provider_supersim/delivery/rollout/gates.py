"""The gate behind each wave: rules that say, from what became of the devices, whether the next wave may leave."""

from __future__ import annotations

from typing import Protocol

import msgspec

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.words import count


class Evidence(msgspec.Struct, frozen=True):
    """What a gate judges by.

    :ivar number: of the wave, from 1
    :ivar wave: counts of its devices
    :ivar so_far: counts of the devices of this wave and of all before it
    :ivar devices: of the wave, for a rule that has to look at single ones
    """

    number: int
    wave: Counts
    so_far: Counts
    devices: Positions


class GateRule(Protocol):
    """A rule of the gate."""

    async def broken(self, evidence: Evidence) -> str | None:
        """Return how the rule is broken, in one sentence without a full stop; ``None`` if the next wave may leave."""


class FailureShare(msgspec.Struct, frozen=True):
    """No more than a share of the devices may fail: in the wave, and in all waves so far.

    A device without a final status counts as failed: half a fleet that hangs is no reason to go on. A wave with fewer
    devices than the sample is judged as a whole: it is small because the next one depends on it.

    :ivar max_failure_ratio: the greatest share of failures that is still good enough, 0 to 1
    :ivar min_sample: the smallest number of devices from which a conclusion is drawn while others have still to come
    :raises ValueError: one of them is out of range
    """

    max_failure_ratio: float
    min_sample: int

    def __post_init__(self) -> None:
        ratio, sample = self.max_failure_ratio, self.min_sample
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise BadInputError(f"max_failure_ratio must be a number from 0 to 1, got {ratio!r}")
        if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
            raise BadInputError(f"min_sample must be a whole number, 1 or more, got {sample!r}")

    async def broken(self, evidence: Evidence) -> str | None:
        """Return how the share is exceeded, if it is."""
        judged = ((f"wave {evidence.number}", evidence.wave), ("all waves so far", evidence.so_far))
        for what, counts in judged:
            failed, tried = counts.failed + counts.unsettled, counts.devices - counts.not_sent
            if self.exceeded(failed, tried, of=counts.devices):
                return (
                    f"{failed:,} of {count(tried, 'device')} in {what} failed ({failed / tried:.1%}, limit "
                    f"{self.max_failure_ratio:.1%}): {counts.failed:,} refused or failed, {counts.unsettled:,} without "
                    "a final status"
                )
        return None

    def exceeded(self, failed: int, tried: int, *, of: int) -> bool:
        """Return whether too many failed.

        :param failed: how many devices failed
        :param tried: of how many: those with a final status, and those that had none in time
        :param of: how many devices there are, those included that have still to come
        """
        # A quotient, so that 29 of 100 are not more than 0.29.
        return tried >= min(self.min_sample, of) and failed > 0 and failed / tried > self.max_failure_ratio
