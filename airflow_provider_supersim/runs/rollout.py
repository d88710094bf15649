"""One process's part in a rollout: from checked arguments to devices, and from the rollout's end to Airflow's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.delivery.background import in_background
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.store import MemoryOnly, Store
from airflow_provider_supersim.delivery.rollout.engine import Rollout
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.delivery.targets.plan import plan
from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.runs.conclusion import Conclusion
from airflow_provider_supersim.runs.so_far import SoFar
from airflow_provider_supersim.runs.stores import open_ledger, store_for
from airflow_provider_supersim.runs.target_rows import check_any, rows
from airflow_provider_supersim.runs.waiting import seconds_in_worker, watcher_of_hook
from airflow_provider_supersim.words import count

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.api.models import IpCommand
    from airflow_provider_supersim.delivery.once.ledger import Ledger
    from airflow_provider_supersim.delivery.rollout.progress import Progress
    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.arguments import RolloutArguments

PROGRESS_EVERY = 10.0  # seconds
LOOK_UP_EVERY = 1_000  # rows, a tenth of a second
PROGRESS_KEY = "supersim_progress"
#: Before it is known what the ledger has.
BEGINNING = SoFar("Rollout", "before this try sent anything", retry="The next try begins again.")


class RolloutRun:
    """Continues a rollout in this process.

    :param log: the task's
    :ivar so_far: what was sent, once an error has ended the try
    :raises ValueError: ``ledger_path`` or ``report_path`` cannot be used; nothing was sent
    :raises StorageError: their storage cannot be used; nothing was sent
    """

    def __init__(self, arguments: RolloutArguments, hook: SuperSimHook, context: Context, log: Any) -> None:
        self._arguments = arguments
        self._hook = hook
        self._context = context
        self._log = log
        self._store: Store = store_for(context, arguments.ledger_path, log)
        self._rollout: Rollout | None = None
        self._end: End | None = None
        self._conclusion = Conclusion(arguments, context, log, has_ledger=not isinstance(self._store, MemoryOnly))
        self.so_far = BEGINNING

    def advance(self, *, fresh: bool, may_defer: bool, waited: Waited | None = None) -> Wait | None:
        """Take the rollout as far as it goes. If an error ends this try, leave what an end leaves all the same.

        :param fresh: a new try begins; otherwise one continues after a deferral
        :param may_defer: return if there is something to wait for; otherwise wait here, until the end
        :param waited: what a deferral has brought
        :return: what to wait for; ``None`` at the end
        :raises StatusesUnreadableError: the deferral could not read the statuses
        :raises StorageError: the report cannot be written; nothing was sent
        """
        if fresh:
            self._conclusion.prove_possible()
        if may_defer and isinstance(self._store, MemoryOnly):
            self._log.info("Not deferring: without a ledger a deferred task forgets what it sent. Set ledger_path.")
            may_defer = False
        arguments = self._arguments
        self._hook.limit(max_concurrency=arguments.max_concurrency, max_rate=arguments.max_rate, share=arguments.share)
        waited = waited or Waited()
        try:
            working_set = self._plan(fresh=fresh)
        except SuperSimError:
            waited.check_readable()  # it came first
            raise
        try:
            return self._hook.run(self._advance, working_set, fresh, may_defer, waited)
        except LedgerTakenError:  # the newer try knows more
            raise
        except BaseException:
            self._break_off()
            raise

    @property
    def report_written(self) -> bool:
        """Whether this process has written the report."""
        return self._conclusion.report_written

    def conclude(self) -> dict[str, Any]:
        """Conclude the rollout, see :meth:`Conclusion.conclude`; return the summary."""
        if self._end is None or self._rollout is None:
            raise RuntimeError("the rollout has not come to its end")
        return self._conclusion.conclude(self._rollout.overview, self._end)

    def _break_off(self) -> None:
        """Leave what every end leaves, after an error has ended this try."""
        self._hook.close()  # waits until what was running has ended and is in the ledger
        if self._rollout is not None:
            overview = self._rollout.overview
            self._record(overview.progress(rate=None))
            self.so_far = self._conclusion.leave(overview, asyncio.run(overview.summary(halted=False)))

    async def _advance(
        self, client: AsyncSuperSimClient, working_set: WorkingSet, fresh: bool, may_defer: bool, waited: Waited
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
        try:
            waited.check_readable()
            async with in_background(self._report_progress(rollout)):
                while isinstance(step := await rollout.advance(), Wait):
                    left = max(0.0, step.until - time.time())
                    here = seconds_in_worker(left, commands=bool(step.sids)) if may_defer else left
                    step, over = await self._wait_here(step, ledger, here)
                    if here < left and not over:
                        break
        except SuperSimError as error:
            await rollout.look_once(error)
            raise
        await self._say(rollout, rate=None)
        if isinstance(step, Wait):
            return step
        self._end = step
        return None

    async def _wait_here(self, wait: Wait, ledger: Ledger, seconds: float) -> tuple[Wait, bool]:
        """Wait in this process. Return what is left to wait for, and whether all commands have a final status."""
        if not seconds:
            return wait, False
        self._log.info("Waiting: %s", wait.why.sentence())
        if not wait.sids:
            await asyncio.sleep(seconds)
            return wait, False
        unsettled = dict.fromkeys(wait.sids)

        def settle(command: IpCommand) -> None:
            ledger.settle(command)
            if command.status.settled:
                unsettled.pop(str(command.sid), None)

        def forget(sid: str) -> None:
            ledger.forget(sid)
            unsettled.pop(sid, None)

        watcher = watcher_of_hook(self._hook)
        waited = await watcher.wait(
            wait.sids,
            interval=self._arguments.poll_interval,
            timeout=seconds,
            on_read=settle,
            on_gone=forget,
        )
        waited.check_readable()
        return msgspec.structs.replace(wait, sids=list(unsettled)), not unsettled

    async def _report_progress(self, rollout: Rollout) -> None:
        """Say every ten seconds how far the rollout is: in the task's log, and beside the ledger for a page to read."""
        at, sent = time.monotonic(), rollout.overview.commands()
        while True:
            await asyncio.sleep(PROGRESS_EVERY)
            before, at, sent_before, sent = at, time.monotonic(), sent, rollout.overview.commands()
            # Of the last seconds. While statuses are waited for there is no rate, and so no time left to tell.
            await self._say(rollout, rate=(sent - sent_before) / (at - before) or None)

    async def _say(self, rollout: Rollout, *, rate: float | None) -> None:
        await asyncio.to_thread(self._record, rollout.overview.progress(rate=rate))

    def _record(self, progress: Progress) -> None:
        self._log.info("Rollout: %s", progress.line())
        try:
            self._store.set(PROGRESS_KEY, {"at": time.time(), **progress.record()})
        except Exception as error:  # noqa: BLE001  # whatever a store raises: a rollout does not depend on this value
            self._log.warning("Progress not recorded beside the ledger: %s [progress-not-recorded]", error)

    def _plan(self, *, fresh: bool) -> WorkingSet:
        arguments, working_set = self._arguments, WorkingSet()
        window = arguments.rules.window
        number = plan(
            self._checked(rows(arguments, self._hook, working_set)),
            working_set,
            template=arguments.template,
            device_port=arguments.device_port,
            payload_type=arguments.payload_type,
            variables=self._context,
            shard=arguments.shard,
            timezone_needed=window is not None and window.timezone is None,
        )
        if fresh:  # later, the ledger has what was sent
            check_any(number, arguments)
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
