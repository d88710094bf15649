"""Timezones by name."""

from __future__ import annotations

from functools import lru_cache

from pendulum import Timezone

from airflow_provider_supersim.api.errors import BadInputError


def zone(name: object) -> Timezone:
    """Return the timezone with this name.

    :param name: such as ``Europe/Berlin``
    :raises ValueError: there is none
    """
    found = _look_up(name) if isinstance(name, str) else None
    if found is None:
        raise BadInputError(f"timezone must be a name such as 'Europe/Berlin', got {name!r}")
    return found


@lru_cache(maxsize=1024)  # zoneinfo caches eight, a fleet can be in more; names that do not exist take longest
def _look_up(name: str) -> Timezone | None:
    try:
        return Timezone(name)
    except (ValueError, OSError):  # OSError if the name is that of a folder in the database
        return None
