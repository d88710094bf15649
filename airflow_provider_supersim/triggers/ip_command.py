"""The trigger: waits for IP Commands in the triggerer, without a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_supersim.delivery.waiting.shared import watcher_of
from airflow_provider_supersim.delivery.waiting.waited import Waited
from airflow_provider_supersim.hooks.connection import Account
from airflow_provider_supersim.hooks.supersim import SuperSimHook

#: Seconds after its start in which a trigger does not fire. The scheduler of Airflow 3.2 and 3.3 fails a task that
#: resumes before it has read the end of the process that deferred: https://github.com/apache/airflow/issues/66374
NOT_BEFORE = 10.0


class SuperSimIpCommandTrigger(BaseTrigger):
    """Fire once: when every command has a final status, at the deadline, or when the statuses cannot be read.

    It begins to look after :data:`NOT_BEFORE` seconds, because it must not fire earlier.

    All triggers of a connection in one triggerer share one poller. The event is
    :class:`~airflow_provider_supersim.delivery.waiting.waited.Waited` as a dict. The trigger only reads, so nothing
    is sent again if a triggerer dies and another one starts the trigger.

    :param ip_command_sids: sids (``HG…``) to wait for; if empty, the trigger fires at the deadline
    :param supersim_conn_id: id of a connection of type ``supersim``
    :param poll_interval: seconds between two looks
    :param deadline: when to give up; a point in time, so that a restarted trigger does not wait longer
    :param with_commands: whether the event holds the commands; default true; a Fleet has too many for an event
    """

    def __init__(
        self,
        *,
        ip_command_sids: list[str],
        supersim_conn_id: str,
        poll_interval: float,
        deadline: datetime,
        with_commands: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no annotations
        self.ip_command_sids = ip_command_sids
        self.supersim_conn_id = supersim_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.with_commands = with_commands

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and all arguments."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "ip_command_sids": self.ip_command_sids,
                "supersim_conn_id": self.supersim_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "with_commands": self.with_commands,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        await asyncio.sleep(NOT_BEFORE)
        timeout = max(0.0, (self.deadline - datetime.now(UTC)).total_seconds())
        if not self.ip_command_sids:
            await asyncio.sleep(timeout)
            yield TriggerEvent(Waited().to_event())
            return
        account = await _account(self.supersim_conn_id)
        # The watcher counts failures itself; a client that kept trying would hide them from it.
        watcher = watcher_of(account, partial(account.client, keep_trying=0))
        waited = await watcher.wait(
            self.ip_command_sids,
            interval=self.poll_interval,
            timeout=timeout,
            on_read=None if self.with_commands else lambda _: None,
            on_gone=None if self.with_commands else lambda _: None,  # the worker finds out by itself
        )
        yield TriggerEvent(waited.to_event())


#: Reads of connections that are under way, by event loop and connection.
_READS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Task[Account]]] = WeakKeyDictionary()


async def _account(supersim_conn_id: str) -> Account:
    """Read the connection. Triggers that ask while it is being read share the read."""
    reads = _READS.setdefault(asyncio.get_running_loop(), {})
    if supersim_conn_id not in reads:
        reads[supersim_conn_id] = asyncio.create_task(SuperSimHook(supersim_conn_id).aget_account())
        reads[supersim_conn_id].add_done_callback(lambda _: reads.pop(supersim_conn_id))
    # Shielded, because cancelling one trigger must not cancel the read that others share.
    return await asyncio.shield(reads[supersim_conn_id])
