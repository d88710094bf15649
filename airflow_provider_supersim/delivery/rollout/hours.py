"""When the commands of one try may leave: the window, at the time of that try, in the timezone of each device."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from airflow_provider_supersim.delivery.rollout.window import Window


class Hours:
    """When the commands of one try may leave: in the window that was open when it began, or else in the next one.

    :param window: ``None`` for any time
    :param began: in seconds since 1970
    """

    def __init__(self, window: Window | None, began: float) -> None:
        self._window = window
        self._began = datetime.fromtimestamp(began, UTC)
        self._openings: dict[str | None, tuple[float, float]] = {}

    def opening(self, timezone: str | None) -> tuple[float, float]:
        """Return when it opens and closes for devices there, in seconds since 1970."""
        if self._window is None:
            return 0.0, float("inf")
        if timezone not in self._openings:
            opens, closes = self._window.opening(self._began, timezone)
            self._openings[timezone] = opens.timestamp(), closes.timestamp()
        return self._openings[timezone]

    def are_open(self, timezone: str | None) -> bool:
        """Return whether a command to a device there may leave now."""
        opens, closes = self.opening(timezone)
        return opens <= time.time() < closes

    def count_open(self, devices: Mapping[str | None, int]) -> int:
        """Return to how many devices a command may leave now.

        :param devices: how many there are in each timezone
        """
        return sum(count for timezone, count in devices.items() if self.are_open(timezone))
