"""How many requests may be under way at once. Plain arithmetic, no I/O.

A process cannot know how many others use the account, nor always how many requests the API serves for it. It learns
from two things:

- A refusal (429). The limit falls by a part, comes back to nearly where it was, stays there for some seconds, and then
  looks beyond, ever faster. This is CUBIC (https://www.rfc-editor.org/rfc/rfc9438.html), which TCP uses, with a longer
  plateau: each look beyond costs a refusal, and at long latencies refusals cost more than they teach.
- The count of the account's requests at work, if the API says it in each reply. Then the limit changes without
  refusals: all processes grow alike while there is room, and give up a part when there is none. Whoever has more gives
  up a larger part, so they come to equal shares.
"""

from __future__ import annotations

import msgspec

#: Requests at once with which a process begins. Eight processes that start together do not fill an account.
BEGINS = 8
#: Requests at once that the API serves for an account, until it shows otherwise.
USUAL = 100
#: What is left of a limit that was refused.
KEPT = 0.8
#: Share of the refused limit to which it comes back, and seconds that this takes.
PLATEAU, BACK_AFTER = 0.97, 4.0
#: Seconds after a refusal when the limit looks beyond. It is then ``GROWTH * seconds ** 3`` above the plateau.
LOOK_AFTER, GROWTH = 6.0, 0.5
#: Requests at once by which the limit grows in a second at least. A process with a small share catches up with this.
LEAST_GROWTH = 0.8
#: Most times the limit that a whole round of requests has used: growth waits for answers, however long they take.
A_ROUND = 8

#: Share of the account's limit that processes use together. The rest lets newcomers in.
USED = 0.95
#: Up to this many requests at once a process may use the rest too.
SMALL = 3
#: Part of the free room that each process takes in a second, and the room that it assumes at least.
TAKEN, LEAST_ROOM = 0.8, 5.0
#: Most times its own share of the free room that a process takes with one answer.
AT_ONCE = 1.5
#: Part of its limit that a process gives up if there is no room: so many times its share of the account.
GIVEN = 0.2
#: Seconds between two such falls, in which the count must show the first.
REST = 0.05
#: Seconds for which a refused number of all requests is believed to be the most; then it grows as ``FORGOTTEN`` says.
BELIEVED, FORGOTTEN = 20.0, 0.02


class Started(msgspec.Struct, frozen=True, gc=False):
    """A request that leaves.

    :ivar at: when, in seconds
    :ivar limit: how many were allowed at once
    :ivar fell: how often the limit had fallen
    :ivar under_way: requests of this process that were under way, this one included
    """

    at: float
    limit: int
    fell: int
    under_way: int

    @property
    def full(self) -> bool:
        """Whether as many as allowed were under way; fewer say nothing about the limit."""
        return self.under_way >= self.limit

    def was_alone(self, under_way: int, at_work: int | None) -> bool:
        """Return whether all requests that the API had at work were this process's.

        :param under_way: requests of this process when the answer came, this one included. While answers wait to be
            read, these are fewer than the API had
        :param at_work: requests of the account that the API had; ``None``: it does not say
        """
        return at_work is not None and at_work <= max(self.under_way, under_way)


class Ceiling:
    """How many requests the API serves for the account at once, as far as the count in its replies shows.

    :param presumed: the number until the API shows another one
    """

    __slots__ = ("_known", "_presumed", "_refused_at")

    def __init__(self, presumed: int) -> None:
        self._presumed = self._known = float(presumed)
        self._refused_at = float("-inf")

    def at(self, now: float) -> float:
        """Return the number.

        :param now: in seconds
        """
        forgotten = now - self._refused_at - BELIEVED
        if forgotten <= 0:
            return self._known
        return min(self._presumed, self._known + FORGOTTEN * forgotten**3)

    def served(self, at_work: int, now: float) -> None:
        """Note that so many were at work together. A few too many may be some that are being refused just then."""
        if at_work > self.at(now) * (2 - USED):
            self._known = at_work / USED + 1
            self._presumed = max(self._presumed, self._known)

    def refused(self, at_work: int, now: float) -> None:
        """Note that so many were one too many."""
        self._known, self._refused_at = max(1.0, min(self.at(now), at_work - 1)), now


class Concurrency:
    """The number of requests that may be under way at once.

    :param most: the number is never larger

    :ivar limit: the number now
    :ivar in_vain: how many requests were refused one after the other while no more than one was allowed
    """

    __slots__ = (
        "_base",
        "_ceiling",
        "_exact",
        "_fell",
        "_fell_full",
        "_grown_for",
        "_most",
        "_peak",
        "_step",
        "_ticked_at",
        "in_vain",
        "limit",
    )

    def __init__(self, most: int) -> None:
        self._most = most
        self._ceiling = Ceiling(max(most, USUAL))
        self._fell = 0
        self._fell_full = False  # whether the whole limit was used when it fell
        self._peak = 0.0  # the limit that was refused last; 0 if none was
        self._base = 0.0  # the limit right after the last refusal
        self._grown_for = 0.0  # seconds since the last refusal in which the whole limit was used
        self._step = 1.0  # most that the next answer may add
        self._ticked_at = 0.0
        self.in_vain = 0
        self._set(BEGINS)

    def start(self, now: float, under_way: int) -> Started:
        """Return what is to be known of a request when its answer comes.

        :param now: in seconds
        :param under_way: requests, this one included
        """
        return Started(now, self.limit, self._fell, under_way)

    def served(self, request: Started, now: float, under_way: int, at_work: int | None) -> None:
        """Note a request that was not refused.

        :param now: in seconds
        :param under_way: requests of this process, this one included
        :param at_work: requests of the account that the API serves, this one included; ``None``: it does not say
        """
        self.in_vain = 0
        if not request.full:
            return
        if at_work is None:
            self._grow_blindly(request, now)
        elif request.was_alone(under_way, at_work):
            self._grow_alone(request, now, under_way)
        else:
            self._ceiling.served(at_work, now)
            self._share(request, now, under_way, at_work)

    def refused(self, request: Started, now: float, under_way: int, at_work: int | None) -> None:
        """Note a request that was refused.

        :param now: in seconds
        :param under_way: requests of this process that are still under way, without this one
        :param at_work: requests of the account that the API had, this one included; ``None``: it does not say
        """
        if at_work is not None and at_work > under_way:
            self._ceiling.refused(at_work, now)
        if request.fell == self._fell:
            if self.limit == 1:
                self.in_vain += 1
            self._fell += 1
            self._fell_full = under_way + 1 >= self.limit
            limit = self._exact * KEPT
            if at_work is not None and request.was_alone(under_way + 1, at_work):
                # Alone it knows how many fit. With others there, only giving up a part makes room for them.
                limit = min(self._exact, max(limit, at_work - 1))
            self._fall(self._exact, limit, now)
        elif self._fell_full and under_way < self._peak:
            # One of many that left together: those that are under way still are what the API serves.
            self._fall(max(1.0, under_way), min(self._exact, max(1.0, under_way)), now)

    def _grow_blindly(self, request: Started, now: float) -> None:
        """Grow as long as nothing is refused."""
        if request.fell != self._fell or self.limit == self._most:
            return
        if not self._peak:  # nothing was refused yet: twice as many after each round
            self._set(self._exact + 1)
            return
        # Only the time in which the whole limit was used: an idle account proves nothing.
        self._grown_for += self._since(request, now)
        plateau = max(self._base, min(self._peak - 1, PLATEAU * self._peak))
        if self._grown_for < BACK_AFTER:
            curve = plateau - (plateau - self._base) * (1 - self._grown_for / BACK_AFTER) ** 3
        else:
            curve = plateau + GROWTH * max(0.0, self._grown_for - LOOK_AFTER) ** 3
        wanted = max(self._exact, curve, self._base + LEAST_GROWTH * self._grown_for)
        if wanted > self._exact + self._step:  # answers that take long are few: each may add twice as much
            wanted = self._exact + self._step
            self._step *= 2
        self._set(min(wanted, max(self._exact, A_ROUND * request.limit)))

    def _grow_alone(self, request: Started, now: float, under_way: int) -> None:
        """Grow until the account is full."""
        if request.fell != self._fell or self.limit == self._most:
            return
        if not self._peak and request.limit == self.limit:  # a whole round was served, and nobody else is there
            self._set(self._most)
            return
        room = self._ceiling.at(now) - under_way
        if room > 0:
            self._set(self._exact + room * min(1.0, TAKEN * self._since(request, now)))
        else:
            self._grow_blindly(request, now)

    def _share(self, request: Started, now: float, under_way: int, at_work: int) -> None:
        """Grow into the room that all leave free, or make room for others."""
        small = self._exact < SMALL
        room = (1 if small else USED) * self._ceiling.at(now) - at_work
        share = under_way / at_work
        if room >= 0:
            if under_way >= self.limit:
                room = max(room, LEAST_ROOM)
                since = min(1.0, self._since(request, now))
                self._set(self._exact + min(room * TAKEN * since, max(1.0, AT_ONCE * share * room)))
        elif not small and under_way <= self.limit and now >= self._ticked_at + REST:
            self._fell += 1
            self._ticked_at = now
            self._set(max(SMALL, self._exact * (1 - GIVEN * share)))

    def _since(self, request: Started, now: float) -> float:
        """Return the seconds since the last answer that counted, or since the request left, whichever are fewer."""
        since, self._ticked_at = now - max(request.at, self._ticked_at), now
        return since

    def _fall(self, peak: float, limit: float, now: float) -> None:
        self._set(limit)
        self._base, self._peak = self._exact, max(peak, self._exact)
        self._grown_for, self._step, self._ticked_at = 0.0, 1.0, now

    def _set(self, limit: float) -> None:
        self._exact = min(max(1.0, limit), float(self._most))
        self.limit = int(self._exact)
