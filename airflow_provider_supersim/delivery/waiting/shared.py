"""The watchers of this process: one for each account and event loop, shared by all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from weakref import WeakKeyDictionary, WeakValueDictionary

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.delivery.waiting.watcher import Watcher

#: By event loop and account. A watcher lives as long as something holds it, as all who wait do.
_WATCHERS: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, Watcher]] = WeakKeyDictionary()


def watcher_of(account: Hashable, open_client: Callable[[], AsyncSuperSimClient]) -> Watcher:
    """Return the watcher that all who wait for this account on this event loop share.

    :param account: equal for those that may share
    :param open_client: makes the client, which must not retry: the watcher itself counts failures and tries again
    """
    watchers = _WATCHERS.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    watcher = watchers.get(account)
    if watcher is None:
        watcher = watchers[account] = Watcher(open_client)
    return watcher
