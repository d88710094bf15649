"""One process's part in a rollout: from checked arguments to devices, and from the rollout's end to Airflow's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_supersim.delivery.background import in_background
from airflow_provider_supersim.delivery.once.store import MemoryOnly, Store
from airflow_provider_supersim.delivery.rollout.engine import Rollout
from airflow_provider_supersim.delivery.rollout.reasons import WindowClosed
from airflow_provider_supersim.delivery.rollout.report import write_report
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.delivery.targets.plan import plan
from airflow_provider_supersim.exceptions import (
    RolloutHaltedError,
    RolloutIncompleteError,
    StorageError,
    WindowClosedError,
)
from airflow_provider_supersim.runs.stores import open_ledger, store_for
from airflow_provider_supersim.runs.target_rows import rows
from airflow_provider_supersim.runs.waiting import watcher_of_hook
from airflow_provider_supersim.words import count, duration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.delivery.once.ledger import Ledger
    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.arguments import RolloutArguments

PROGRESS_EVERY = 10.0  # seconds
LOOK_UP_EVERY = 1_000  # rows, a tenth of a second
CAUSES = 10  # that the log names at the end, the most frequent first
NAMED = 5  # devices that the log names for each cause
PROGRESS_KEY = "supersim_progress"


class RolloutRun:
    """Continues a rollout in this process.

    :param log: the task's
    :raises ValueError: ``ledger_path`` cannot be used; nothing was sent
    :raises StorageError: the report's folder cannot be made; nothing was sent
    """

    def __init__(self, arguments: RolloutArguments, hook: SuperSimHook, context: Context, log: Any) -> None:
        self._arguments = arguments
        self._hook = hook
        self._context = context
        self._log = log
        self._store: Store = store_for(context, arguments.ledger_path, log)
        self._rollout: Rollout | None = None
        self._end: End | None = None
        self.report_written = False
        if arguments.report_path:
            _make_folder(arguments.report_path)

    def advance(self, *, fresh: bool, may_defer: bool) -> Wait | None:
        """Take the rollout as far as it goes.

        :param fresh: a new try begins; otherwise one continues after a deferral
        :param may_defer: return if there is something to wait for; otherwise wait here, until the end
        :return: what to wait for; ``None`` at the end
        """
        if may_defer and isinstance(self._store, MemoryOnly):
            self._log.info("Not deferring: without a ledger a deferred task forgets what it sent. Set ledger_path.")
            may_defer = False
        arguments = self._arguments
        self._hook.limit(max_concurrency=arguments.max_concurrency, max_rate=arguments.max_rate, share=arguments.share)
        return self._hook.run(self._advance, self._plan(), fresh, may_defer)

    def conclude(self) -> dict[str, Any]:
        """Write the report, and return the summary.

        :raises RolloutHaltedError: a gate shut
        :raises RolloutIncompleteError: sending was held back before every device had its turn
        :raises WindowClosedError: the window closed first
        """
        if self._end is None or self._rollout is None:
            raise RuntimeError("the rollout has not come to its end")
        end, report_path = self._end, self._arguments.report_path
        if report_path:
            with ObjectStoragePath(report_path).open("wb") as stream:
                write_report(self._rollout.rows(), stream, self._arguments.report_suffix)
            self.report_written = True
            self._log.info("Report with a row for each device: %s", report_path)
        self._name_causes(self._rollout)
        words = _in_words(end.summary)
        if end.halted:
            where = f"report: {report_path}" if report_path else "set report_path for a row per device"
            raise RolloutHaltedError(
                f"Rollout halted: {end.halted}. Retries do not run. {words} Look into the causes ({where}), then clear "
                "this task: it continues with every device that is not yet sent."
            )
        if end.left_out:
            closed = any(isinstance(reason, WindowClosed) for reason in end.left_out.reasons)
            raise (WindowClosedError if closed else RolloutIncompleteError)(
                f"Rollout not complete: {end.left_out.sentence()}. {words} {end.left_out.outlook()} No retry left: "
                "clear this task."
            )
        self._log.info("Rollout complete. %s", words)
        return end.summary

    def _name_causes(self, rollout: Rollout) -> None:
        """Say in the log which devices have not got their command, and why: whoever reads it at night asks first."""
        for cause in rollout.causes(CAUSES, NAMED):
            self._log.warning("Not reached: %s [not-reached]", cause.sentence())

    async def _advance(
        self, client: AsyncSuperSimClient, working_set: WorkingSet, fresh: bool, may_defer: bool
    ) -> Wait | None:
        arguments = self._arguments
        ledger = await open_ledger(self._store, self._context, arguments.on_clear, working_set)
        self._rollout = rollout = Rollout(
            ledger,
            arguments.rules,
            client=client,
            watcher=watcher_of_hook(self._hook),
            concurrency=self._hook.account.max_concurrency,
            fresh=fresh,
            poll_interval=arguments.poll_interval,
        )
        async with in_background(self._report_progress(rollout)):
            while isinstance(step := await rollout.advance(), Wait):
                if may_defer:
                    break
                await self._wait_here(step, ledger)
        await self._say(rollout, rate=None)
        if isinstance(step, Wait):
            return step
        self._end = step
        return None

    async def _wait_here(self, wait: Wait, ledger: Ledger) -> None:
        self._log.info("Waiting: %s", wait.why.sentence())
        timeout = max(0.0, wait.until - time.time())
        if not wait.sids:
            await asyncio.sleep(timeout)
            return
        watcher = watcher_of_hook(self._hook)
        waited = await watcher.wait(
            wait.sids, interval=self._arguments.poll_interval, timeout=timeout, on_read=ledger.settle
        )
        waited.check_readable()

    async def _report_progress(self, rollout: Rollout) -> None:
        """Say every ten seconds how far the rollout is: in the task's log, and beside the ledger for a page to read."""
        at, sent = time.monotonic(), rollout.commands()
        while True:
            await asyncio.sleep(PROGRESS_EVERY)
            before, at, sent_before, sent = at, time.monotonic(), sent, rollout.commands()
            # Of the last seconds. While statuses are waited for there is no rate, and so no time left to tell.
            await self._say(rollout, rate=(sent - sent_before) / (at - before) or None)

    async def _say(self, rollout: Rollout, *, rate: float | None) -> None:
        progress = rollout.progress(rate=rate)
        self._log.info("Rollout: %s", progress.line())
        try:
            await asyncio.to_thread(self._store.set, PROGRESS_KEY, {"at": time.time(), **progress.record()})
        except Exception as error:  # noqa: BLE001  # whatever a store raises: a rollout does not depend on this value
            self._log.warning("Progress not recorded beside the ledger: %s [progress-not-recorded]", error)

    def _plan(self) -> WorkingSet:
        arguments, working_set = self._arguments, WorkingSet()
        window = arguments.rules.window
        plan(
            self._checked(rows(arguments, self._hook, working_set)),
            working_set,
            template=arguments.template,
            device_port=arguments.device_port,
            payload_type=arguments.payload_type,
            variables=self._context,
            shard=arguments.shard,
            timezone_needed=window is not None and window.timezone is None,
        )
        return working_set

    def _checked(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Pass rows on; now and then see whether the task was killed, and say how many rows there were."""
        said = time.monotonic()
        for number, row in enumerate(rows):
            if number % LOOK_UP_EVERY == 0:
                self._hook.raise_if_cancelled()
                if time.monotonic() - said >= PROGRESS_EVERY:
                    said = time.monotonic()
                    self._log.info("Checking the targets before anything is sent: %s so far", count(number, "row"))
            yield row


def _make_folder(report_path: str) -> None:
    try:
        ObjectStoragePath(report_path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # better now than after the last command
        raise StorageError(
            f"Nothing was sent: report_path {report_path} cannot be written ({error}). Give the workers write access "
            "or change report_path, then clear this task."
        ) from error


def _in_words(summary: Mapping[str, Any]) -> str:
    return (
        f"Of {count(summary['devices'], 'device')}: {summary['sent']:,} sent, {summary['failed']:,} failed, "
        f"{summary['unsettled']:,} without a final status, {summary['not_sent']:,} not sent; "
        f"{count(summary['commands'], 'command')} in {duration(summary['duration'])}."
    )
