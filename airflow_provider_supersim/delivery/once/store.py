"""Where a ledger is kept, as the ledger sees it. What Airflow offers for it is in :mod:`..ledgers`."""

from __future__ import annotations

from typing import Any, Protocol


class Store(Protocol):
    """Where a ledger is kept: small JSON values under names. The methods block; they are called in a thread."""

    def get(self, key: str) -> Any | None:
        """Return the value, or ``None`` where there is none."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite the value, whole or not at all."""


class NoStore:
    """For want of a place: the ledger lives in its process, protects within one try, and dies with it."""

    def get(self, key: str) -> Any | None:
        """Return ``None``: nothing is kept."""

    def set(self, key: str, value: Any) -> None:
        """Keep nothing."""
