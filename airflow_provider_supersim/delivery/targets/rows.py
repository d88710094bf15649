"""Rows of targets that are not in a file: from a list in the DAG, and from SIMs that the API lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.api.models import Sim


def rows_from_list(targets: Sequence[str | Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Return a row for each target. Items of other types are passed on, for the plan to report.

    :param targets: SIMs by sid or unique name, or dicts with at least ``sim``
    :raises ValueError: it is not a list
    """
    if isinstance(targets, str | bytes | Mapping):
        raise BadInputError(f"targets must be a list of SIMs or of dicts, got {type(targets).__name__}")
    return ({"sim": target} if isinstance(target, str) else target for target in targets)


def row_from_sim(sim: Sim) -> dict[str, Any]:
    """Return the row of a SIM that the API has listed."""
    return {
        "sim": sim.sid,
        "sim_sid": sim.sid,
        "unique_name": sim.unique_name,
        "iccid": sim.iccid,
        "fleet_sid": sim.fleet_sid,
        "status": sim.status.value,
    }
