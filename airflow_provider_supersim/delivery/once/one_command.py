"""Send one command, unless the ledger has it already."""

from __future__ import annotations

import time

import anyio

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError, SuperSimError
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.delivery.once.dispatcher import Dispatcher
from airflow_provider_supersim.delivery.once.ledger import GONE, Ledger
from airflow_provider_supersim.delivery.once.reconcile import LAG, LOOK_EVERY
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.states import State


class OutcomeUnknownError(Exception):
    """It cannot be told what became of the command. It is not sent again.

    :ivar sim: as the DAG names it
    """

    def __init__(self, sim: str, why: str) -> None:
        super().__init__(sim, why)
        self.sim = sim
        self.why = why


async def send_once(
    client: AsyncSuperSimClient, ledger: Ledger, request: IpCommandRequest, *, lag: float = LAG
) -> tuple[IpCommand, bool]:
    """Send a command, unless it was sent before. A command that failed is sent again.

    :param lag: seconds for which list and read by sid may not yet show a command that was accepted; default 30
    :return: the command, and whether it was sent just now
    :raises SuperSimError: the API refused it, or could not be reached
    :raises OutcomeUnknownError: it cannot be told whether the API accepted it, or the API has it no more
    """
    entry = ledger.entry(request.sim)
    if entry and entry.sid:
        command = await _read(client, entry.sid, lag)
        if command is not None:
            ledger.settle(command)
            if not command.status.settled or command.status.succeeded:
                return command, False
        elif entry.status != State.FAILED:
            ledger.forget(entry.sid)
            await ledger.save_changed()
            raise OutcomeUnknownError(request.sim, GONE)
    elif entry and entry.status == State.UNKNOWN:
        raise OutcomeUnknownError(request.sim, str(entry.error))
    accepted: list[IpCommand] = []
    refused: list[SuperSimError] = []
    dispatcher = Dispatcher(
        client,
        ledger,
        concurrency=1,
        lag=lag,
        on_accepted=accepted.append,
        on_refused=lambda _, error: refused.append(error),
    )
    await dispatcher.send([Device(sim=request.sim, request=request)])
    if refused:
        raise refused[0]
    if not accepted:
        sent = ledger.entry(request.sim)
        raise OutcomeUnknownError(request.sim, str(sent and sent.error))
    return accepted[0], True


async def _read(client: AsyncSuperSimClient, sid: str, lag: float) -> IpCommand | None:
    """Read a command; ``None`` if the API has had none of this sid for as long as it may lag."""
    gone_at = time.monotonic() + lag
    while True:
        try:
            return await client.get_ip_command(sid)
        except NotFoundError:
            if time.monotonic() >= gone_at:
                return None
        await anyio.sleep(min(LOOK_EVERY, lag / 2))
