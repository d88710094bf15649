"""The trigger: waits for IP Commands in the triggerer, without a worker slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_supersim.delivery.waiting.watcher import Waited, watcher_of
from airflow_provider_supersim.hooks.connection import Account
from airflow_provider_supersim.hooks.supersim import SuperSimHook


class SuperSimIpCommandTrigger(BaseTrigger):
    """Fire once, when every command is settled, at the deadline, or when the statuses cannot be read.

    All triggers of a connection in one triggerer share one poller. The event is
    :class:`~airflow_provider_supersim.delivery.waiting.watcher.Waited` as a dict. The trigger only reads: a triggerer
    that dies and starts it again sends nothing.

    :param ip_command_sids: sids (``HG…``) to wait for; with none, the trigger fires at the deadline
    :param supersim_conn_id: the connection
    :param poll_interval: seconds between two looks
    :param deadline: when to give up; it is a time of day, so a restarted triggerer does not start it anew
    :param with_commands: whether the event names the commands; a fleet's would be too many
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
        timeout = max(0.0, (self.deadline - datetime.now(UTC)).total_seconds())
        if not self.ip_command_sids:
            await asyncio.sleep(timeout)
            yield TriggerEvent(Waited().to_event())
            return
        account = await _account(self.supersim_conn_id)
        # The watcher has a budget of its own for failures; a client that kept trying would hide them from it.
        watcher = watcher_of(account, partial(account.client, keep_trying=0))
        waited = await watcher.wait(
            self.ip_command_sids,
            interval=self.poll_interval,
            timeout=timeout,
            on_read=None if self.with_commands else lambda _: None,
        )
        yield TriggerEvent(waited.to_event())


#: By event loop and connection: reads that are under way.
_READS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Task[Account]]] = WeakKeyDictionary()


async def _account(supersim_conn_id: str) -> Account:
    """Read the connection, together with all triggers that want it at this moment.

    Each read is a question to the triggerer's parent process, some milliseconds of its time: ten thousand triggers that
    start at once would keep it from everything else for a minute.
    """
    reads = _READS.setdefault(asyncio.get_running_loop(), {})
    if supersim_conn_id not in reads:
        reads[supersim_conn_id] = asyncio.create_task(SuperSimHook(supersim_conn_id).aget_account())
        reads[supersim_conn_id].add_done_callback(lambda _: reads.pop(supersim_conn_id))
    return await asyncio.shield(reads[supersim_conn_id])  # one trigger that is cancelled is no other's affair
