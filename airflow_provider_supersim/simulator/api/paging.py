"""Pages of a list, newest first. A page token names an item, so new items do not shift the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from airflow_provider_supersim.simulator.api.errors import invalid

_LONGEST = 1_000_000_000
"""No list has more items."""


class Item(Protocol):
    """What a list holds, numbered in the order of creation."""

    number: int
    sid: str


T = TypeVar("T", bound=Item)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page: its number from 0, its size, and the token from the page before."""

    number: int
    size: int
    token: str | None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list with its filters applied.

    :param key: its name in the JSON.
    :param older: yields items below a number, newest first; None: all.
    :param newer: yields items above a number, oldest first.
    :param find: returns the item with a sid.
    """

    key: str
    older: Callable[[int | None], Iterator[T]]
    newer: Callable[[int], Iterator[T]]
    find: Callable[[str], T | None]

    def page(
        self, wanted: PageRequest, filters: dict[str, str], *, url: str, render: Callable[[T], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return one page as the API writes it.

        :param filters: the filters of the request, which the links repeat.
        :param url: the list's URL, with the host as the client named it.
        """
        token = wanted.token
        if token is None:
            skipped = min(wanted.number * wanted.size, _LONGEST)
            items = list(islice(self.older(None), skipped, skipped + wanted.size + 1))
        elif token.startswith("PB"):
            items = list(islice(self.newer(self._named(token)), wanted.size + 1))
        else:
            items = list(islice(self.older(self._named(token)), wanted.size + 1))
        more = len(items) > wanted.size
        del items[wanted.size :]
        backwards = token is not None and token.startswith("PB")
        if backwards:
            items.reverse()
        has_next, has_previous = (True, more) if backwards else (more, wanted.number > 0)

        def link(number: int, token: str | None) -> str:
            query = {**filters, "PageSize": str(wanted.size), "Page": str(number)}
            if token is not None:
                query["PageToken"] = token
            return f"{url}?{urlencode(query)}"

        before = f"PB{items[0].sid}" if items else None
        after = f"PA{items[-1].sid}" if items else None
        return {
            self.key: [render(item) for item in items],
            "meta": {
                "key": self.key,
                "page": wanted.number,
                "page_size": wanted.size,
                "url": link(wanted.number, token),
                "first_page_url": link(0, None),
                "previous_page_url": link(max(0, wanted.number - 1), before) if has_previous else None,
                "next_page_url": link(wanted.number + 1, after) if has_next and items else None,
            },
        }

    def _named(self, token: str) -> int:
        item = self.find(token[2:]) if token.startswith(("PA", "PB")) else None
        if item is None:
            raise invalid("PageToken", token, "was not given by this API")
        return item.number
