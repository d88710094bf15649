"""How many requests to have under way at once: found from which of them the API refuses. No I/O, no clock.

This is the search of BIC-TCP (https://en.wikipedia.org/wiki/BIC_TCP). Halve until nothing is refused. Then halve the
gap between the most that was served and the least that was refused. Once they are neighbours, stay there. Try one more
now and then, because a limit may be raised or others may stop using the account. Each refused trial doubles the time to
the next.

The plain rule "halve after a 429, otherwise add one" would swing between a half and all of the limit. It uses three
quarters of what the API allows, and is refused once in each swing.
"""

from __future__ import annotations

#: Answers that judge a limit: at least this many, and at least as many as the limit.
ENOUGH = 16
#: Answers before a trial of more. A trial costs one to three refusals, so about one request in a hundred is refused.
HOLD = 256
LONGEST_HOLD = 32 * HOLD


class Concurrency:
    """The number of requests that may be under way at once.

    A request that is under way when the limit changes began under the old limit. So each report says under which limit
    the request began, and reports about an old limit are ignored.

    :param most: where the limit begins, and what it never exceeds

    :ivar limit: the number now
    """

    __slots__ = ("_answers", "_hold", "_most", "_refused", "_served", "_step", "limit")

    def __init__(self, most: int) -> None:
        self._most = most
        self._served = 0  # the largest limit at which nothing was refused; 0 if none is known
        self._refused: int | None = None  # the smallest limit at which something was refused
        self._answers = 0
        self._hold = HOLD
        self._step = 1
        self.limit = most

    def served(self, limit: int) -> None:
        """Note a request that was not refused, and that began when as many as allowed were under way.

        :param limit: the limit under which it began
        """
        if limit != self.limit or limit == self._most:
            return
        self._answers += 1
        if self._answers < max(ENOUGH, limit):
            return
        self._served = limit
        if self._refused is None:  # a trial of more that goes well: the next step is twice as large
            self._step, self._hold = 2 * self._step, HOLD
            self._change(limit + self._step)
        elif self._refused - limit > 1:
            self._change((limit + self._refused) // 2)
        elif self._answers >= self._hold:
            self._refused, self._step = None, 1
            self._change(limit + 1)

    def refused(self, limit: int) -> None:
        """Note a request that was refused.

        :param limit: the limit under which it began
        """
        if limit != self.limit:
            return
        trial = 0 < self._served < limit
        if trial and self._refused is None:
            self._hold = min(2 * self._hold, LONGEST_HOLD)
        self._refused = limit
        if trial:
            self._change(self._served)
        elif self._served:  # what was served before is refused now: perhaps the API allows a little less
            self._served = 0
            self._change(limit - max(1, limit // 8))
        else:  # a little less did not help, or nothing is known
            self._change(limit // 2)

    def _change(self, limit: int) -> None:
        self.limit = max(1, min(limit, self._most))
        self._answers = 0
