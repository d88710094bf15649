"""The hook, in your own task."""

from __future__ import annotations

import asyncio

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_supersim.hooks.supersim import SuperSimHook


@dag(schedule=None)
def hook() -> None:
    """Read with the hook."""

    # [START blocking]
    @task
    def who_has_answered() -> dict[str, str]:
        hook = SuperSimHook("supersim_default")
        names = {sim.sid: sim.unique_name or sim.sid for sim in hook.iter_sims(fleet="field-devices")}
        answers = hook.iter_ip_commands(direction="from_sim")  # of the whole account, other Fleets included
        return {names[answer.sim_sid]: answer.payload for answer in answers if answer.sim_sid in names}  # base64

    # [END blocking]

    # [START coroutines]
    @task
    def sims_by_status() -> dict[str, int]:
        async def count() -> dict[str, int]:
            counts: dict[str, int] = {}
            async with SuperSimHook().client() as client:
                async for sim in client.iter_sims():
                    counts[sim.status] = counts.get(sim.status, 0) + 1
            return counts

        return asyncio.run(count())

    # [END coroutines]

    who_has_answered()
    sims_by_status()


hook()
