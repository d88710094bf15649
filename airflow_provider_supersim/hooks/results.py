"""What the hook returns: a resource of the API that a task can return too.

Airflow keeps what a task returns as JSON. Of other classes it takes only those that an installation allows to be read
back (``[core] allowed_deserialization_classes``), so a result is a ``dict`` first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar, cast

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.models import IpCommand, IpCommandRequest, Resource

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


class ReturnableClient(AsyncSuperSimClient):
    """A client whose results a task can return."""

    async def send(self, command: IpCommandRequest, **options: Any) -> IpCommand:
        """Send a command, as :meth:`AsyncSuperSimClient.send` does."""
        return returnable(await super().send(command, **options))

    async def _get_one(self, collection: str, sid_or_name: str, kind: type[R]) -> R:
        return returnable(await super()._get_one(collection, sid_or_name, kind))

    async def _iterate(
        self, collection: str, query: Mapping[str, str | None], kind: type[R], page_size: int | None
    ) -> AsyncIterator[R]:
        async for resource in super()._iterate(collection, query, kind, page_size):
            yield returnable(resource)
