"""One process's part in a rollout: from the operator's arguments to devices, and from the rollout's end to Airflow's.

Imported when a task runs, never when a DAG file is parsed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, ObjectStoragePath

from airflow_provider_supersim.api.models import IpCommand, SimStatus
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.store import NoStore
from airflow_provider_supersim.delivery.rollout.engine import End, Rollout, Rules, Wait
from airflow_provider_supersim.delivery.rollout.report import check_report_library, check_report_path, write_report
from airflow_provider_supersim.delivery.rollout.waves import Gate, check_waves
from airflow_provider_supersim.delivery.rollout.window import Window
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.delivery.targets.files import ENCODING, rows_from_file
from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate
from airflow_provider_supersim.delivery.targets.plan import plan
from airflow_provider_supersim.delivery.targets.rows import row_from_sim, rows_from_list
from airflow_provider_supersim.delivery.targets.shards import Shard
from airflow_provider_supersim.runs.stores import open_ledger, store_for
from airflow_provider_supersim.runs.waiting import check_on_clear, check_readable, watcher_of_hook

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.delivery.once.ledger import Ledger
    from airflow_provider_supersim.delivery.once.store import Store
    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

N = TypeVar("N", int, float)

PROGRESS_EVERY = 10.0  # seconds
LOOK_UP_EVERY = 1_000  # rows, a tenth of a second
NAMED = 20  # devices that the log names at the end
PROGRESS_KEY = "supersim_progress"
REACHABLE = (SimStatus.ACTIVE, SimStatus.READY)


class RolloutRun:
    """Takes a rollout up in this process.

    :raises ValueError: for arguments that cannot be right; nothing was sent
    :raises AirflowException: the report's folder cannot be made; nothing was sent
    """

    def __init__(self, task: SuperSimRolloutOperator, hook: SuperSimHook, context: Context) -> None:
        self._task = task
        self._hook = hook
        self._context = context
        self._rules = _rules(task)
        self._shard = Shard.build(task.shard) if task.shard is not None else None
        self._share = self._shard.count if self._shard else 1
        self._report_suffix = _report_suffix(task.report_path)
        self._store: Store = store_for(context, task.ledger_path, task.log)
        self._rollout: Rollout | None = None
        self._end: End | None = None
        self.report_written = False

    def go_on(self, *, fresh: bool, may_defer: bool) -> Wait | None:
        """Take the rollout as far as it goes.

        :param fresh: whether a try begins; else one goes on after a deferral
        :param may_defer: return where there is something to wait for; else wait here, and come to the end
        :return: what to wait for; ``None`` at the end
        """
        task = self._task
        if may_defer and isinstance(self._store, NoStore):
            task.log.info("Waiting in the worker: deferred, the task would forget what was sent.")
            may_defer = False
        self._hook.limit(max_concurrency=task.max_concurrency, max_rate=task.max_rate, share=self._share)
        table = self._plan()
        return self._hook.run(self._go_on, table, fresh, may_defer)

    def conclude(self) -> dict[str, Any]:
        """Write the report, and return the summary.

        :raises AirflowFailException: a gate shut
        :raises AirflowException: the window closed first
        """
        if self._end is None or self._rollout is None:
            raise RuntimeError("the rollout has not come to its end")
        end, task = self._end, self._task
        if task.report_path:
            with ObjectStoragePath(task.report_path).open("wb") as stream:
                write_report(self._rollout.rows(), stream, self._report_suffix)
            self.report_written = True
            task.log.info("One row per device is in %s", task.report_path)
        self._name_missed(self._rollout)
        words = _words(end.summary)
        if end.halted:
            raise AirflowFailException(
                f"The rollout was halted: {end.halted}. {words} Find out why they failed (report_path has a row for "
                "each device), then clear the task: it goes on with the devices that were not reached."
            )
        if end.closed:
            raise AirflowException(
                f"The rollout is not complete: {end.closed}. {words} The next try goes on with them."
            )
        task.log.info("The rollout is complete. %s", words)
        return end.summary

    def _name_missed(self, rollout: Rollout) -> None:
        """Name in the log those that were not reached: whoever reads it at night asks for them first."""
        missed = rollout.missed()
        for row in islice(missed, NAMED):
            self._task.log.warning(
                "Not reached: SIM %s, %s%s", row.sim, row.status, f": {row.error}" if row.error else ""
            )
        if next(missed, None):
            self._task.log.warning("… and others; with report_path, the report has a row for each device")

    async def _go_on(self, client: AsyncSuperSimClient, table: WorkingSet, fresh: bool, may_defer: bool) -> Wait | None:
        ledger = await open_ledger(self._store, self._context, self._task.on_clear, table)
        watcher = watcher_of_hook(self._hook)

        async def look(sids: list[str]) -> None:
            unread = set(sids)

            def take(command: IpCommand) -> None:
                unread.discard(str(command.sid))
                ledger.settle(command)

            while True:  # until the watcher's own budget for failures is spent: a gate must not judge by old news
                check_readable(await watcher.wait(unread, interval=1, timeout=0, on_read=take))
                if not unread:
                    return
                await asyncio.sleep(self._task.poll_interval)

        def dispatcher(may_leave: Callable[[Device], None]) -> Dispatcher:
            return Dispatcher(client, ledger, concurrency=self._hook.account.max_concurrency, may_leave=may_leave)

        self._rollout = rollout = Rollout(ledger, self._rules, dispatcher=dispatcher, look=look, fresh=fresh)
        async with self._progress(rollout):
            while isinstance(step := await rollout.advance(), Wait):
                if may_defer:
                    return step
                await self._wait_here(step, ledger)
        self._end = step
        return None

    async def _wait_here(self, wait: Wait, ledger: Ledger) -> None:
        timeout = max(0.0, wait.until - time.time())
        if not wait.sids:
            await asyncio.sleep(timeout)
            return
        watcher = watcher_of_hook(self._hook)
        check_readable(
            await watcher.wait(wait.sids, interval=self._task.poll_interval, timeout=timeout, on_read=ledger.settle)
        )

    @asynccontextmanager
    async def _progress(self, rollout: Rollout) -> AsyncIterator[None]:
        """Say every ten seconds how far the rollout is: in the task's log, and beside the ledger for a page to read."""

        async def report() -> None:
            at, sent = time.monotonic(), rollout.commands()
            while True:
                await asyncio.sleep(PROGRESS_EVERY)
                before, at, sent_before, sent = at, time.monotonic(), sent, rollout.commands()
                # Of the last seconds: while statuses are waited for there is no rate, and no end to be told from it.
                await self._say(rollout, rate=(sent - sent_before) / (at - before) or None)

        reporter = asyncio.create_task(report())
        try:
            yield
        finally:
            reporter.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporter
        await self._say(rollout, rate=None)

    async def _say(self, rollout: Rollout, *, rate: float | None) -> None:
        progress = rollout.progress(rate=rate)
        self._task.log.info("Rollout: %s", progress.line())
        try:
            await asyncio.to_thread(self._store.set, PROGRESS_KEY, {"at": time.time(), **progress.record()})
        except Exception as error:  # noqa: BLE001  # whatever a store raises: a rollout does not depend on this value
            self._task.log.warning("The progress could not be recorded beside the ledger: %s", error)

    def _plan(self) -> WorkingSet:
        task, table = self._task, WorkingSet()
        plan(
            self._checked(self._rows(table)),
            table,
            template=PayloadTemplate(task.payload_template()),
            device_port=task.device_port,
            payload_type=task.payload_type,
            variables=self._context,
            shard=self._shard,
            timezone_needed=self._rules.window is not None and self._rules.window.timezone is None,
        )
        return table

    def _checked(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Pass rows on; now and then see whether the task was killed, and say how many there were."""
        said = time.monotonic()
        for number, row in enumerate(rows):
            if number % LOOK_UP_EVERY == 0:
                self._hook.raise_if_cancelled()  # as it is once the task was killed
                if time.monotonic() - said >= PROGRESS_EVERY:
                    said = time.monotonic()
                    self._task.log.info("Checking the targets before anything is sent: %s rows so far", f"{number:,}")
            yield row

    def _rows(self, table: WorkingSet) -> Iterable[Mapping[str, Any]]:
        task = self._task
        sources = {"fleet": task.fleet, "targets": task.targets, "targets_path": task.targets_path}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"one of fleet, targets and targets_path must be given, got {given or 'none of them'}")
        if task.fleet is not None:
            return self._hook.run(self._rows_of_fleet, task.fleet, table)
        if task.targets is not None:
            return rows_from_list(task.targets)
        return _rows_of_file(str(task.targets_path))

    async def _rows_of_fleet(
        self, client: AsyncSuperSimClient, fleet: str, table: WorkingSet
    ) -> Iterable[dict[str, Any]]:
        await client.get_fleet(fleet)  # a wrong name would else be a fleet without SIMs
        async for sim in client.iter_sims(fleet=fleet):
            if sim.status in REACHABLE:
                table.list_sim(str(sim.sid), row_from_sim(sim))
        # By sid, for a SIM may be listed twice when the Fleet changes while its pages are read. Sorted, for the API
        # promises no order, and every try needs the same.
        return table.listed_sims()


def _rows_of_file(path: str) -> Iterable[dict[str, Any]]:
    try:
        with ObjectStoragePath(path).open("r", encoding=ENCODING, newline="") as stream:
            lines = iter(stream.readline, "")  # the stream itself cannot be iterated over on Airflow 2
            yield from rows_from_file(lines, PurePosixPath(path).suffix.lower())
    except OSError as error:
        raise ValueError(f"targets_path {path!r} cannot be read: {error}") from error


def _rules(task: SuperSimRolloutOperator) -> Rules:
    """Check the arguments that do not depend on the devices."""
    check_waves(task.waves)
    check_on_clear(task.on_clear)
    _number("poll_interval", task.poll_interval, float, least=0.1)
    return Rules(
        waves=task.waves,
        gate=Gate(
            max_failure_ratio=_number("max_failure_ratio", task.max_failure_ratio, float, least=0),
            min_sample=_number("min_sample", task.min_sample, int, least=1),
        ),
        attempts=_number("attempts", task.attempts, int, least=1),
        attempt_delay=_number("attempt_delay", task.attempt_delay, float, least=0),
        wave_timeout=_number("wave_timeout", task.wave_timeout, float, least=0),
        window=Window.build(task.window) if task.window else None,
    )


def _number(name: str, value: object, kind: type[N], *, least: float) -> N:
    """Read a number that may have come out of a template as text."""
    try:
        number = kind(str(value))
    except ValueError:
        number = None
    if number is None or not least <= number < float("inf"):
        raise ValueError(f"{name} must be a {'whole ' if kind is int else ''}number, {least} or more, got {value!r}")
    return number


def _report_suffix(report_path: str | None) -> str:
    if not report_path:
        return ""
    suffix = check_report_path(report_path)
    check_report_library(suffix)
    try:
        ObjectStoragePath(report_path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # better now than after the last command
        raise AirflowException(f"report_path {report_path!r} cannot be written: {error}") from error
    return suffix


def _words(summary: Mapping[str, Any]) -> str:
    return (
        f"Of {summary['devices']:,} devices {summary['sent']:,} sent, {summary['failed']:,} failed, "
        f"{summary['unsettled']:,} without a final status, {summary['not_sent']:,} not sent; "
        f"{summary['commands']:,} commands in {summary['duration']:.0f} s."
    )
