"""Processes that share an account, each with a :class:`Concurrency` of its own: a simulation, second by second.

The API serves so many requests at once and refuses those above at once. No process knows of the others, but if the API
counts, each reply says how many requests of the account it has.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from itertools import count

from airflow_provider_supersim.api.concurrency import Concurrency, Started
from airflow_provider_supersim.api.pace import rest

ROUND_TRIP = 0.003  # seconds; a refusal takes no longer
FIRST_BACK_OFF, LONGEST_BACK_OFF = 0.25, 10.0  # seconds, at most: a refused request comes again, as the client sends it
SAMPLE = 0.5  # seconds between two looks at the limits


class Process:
    """Has 100 requests ready from ``begins`` to ``ends``, ``commands`` in all; its first request goes alone.

    :param reads_every: seconds between two turns in which a busy process reads all replies that have come
    """

    def __init__(
        self,
        *,
        begins: float = 0.0,
        ends: float = float("inf"),
        most: int = 100,
        commands: float = float("inf"),
        reads_every: float = 1e-6,
    ) -> None:
        self.concurrency = Concurrency(most)
        self.begins, self.ends, self.commands, self.reads_every = begins, ends, commands, reads_every
        self.under_way = self.backing_off = self.started = 0
        self.waiting: list[int] = []  # refused requests that wait for their turn: how often each was refused
        self.rests_until = 0.0
        self.served = self.refused = 0


class Account:
    """Serves ``limit`` requests at once, each in ``latency`` seconds.

    :param counts: whether replies say how many requests of the account are at work
    """

    def __init__(self, limit: int, latency: float, *processes: Process, counts: bool = False, seed: int = 1) -> None:
        self.limit, self.latency, self.processes, self.counts = limit, latency, processes, counts
        self.now = 0.0
        self.in_flight = 0
        self.limits: list[list[int | None]] = []  # of each process, each half second; None: it does not run
        self.used: list[int] = []  # requests that are served, at the same times
        self._random = random.Random(seed)  # repeatable
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        for process in processes:
            self._at(process.begins, lambda process=process: self._send(process, 0, first=True))
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
        self.limits.append([one.concurrency.limit if self._runs(one) else None for one in self.processes])
        self._at(self.now + SAMPLE, self._sample)

    def _runs(self, process: Process) -> bool:
        return process.begins <= self.now < process.ends and process.started < process.commands

    def _go(self, process: Process) -> None:
        if not process.served:
            return  # the first request goes alone
        while self._has_place(process) and process.waiting:
            process.backing_off -= 1
            self._send(process, process.waiting.pop(0))
        while self._has_place(process) and self._runs(process) and process.under_way + process.backing_off < 100:
            process.started += 1
            self._send(process, 0)

    def _has_place(self, process: Process) -> bool:
        return process.under_way < process.concurrency.limit and process.rests_until <= self.now < process.ends

    def _send(self, process: Process, refused: int, *, first: bool = False) -> None:
        process.under_way += 1
        request = process.concurrency.start(self.now, process.under_way)
        self._at(self.now + ROUND_TRIP / 2, lambda: self._arrive(process, request, refused, first))

    def _arrive(self, process: Process, request: Started, refused: int, first: bool) -> None:
        self.in_flight += 1
        if self.in_flight > self.limit:
            self._answer(process, lambda at_work: self._refused(process, request, at_work, refused, first))
        else:
            takes = self.latency * self._random.uniform(0.9, 1.1)
            serve = lambda at_work: self._served(process, request, at_work)  # noqa: E731
            self._at(self.now + takes, lambda: self._answer(process, serve))

    def _answer(self, process: Process, reach: Callable[[int | None], None]) -> None:
        at_work = self.in_flight if self.counts else None
        self.in_flight -= 1
        turns = math.ceil((self.now + ROUND_TRIP / 2) / process.reads_every)
        self._at(turns * process.reads_every, lambda: reach(at_work))

    def _served(self, process: Process, request: Started, at_work: int | None) -> None:
        process.concurrency.served(request, self.now, process.under_way, at_work)
        process.served += 1
        process.under_way -= 1
        self._at(self.now, lambda: self._go(process))  # after the other replies of this turn

    def _refused(self, process: Process, request: Started, at_work: int | None, refused: int, first: bool) -> None:
        process.under_way -= 1
        process.refused += 1
        process.backing_off += 1
        process.concurrency.refused(request, self.now, process.under_way, at_work)
        if process.concurrency.in_vain:
            process.rests_until = self.now + rest(process.concurrency.in_vain, self._random)
            self._at(process.rests_until, lambda: self._go(process))
        pause = self._random.uniform(0, min(FIRST_BACK_OFF * 2**refused, LONGEST_BACK_OFF))
        self._at(self.now + pause, lambda: self._back(process, refused + 1, first))
        self._go(process)

    def _back(self, process: Process, refused: int, first: bool) -> None:
        if first:
            process.backing_off -= 1
            self._send(process, refused, first=True)
        else:
            process.waiting.append(refused)
            self._go(process)
