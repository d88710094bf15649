"""How many requests may be under way at once, if nobody says how many the API serves. Plain arithmetic, no I/O.

This is CUBIC (https://www.rfc-editor.org/rfc/rfc9438.html), which decides how many packets a TCP connection keeps under
way: a limit that is refused falls by a part, comes back in a few seconds to where it was, stays there for a while, and
then looks beyond, ever faster. It needs no word from the API but "refused". It divides an account between processes
that know nothing of each other, because all grow alike, and whoever has more is refused more often.
"""

from __future__ import annotations

import msgspec

#: What is left of a limit that was refused.
KEPT = 0.8
#: How fast the limit grows: after so many seconds beside the last refused limit it is ``GROWTH * seconds ** 3`` away.
GROWTH = 0.3
#: Requests at once by which the limit grows in a second at least. A process with a small share catches up with this.
LEAST_GROWTH = 2.0
#: Most times the limit that a whole round of requests has used: growth waits for answers, however long they take.
A_ROUND = 3
#: Share of the limit with which a process begins beside others.
BESIDE_OTHERS = 1 / 8


class Started(msgspec.Struct, frozen=True, gc=False):
    """A request that leaves.

    :ivar at: when, in seconds
    :ivar limit: how many were allowed at once
    :ivar fell: how often the limit had fallen
    :ivar full: whether as many as allowed were under way; fewer say nothing about the limit
    """

    at: float
    limit: int
    fell: int
    full: bool


class Concurrency:
    """The number of requests that may be under way at once.

    :param most: where the limit begins, and what it never exceeds

    :ivar limit: the number now
    """

    __slots__ = (
        "_base",
        "_exact",
        "_fell",
        "_fell_full",
        "_grown_for",
        "_most",
        "_peak",
        "_ticked_at",
        "_until_peak",
        "limit",
    )

    def __init__(self, most: int) -> None:
        self._most = most
        self._exact = float(most)
        self._fell = 0
        self._fell_full = False  # whether the whole limit was used when it fell
        self._peak = 0.0  # the limit that was refused last; 0 if none was
        self._base = 0.0  # the limit right after the last fall
        self._until_peak = 0.0  # seconds from the last fall until the limit is back there
        self._grown_for = 0.0  # seconds since the last fall in which the whole limit was used
        self._ticked_at = 0.0
        self.limit = most

    def begin_beside_others(self) -> None:
        """Begin low, because others use the account; does nothing once a request was refused."""
        if not self._fell:
            self._set(self._most * BESIDE_OTHERS)

    def start(self, now: float, under_way: int) -> Started:
        """Return what is to be known of a request when its answer comes.

        :param now: in seconds
        :param under_way: requests, this one included
        """
        return Started(now, self.limit, self._fell, under_way >= self.limit)

    def served(self, request: Started, now: float) -> None:
        """Note a request that was not refused.

        :param now: in seconds
        """
        if not request.full or request.fell != self._fell or self.limit == self._most:
            return
        if not self._fell:  # nothing was refused yet: twice as many after each round
            self._set(self._exact + 1)
            return
        # Only the time in which the whole limit was used: an idle account proves nothing.
        self._grown_for += now - max(request.at, self._ticked_at)
        self._ticked_at = now
        curve = self._peak + GROWTH * (self._grown_for - self._until_peak) ** 3
        line = self._base + LEAST_GROWTH * self._grown_for
        self._set(min(max(self._exact, curve, line), A_ROUND * request.limit))

    def refused(self, request: Started, now: float, under_way: int) -> None:
        """Note a request that was refused.

        :param now: in seconds
        :param under_way: requests that are still under way, without this one
        """
        if request.fell == self._fell:
            self._fell += 1
            self._fell_full = under_way + 1 >= self.limit
            self._fall(self._exact, self._exact * KEPT, now)
        elif self._fell_full and under_way < self._peak:
            # One of many that left together: those that are under way still are what the API serves.
            self._fall(max(1.0, under_way), min(self._exact, max(1.0, under_way)), now)

    def _fall(self, peak: float, limit: float, now: float) -> None:
        self._set(limit)
        self._base, self._peak = self._exact, max(peak, self._exact)
        self._until_peak = ((self._peak - self._base) / GROWTH) ** (1 / 3)
        self._grown_for, self._ticked_at = 0.0, now

    def _set(self, limit: float) -> None:
        self._exact = min(max(1.0, limit), float(self._most))
        self.limit = int(self._exact)
