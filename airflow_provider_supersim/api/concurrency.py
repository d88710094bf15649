"""How many requests to have under way at once: found from which of them the API refuses. No I/O, no clock.

A search as BIC-TCP makes it. Halve until nothing is refused; then halve the gap between the most that was served and
the least that was refused. Once they are neighbours, stay, and look beyond now and then, for a limit may be raised or
others may stop using the account. Each look that is refused doubles the time to the next.

Plain "a 429 halves, calm adds one" would swing between a half and all of the limit, at three quarters of what the API
allows, and is refused once in each swing.
"""

from __future__ import annotations

#: Answers by which a number is judged: at least these, and at least a round of all that are under way.
ENOUGH = 16
#: Answers before a look beyond; with one to three refusals a look, at most about one request in a hundred is refused.
HOLD = 256
LONGEST_HOLD = 32 * HOLD


class Concurrency:
    """The number of requests that may be under way at once.

    :param most: where it begins, and what it never exceeds

    :ivar limit: the number now
    :ivar era: counts its changes; a request belongs to the era in which it began
    """

    __slots__ = ("_answers", "_hold", "_most", "_refused", "_served", "_step", "era", "limit")

    def __init__(self, most: int) -> None:
        self._most = most
        self._served = 0  # the most that was served in full, 0 where none is known
        self._refused: int | None = None  # the least of which some were refused
        self._answers = 0
        self._hold = HOLD
        self._step = 1
        self.era = 0
        self.limit = most

    def answered(self, era: int) -> None:
        """Note that a request was not refused that began when as many as allowed were under way."""
        if era != self.era or self.limit == self._most:
            return
        self._answers += 1
        if self._answers < max(ENOUGH, self.limit):
            return
        self._served = self.limit
        if self._refused is None:  # looking beyond, and nothing in the way
            self._step, self._hold = 2 * self._step, HOLD
            self._change(self.limit + self._step)
        elif self._refused - self.limit > 1:
            self._change((self.limit + self._refused) // 2)
        elif self._answers >= self._hold:
            self._refused, self._step = None, 1
            self._change(self.limit + 1)

    def refused(self, era: int) -> None:
        """Note that a request was refused. Those of an earlier era say nothing new."""
        if era != self.era:
            return
        if self._refused is None and 0 < self._served < self.limit:  # a look beyond
            self._hold = min(2 * self._hold, LONGEST_HOLD)
        self._refused = self.limit
        if 0 < self._served < self.limit:
            self._change(self._served)
        else:
            # What was served is not any more: by a little, perhaps; if a little less does not help, by much.
            self._change(self.limit - max(1, self.limit // 8) if self._served else self.limit // 2)
            self._served = 0

    def _change(self, limit: int) -> None:
        self.limit = max(1, min(limit, self._most))
        self._answers = 0
        self.era += 1
