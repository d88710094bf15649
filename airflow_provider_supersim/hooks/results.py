"""What the hook returns: a resource of the API that a task can return too.

Airflow keeps what a task returns as JSON. Of other classes it takes only those that an installation allows to be read
back (``[core] allowed_deserialization_classes``), so a result is a ``dict`` first.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from airflow_provider_supersim.api.models import Resource

R = TypeVar("R", bound=Resource)


class Result(dict[str, Any]):
    """A resource as a dict of JSON types, the one that the operators push. Its attributes are the resource's own.

    :param resource: as the API returned it
    """

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.to_dict())
        self._resource = resource

    def __getattr__(self, name: str) -> Any:
        """Return a field of the resource, with its own type: an enumeration, a point in time."""
        if name.startswith("_"):  # while a pickle or a copy is being made, there is no resource yet
            raise AttributeError(name)
        return getattr(self._resource, name)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by the resource."""
        return Result, (self._resource,)

    def __repr__(self) -> str:
        return repr(self._resource)


def returnable(resource: R) -> R:
    """Return the resource in a form that a task can return. Type checkers see the resource."""
    return cast("R", Result(resource))
