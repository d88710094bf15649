"""Send one command, unless the ledger has it already."""

from __future__ import annotations

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import SuperSimError
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest
from airflow_provider_supersim.delivery.once.dispatcher import LAG, Dispatcher
from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.state.device import Device


async def send_once(
    client: AsyncSuperSimClient, ledger: Ledger, request: IpCommandRequest, *, lag: float = LAG
) -> tuple[IpCommand, bool]:
    """Send a command, unless it was sent before. A command that failed is sent again.

    :param lag: as of :class:`Dispatcher`
    :return: the command, and whether it was sent just now
    :raises SuperSimError: the API refused it, or could not be reached
    """
    entry = ledger.entry(request.sim)
    if entry and entry.sid:
        command = await client.get_ip_command(entry.sid)
        ledger.settle(command)
        if not command.status.settled or command.status.succeeded:
            return command, False
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
    return accepted[0], True
