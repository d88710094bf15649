"""Where a ledger is kept, as the ledger sees it. The stores that Airflow offers are in ``runs/stores.py``."""

from __future__ import annotations

from typing import Any, Protocol


class Store(Protocol):
    """Keeps small JSON values under names. The methods block, so they are called in a thread."""

    @property
    def place(self) -> str:
        """Where the values are, in words for an error."""

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` if there is none.

        :raises JournalError: there is one that is not JSON
        """

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value, whole or not at all."""


class MemoryOnly:
    """No storage: kept in memory only. The ledger protects within one try, and is lost with its process."""

    place = "the memory of the task's process"

    def get(self, key: str) -> Any | None:
        """Return ``None``: nothing is kept."""

    def set(self, key: str, value: Any) -> None:
        """Keep nothing."""
