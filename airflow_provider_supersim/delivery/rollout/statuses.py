"""Reads what has become of a rollout's accepted commands, and tells the ledger."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from itertools import islice

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import Direction
from airflow_provider_supersim.delivery.once.before import until_older
from airflow_provider_supersim.delivery.once.last_save import save_last
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.delivery.waiting.watcher import Watcher
from airflow_provider_supersim.words import count

log = logging.getLogger(__name__)

#: Maximum number of commands that are waited for by name: their sids travel through Airflow's database. A wave ends if
#: all have a final status, so it is enough to wait for the newest, which get theirs last. Then all are looked at.
WAITED_FOR = 5_000
#: Maximum number of commands whose statuses are asked for by name: sixty megabytes of the watcher's memory. If there
#: are more, the API's list is read first, of which nothing has to be kept.
LOOKED_AT = 100_000
#: Seconds for the last look when an error has ended the try. The API may be what fails.
LAST_LOOK = 60.0
#: Maximum number of devices that a log line names.
NAMED = 5


class Statuses:
    """The statuses that are not final yet.

    :param watcher: reads them; it may be shared with others that wait for the same account
    :param poll_interval: seconds between two looks at statuses that could not be read
    """

    def __init__(self, ledger: Ledger, client: AsyncSuperSimClient, watcher: Watcher, poll_interval: float) -> None:
        self._ledger = ledger
        self._client = client
        self._watcher = watcher
        self._poll_interval = poll_interval

    async def newest(self, devices: Positions) -> list[str]:
        """Return the sids of the newest commands, as many as are waited for by name."""
        return await devices.open_sids(WAITED_FOR)

    async def look(self, devices: Positions, *, until: float = 0.0) -> None:
        """Read the status of every command without a final one.

        :param until: a point in time up to which statuses that cannot be read are no failure; default: now
        """
        sids = await devices.open_sids(LOOKED_AT + 1)
        if len(sids) > LOOKED_AT:
            await self._read_list()
            # The list may lag and lack the newest, so these are asked for by name; it has just shown the others.
            sids = await devices.open_sids(LOOKED_AT)
        if sids:
            refused: dict[str, Exception] = {}
            try:
                # Each one must be read, so that a gate judges by what is true now.
                await self._watcher.look(
                    sids,
                    pause=self._poll_interval,
                    timeout=max(0.0, until - time.time()),
                    on_read=self._ledger.settle,
                    on_gone=self._ledger.forget,
                    on_refused=refused.__setitem__,
                )
            finally:
                self._say_refused(refused)
        await self._ledger.save_changed()

    async def last_look(self, devices: Positions, *, after: BaseException) -> None:
        """Read the statuses that can still be read.

        :param after: the error that has ended the try
        """
        with anyio.move_on_after(LAST_LOOK):
            if sids := await devices.open_sids(LOOKED_AT):
                await self._watcher.wait(sids, interval=1, timeout=0, on_read=self._ledger.settle)
        await save_last(self._ledger, after=after)

    def _say_refused(self, refused: Mapping[str, Exception]) -> None:
        """Say which devices have no status because the API refuses to show their commands.

        :param refused: the refusal of each, by the command's sid
        """
        if not refused:
            return
        names = ", ".join(self._ledger.working_set.label(sid) for sid in islice(refused, NAMED))
        log.warning(
            "%s: no status, because the API refuses to show the command: %s%s. %s [status-refused]",
            count(len(refused), "device"),
            names,
            f" and {len(refused) - NAMED:,} more" if len(refused) > NAMED else "",
            next(iter(refused.values())),
        )

    async def _read_list(self) -> None:
        """Tell the ledger of each of its commands that the API's list shows, page by page."""
        commands = self._client.iter_ip_commands(direction=Direction.TO_SIM)
        async for command in until_older(commands, self._ledger.began):
            self._ledger.settle(command)
