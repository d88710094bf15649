"""Where the rows of a rollout come from: a Fleet, a list, or a file in object storage."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.api.models import SimStatus
from airflow_provider_supersim.delivery.targets.files import ENCODING, rows_from_file
from airflow_provider_supersim.delivery.targets.rows import row_from_sim, rows_from_list
from airflow_provider_supersim.exceptions import NoTargetsError, NoTargetsSkippedError
from airflow_provider_supersim.runs.storage import Storage
from airflow_provider_supersim.words import count

if TYPE_CHECKING:
    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.delivery.state.working_set import WorkingSet
    from airflow_provider_supersim.hooks.supersim import SuperSimHook
    from airflow_provider_supersim.runs.arguments import RolloutArguments

log = logging.getLogger(__name__)

REACHABLE = (SimStatus.ACTIVE, SimStatus.READY)
#: The API refuses a command to a SIM in one of these. Of a status that it does not state, or that is new, nobody knows.
UNREACHABLE = (SimStatus.NEW, SimStatus.INACTIVE, SimStatus.SCHEDULED)
NAMED = 5  # SIMs in one message


def rows(arguments: RolloutArguments, hook: SuperSimHook, working_set: WorkingSet) -> Iterable[Mapping[str, Any]]:
    """Return a row for each target.

    :param working_set: keeps the SIMs of a Fleet until all of them are listed
    :raises ValueError: the targets are no list, or their file does not exist or cannot be used
    :raises StorageError: their file cannot be read
    :raises SuperSimError: the Fleet cannot be read
    """
    if arguments.fleet is not None:
        return hook.run(_rows_of_fleet, arguments.fleet, working_set)
    if arguments.targets is not None:
        return rows_from_list(arguments.targets)
    return _rows_of_file(str(arguments.targets_path))


def check_any(number: int, arguments: RolloutArguments) -> None:
    """Do with a rollout without targets what ``on_empty`` says.

    :param number: of rows
    :raises NoTargetsError: it has none and fails
    :raises NoTargetsSkippedError: it has none and is skipped
    """
    if number or arguments.on_empty == "succeed":
        return
    if arguments.fleet is not None:
        what = f"fleet {arguments.fleet} has no active or ready SIM"
    elif arguments.targets is not None:
        what = "targets is an empty list"
    else:
        what = f"targets_path {arguments.targets_path} has no rows"
    if arguments.on_empty == "skip":
        raise NoTargetsSkippedError(f"Nothing to send: {what}. The task is skipped, as on_empty says.")
    raise NoTargetsError(
        f"Nothing to send: {what}.\nRetries do not run. If that is normal, set on_empty to 'skip' or 'succeed'; "
        "otherwise correct it, then clear this task."
    )


async def _rows_of_fleet(client: AsyncSuperSimClient, fleet: str, working_set: WorkingSet) -> Iterable[dict[str, Any]]:
    await client.get_fleet(fleet)  # otherwise a mistyped name looks like an empty fleet
    unproved: dict[str, SimStatus] = {}
    async for sim in client.iter_sims(fleet=fleet):
        if sim.status in UNREACHABLE:
            continue
        if sim.status not in REACHABLE:
            unproved[sim.unique_name or str(sim.sid)] = sim.status
        working_set.list_sim(str(sim.sid), row_from_sim(sim))
    if unproved:
        log.warning(
            "%s of fleet %s: not known whether active, sending to them all the same: %s. The API says: %s "
            "[sim-status-unknown]",
            count(len(unproved), "SIM"),
            fleet,
            ", ".join(sorted(unproved)[:NAMED]),
            ", ".join(sorted({status.value for status in unproved.values()})[:NAMED]),
        )
    # Keyed by sid, because a SIM can appear twice if the Fleet changes between pages. Sorted, because the API promises
    # no order, and every try needs the same.
    return working_set.listed_sims()


def _rows_of_file(given: str) -> Iterator[dict[str, Any]]:
    storage = Storage("targets_path", given)
    try:
        with storage.fetched() as file, file.open(encoding=ENCODING, newline="") as lines:
            yield from rows_from_file(lines, PurePosixPath(given).suffix.lower())
    except FileNotFoundError:
        raise BadInputError(f"targets_path {given!r} does not exist") from None
    except OSError as error:
        raise storage.failure(error, "read") from error
