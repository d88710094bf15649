"""Sees that a list ends: no page is shown twice, and there is a most of pages. No I/O."""

from __future__ import annotations

from typing import Generic, TypeVar

import httpx

from airflow_provider_supersim.api.errors import UnreadableReplyError, Verdict
from airflow_provider_supersim.api.models import Resource
from airflow_provider_supersim.api.reading import Page
from airflow_provider_supersim.api.requests import describe
from airflow_provider_supersim.words import count

R = TypeVar("R", bound=Resource)

#: Pages of a list, at most: 10 million rows of the vendor with the smallest pages.
MOST_PAGES = 100_000
#: Pages in a row that show nothing new, at most.
MOST_IDLE_PAGES = 100


class Pages(Generic[R]):
    """The pages of one list, as they come.

    :param first: the request for the first page
    """

    def __init__(self, first: httpx.Request) -> None:
        self._addresses = {str(first.url)}
        self._shown: set[tuple[str | None, str | None, int]] = set()
        self._idle = 0

    def new_rows(self, page: Page[R]) -> list[R]:
        """Return the rows of a page; none if an earlier page had the same ones."""
        rows = page.items
        if rows:
            edges = rows[0].sid, rows[-1].sid, len(rows)
            rows = [] if edges in self._shown else rows
            self._shown.add(edges)
        self._idle = 0 if rows else self._idle + 1
        return rows

    def follow(self, following: httpx.Request) -> httpx.Request:
        """Return the request for the next page.

        :raises UnreadableReplyError: the list would not end
        """
        address = str(following.url)
        if address in self._addresses:
            raise _endless(following, "it leads back to an earlier page")
        if self._idle >= MOST_IDLE_PAGES:
            raise _endless(following, f"{count(self._idle, 'page')} in a row show nothing new")
        if len(self._addresses) >= MOST_PAGES:
            raise _endless(following, f"it has more than {count(MOST_PAGES, 'page')}")
        self._addresses.add(address)
        return following


def _endless(request: httpx.Request, why: str) -> UnreadableReplyError:
    return UnreadableReplyError(f"the list does not end: {why}", request=describe(request), verdict=Verdict.REFUSED)
