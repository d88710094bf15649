"""The sids and ICCIDs of SIMs that are looked up: rows of the API's list name a SIM by these alone."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.api.errors import NotFoundError
from airflow_provider_supersim.api.models import Sim
from airflow_provider_supersim.api.requests import SIMS

#: Up to this many SIMs are asked for one by one.
FEW = 3


class SimBook:
    """What is known of SIMs, by the sid or unique name that the DAG calls them by. It asks the API once for each."""

    def __init__(self) -> None:
        self._known: dict[str, Sim | None] = {}  # ``None``: the account has no such SIM

    def find(self, name: str) -> Sim | None:
        """Return the SIM; ``None`` if it was not learned, or there is none."""
        return self._known.get(name)

    async def learn(self, client: AsyncSuperSimClient, names: Iterable[str]) -> None:
        """Ask the API for those that are not known.

        :param names: sids or unique names
        :raises SuperSimError: it cannot tell
        """
        missing = set(names) - self._known.keys()
        if len(missing) > FEW:
            await self._learn_from_list(client, missing)
        for name in missing:
            try:
                self._known[name] = await client.get_sim(name)
            except NotFoundError:
                self._known[name] = None

    async def _learn_from_list(self, client: AsyncSuperSimClient, missing: set[str]) -> None:
        """Read the list while that is cheaper; take those out of ``missing`` that it shows."""
        seen, affordable = 0, len(missing) * client.page_size(SIMS)
        async for sim in client.iter_sims():
            seen += 1
            for name in {sim.sid, sim.unique_name} & missing:
                self._known[str(name)] = sim
                missing.discard(str(name))
            if not missing or seen >= affordable:
                return
