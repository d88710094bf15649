"""Requests to the vendors' API: those in progress, counts by outcome, and the last few hundred in full."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

KEPT = 500
"""Number of requests that are kept in full."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came, without its secrets.

    :param status: status of the reply; 0: there was no reply.
    """

    at: float
    vendor: str
    method: str
    path: str
    route: str
    query: dict[str, str]
    form: dict[str, str]
    status: int
    fault: str | None


class Traffic:
    """Counts requests to the vendors' API. The control plane is not traffic."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.forget()

    def forget(self) -> None:
        """Start counting again from zero; requests in progress stay counted."""
        self.counts: Counter[tuple[str, str, int]] = Counter()
        self.recent: deque[SeenRequest] = deque(maxlen=KEPT)
        self.highest_concurrency = self.in_flight

    def enter(self) -> None:
        """Count a request that begins."""
        self.in_flight += 1
        self.highest_concurrency = max(self.highest_concurrency, self.in_flight)

    def leave(self) -> None:
        """Count a request that ends."""
        self.in_flight -= 1

    def note(self, request: SeenRequest) -> None:
        """Remember how a request was answered."""
        self.counts[request.method, request.route, request.status] += 1
        self.recent.append(request)

    def total(self, *, route: str | None = None, status: int | None = None) -> int:
        """Return the number of requests with a route and a status (None: any)."""
        return sum(
            number
            for (_, its_route, its_status), number in self.counts.items()
            if route in (None, its_route) and status in (None, its_status)
        )

    def by_outcome(self) -> list[dict[str, Any]]:
        """Return the number of requests for each method, route and status."""
        return [
            {"method": method, "route": route, "status": status, "count": number}
            for (method, route, status), number in sorted(self.counts.items())
        ]
