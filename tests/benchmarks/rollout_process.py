"""A rollout to the Fleet field-devices in this process; prints what it took, as JSON. Called by scale."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from functools import partial
from types import SimpleNamespace
from typing import Any

from airflow_provider_supersim.delivery.dispatch import Dispatcher
from airflow_provider_supersim.delivery.ledger import Ledger, NoStore
from airflow_provider_supersim.delivery.rollout import Rollout, Rules, Wait
from airflow_provider_supersim.delivery.targets import plan, row_of_sim
from airflow_provider_supersim.delivery.template import PayloadTemplate
from airflow_provider_supersim.delivery.watch import watcher_of
from airflow_provider_supersim.delivery.waves import Gate
from airflow_provider_supersim.hooks.account import Account


async def roll_out(connection: dict[str, Any]) -> dict[str, Any]:
    fields = {"conn_id": "bench", "host": None, "login": None, "password": None, "port": None, "schema": None}
    account = Account.read(SimpleNamespace(**{**fields, **connection}), connection["extra"])
    watcher = watcher_of(account, partial(account.client, keep_trying=0))
    began, imported = time.monotonic(), _cpu()
    async with account.client() as client:
        rows = [
            row_of_sim(sim)
            async for sim in client.iter_sims(fleet="field-devices")
            if sim.status in ("active", "ready")
        ]
        devices = plan(
            rows, template=PayloadTemplate("apn=iot.example;name={{ device.unique_name }}"), device_port=5683
        )
        del rows
        ledger = await Ledger.open(NoStore(), clears=0, restart=False)

        async def look(sids: list[str]) -> None:
            await watcher.wait(sids, interval=1, timeout=0, on_read=ledger.settle)

        rollout = Rollout(
            ledger,
            devices,
            Rules(waves=["100%"], gate=Gate(0.1, 20), attempts=1, attempt_delay=0, wave_timeout=900, window=None),
            dispatcher=lambda may_leave: Dispatcher(client, ledger, concurrency=100, may_leave=may_leave),
            look=look,
            fresh=True,
        )
        while isinstance(step := await rollout.advance(), Wait):
            await watcher.wait(step.sids, interval=5, timeout=step.until - time.time(), on_read=ledger.settle)
    return {
        "devices": len(devices),
        "sent": step.summary["sent"],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cpu": _cpu() - imported,
        "seconds": time.monotonic() - began,
    }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    print(json.dumps(asyncio.run(roll_out(json.loads(sys.argv[1])))))
