"""Processes that share an account, each with a :class:`Concurrency` of its own: a simulation, second by second.

The API serves so many requests at once and refuses those above at once. No process knows of the others.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from itertools import count

from airflow_provider_supersim.api.concurrency import Concurrency, Started

ROUND_TRIP = 0.003  # seconds; a refusal takes no longer
BACK_OFF = 0.25  # seconds, at most: a refused request comes again
SAMPLE = 0.5  # seconds between two looks at the limits


class Process:
    """Wants 100 requests under way from ``begins`` to ``ends``; its first request goes alone."""

    def __init__(self, *, begins: float = 0.0, ends: float = float("inf"), most: int = 100) -> None:
        self.concurrency = Concurrency(most)
        self.begins, self.ends = begins, ends
        self.under_way = self.backing_off = 0
        self.served = self.refused = 0


class Account:
    """Serves ``limit`` requests at once, each in ``latency`` seconds."""

    def __init__(self, limit: int, latency: float, *processes: Process, seed: int = 1) -> None:
        self.limit, self.latency, self.processes = limit, latency, processes
        self.now = 0.0
        self.in_flight = 0
        self.limits: list[list[int | None]] = []  # of each process, each half second; None: it does not run
        self.used: list[int] = []  # requests that are served, at the same times
        self._random = random.Random(seed)  # repeatable
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        for process in processes:
            self._at(process.begins, lambda process=process: self._begin(process))
        self._at(0.0, self._sample)

    def run(self, until: float) -> None:
        while self._events[0][0] < until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()
        self.now = until

    def refused_share(self) -> float:
        refused = sum(process.refused for process in self.processes)
        return refused / (refused + sum(process.served for process in self.processes))

    def used_share(self, since: float) -> float:
        used = self.used[round(since / SAMPLE) :]
        return sum(used) / len(used) / self.limit

    def longest_below_half_of_the_mean(self) -> float:
        longest, now = 0.0, [0.0] * len(self.processes)
        for limits in self.limits:
            running = [limit for limit in limits if limit is not None]
            for number, limit in enumerate(limits):
                small = limit is not None and limit < sum(running) / len(running) / 2
                now[number] = now[number] + SAMPLE if small else 0.0
            longest = max(longest, *now)
        return longest

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), happen))

    def _sample(self) -> None:
        self.used.append(self.in_flight)
        self.limits.append(
            [one.concurrency.limit if one.begins <= self.now < one.ends else None for one in self.processes]
        )
        self._at(self.now + SAMPLE, self._sample)

    def _begin(self, process: Process) -> None:
        self.in_flight += 1
        self._at(self.now + self.latency, lambda: self._first_reply(process))

    def _first_reply(self, process: Process) -> None:
        if self.in_flight > 1:
            process.concurrency.begin_beside_others()
        self.in_flight -= 1
        self._go(process)

    def _go(self, process: Process) -> None:
        while (
            self.now < process.ends
            and process.under_way < process.concurrency.limit
            and process.under_way + process.backing_off < 100
        ):
            process.under_way += 1
            request = process.concurrency.start(self.now, process.under_way)
            self._at(self.now + ROUND_TRIP / 2, lambda request=request: self._arrive(process, request))

    def _arrive(self, process: Process, request: Started) -> None:
        if self.in_flight >= self.limit:
            self._at(self.now + ROUND_TRIP / 2, lambda: self._refused(process, request))
        else:
            self.in_flight += 1
            takes = self.latency * self._random.uniform(0.9, 1.1)
            self._at(self.now + takes, lambda: self._served(process, request))

    def _served(self, process: Process, request: Started) -> None:
        self.in_flight -= 1
        process.concurrency.served(request, self.now)
        process.served += 1
        process.under_way -= 1
        self._go(process)

    def _refused(self, process: Process, request: Started) -> None:
        process.under_way -= 1
        process.refused += 1
        process.backing_off += 1
        process.concurrency.refused(request, self.now, process.under_way)
        self._at(self.now + self._random.uniform(0, BACK_OFF), lambda: self._back(process))
        self._go(process)

    def _back(self, process: Process) -> None:
        process.backing_off -= 1
        self._go(process)
