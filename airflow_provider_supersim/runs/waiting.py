"""Both ways to wait for commands: in the worker, and in the triggerer."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError
from airflow_provider_supersim.delivery.waiting import watcher
from airflow_provider_supersim.delivery.waiting.shared import watcher_of
from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.delivery.waiting.watcher import GRACE, Watcher
from airflow_provider_supersim.runs.sentences import failed_commands
from airflow_provider_supersim.triggers.ip_command import NOT_BEFORE, SuperSimIpCommandTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_supersim.api.models import IpCommand
    from airflow_provider_supersim.hooks.supersim import SuperSimHook

#: Seconds between two reads of a command that is answered 404.
LOOK_EVERY = 2.0
#: Seconds of each wait that a deferrable task spends in its worker. A deferral costs a new process, and most commands
#: settle sooner.
IN_WORKER = 10.0


def seconds_in_worker(timeout: float, *, commands: bool) -> float:
    """Return how much of a wait a deferrable task spends in its worker, before it defers for the rest.

    A rest that ends before the trigger may fire is not worth a deferral, and would end late.

    :param timeout: seconds to wait
    :param commands: commands are waited for; otherwise only time has to pass, and nothing can end the wait sooner
    """
    first = IN_WORKER if commands else 0.0
    return first if timeout - first > NOT_BEFORE else timeout


def watcher_of_hook(hook: SuperSimHook) -> Watcher:
    """Return the watcher for the hook's account; to be called in the event loop of the hook's session."""
    # The watcher has its own budget for failures; a client that kept trying would hide them from it.
    return watcher_of(hook.account, partial(hook.account.client, keep_trying=0))


def wait_in_worker(hook: SuperSimHook, sids: list[str], *, poll_interval: float, timeout: float) -> Waited:
    """Wait here, and hold the worker slot.

    :param poll_interval: seconds between two looks
    :param timeout: seconds to wait
    """

    async def wait(_client: AsyncSuperSimClient) -> Waited:
        return await watcher_of_hook(hook).wait(sids, interval=poll_interval, timeout=timeout)

    return hook.run(wait)


def wait_here_then_defer(
    task: BaseOperator,
    hook: SuperSimHook,
    sids: list[str],
    *,
    why: str,
    supersim_conn_id: str,
    poll_interval: float,
    timeout: float,
) -> Waited:
    """Wait in the worker for :func:`seconds_in_worker`; if commands are open then, defer for the rest of the time.

    :param why: what is waited for, in words for the log
    :param poll_interval: seconds between two looks
    :param timeout: seconds to wait in all
    """
    here = seconds_in_worker(timeout, commands=True)
    if here:
        waited = wait_in_worker(hook, sids, poll_interval=poll_interval, timeout=here)
        if here >= timeout or waited.error or waited.settled or failed_commands(waited):
            return waited
    return wait_in_triggerer(
        task,
        sids,
        why=why,
        supersim_conn_id=supersim_conn_id,
        poll_interval=poll_interval,
        timeout=timeout - here,
    )


def look_once(hook: SuperSimHook, sids: list[str], *, timeout: float) -> Waited:
    """Read each status once, and wait for none. A 404 counts only if it stays, as in every wait.

    :param timeout: seconds after which a command that is answered 404 is left unread, and soon all others too
    """
    read: dict[str, IpCommand] = {}

    async def look(client: AsyncSuperSimClient) -> None:
        until = time.monotonic() + timeout
        with anyio.move_on_after(timeout + watcher.grace(timeout)):
            for sid in sids:
                if command := await _read_if_there(client, sid, until):
                    read[sid] = command

    hook.run(look)
    return Waited(commands=list(read.values()), unread=[sid for sid in sids if sid not in read])


async def _read_if_there(client: AsyncSuperSimClient, sid: str, until: float) -> IpCommand | None:
    """Read a command; ``None`` if it is not there yet when the time is over.

    :raises NotFoundError: it is not there for longer than a read may lag
    """
    gone_at = time.monotonic() + watcher.GONE_AFTER
    while True:
        try:
            return await client.get_ip_command(sid)
        except NotFoundError:
            now = time.monotonic()
            if now >= gone_at:
                raise
            if now >= until:
                return None
        await asyncio.sleep(min(LOOK_EVERY, gone_at - now, until - now))


def wait_in_triggerer(
    task: BaseOperator,
    sids: list[str],
    *,
    why: str,
    supersim_conn_id: str,
    poll_interval: float,
    timeout: float,
    with_commands: bool = True,
) -> NoReturn:
    """Defer the task until the commands have a final status, or the time is over.

    :param sids: to wait for; with none, only the time has to pass
    :param why: what is waited for, in words for the log
    :param poll_interval: seconds between two looks
    :param timeout: seconds to wait
    :param with_commands: see :class:`SuperSimIpCommandTrigger`
    """
    task.log.info("Deferred, without a worker slot. Waiting: %s", why)
    task.defer(
        trigger=SuperSimIpCommandTrigger(
            ip_command_sids=sids,
            supersim_conn_id=supersim_conn_id,
            poll_interval=poll_interval,
            deadline=datetime.now(UTC) + timedelta(seconds=timeout),
            with_commands=with_commands,
        ),
        method_name="execute_complete",
        # The trigger's own deadline comes first, because it can say what it knows. This one is for a triggerer that
        # hangs.
        timeout=timedelta(seconds=timeout + 2 * GRACE),
    )
