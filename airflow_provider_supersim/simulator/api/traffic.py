"""What came in: requests in flight, counts by outcome, and the last few hundred in full."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

KEPT = 500
"""Requests that are kept in full."""


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came, without what must stay secret.

    :param status: of the reply; 0: none was given.
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
        """Start counting anew; what is in flight stays in flight."""
        self.counts: Counter[tuple[str, str, int]] = Counter()
        self.recent: deque[SeenRequest] = deque(maxlen=KEPT)
        self.highest_concurrency = self.in_flight

    def enter(self) -> None:
        """Count a request that has come in."""
        self.in_flight += 1
        self.highest_concurrency = max(self.highest_concurrency, self.in_flight)

    def leave(self) -> None:
        """Count a request that is over."""
        self.in_flight -= 1

    def note(self, request: SeenRequest) -> None:
        """Remember how a request was answered."""
        self.counts[request.method, request.route, request.status] += 1
        self.recent.append(request)

    def total(self, *, route: str | None = None, status: int | None = None) -> int:
        """Return how many requests there were on a route, with a status (None: any)."""
        return sum(
            number
            for (_, its_route, its_status), number in self.counts.items()
            if route in (None, its_route) and status in (None, its_status)
        )

    def by_outcome(self) -> list[dict[str, Any]]:
        """Counts for each method, route and status."""
        return [
            {"method": method, "route": route, "status": status, "count": number}
            for (method, route, status), number in sorted(self.counts.items())
        ]
