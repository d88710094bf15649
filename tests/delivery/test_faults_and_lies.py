"""All faults at once, and an API that lies meanwhile: no device is lost, none gets two, and what is unknown is said."""

from __future__ import annotations

import anyio
import pytest
from support import TextStore, commands_by_device, devices, every_fault, open_client, rollout, rules, to_the_end

from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.report import Row
from airflow_provider_supersim.delivery.rollout.steps import End, Wait
from airflow_provider_supersim.delivery.state.states import State, word
from airflow_provider_supersim.testing import Simulator

DEVICES = 400
LIST_LAG = 0.5  # seconds
GET_LAG = 3  # seconds


@pytest.mark.parametrize("null_fields", ["payload", "sim_sid", "sim_sid,sim_iccid", "date_created,date_updated"])
def test_each_device_gets_one_command_or_is_unknown(simulator: Simulator, null_fields: str) -> None:
    simulator.reset(sims=DEVICES, settle=0)
    targets = devices(DEVICES)
    store = TextStore()

    async def send(wave_timeout: float) -> tuple[End, list[Row], int]:
        async def wait(_: Wait) -> None:
            await anyio.sleep(0.5)

        ledger = await Ledger.open(store, clears=0, restart=False)
        async with open_client(simulator.url) as client:
            one = rollout(client, ledger, targets, rules(wave_timeout=wave_timeout), lag=LIST_LAG + 0.3)
            end = await to_the_end(one, wait)
        return end, list(one.overview.rows()), one.overview.commands()

    simulator.settings(
        list_lag=LIST_LAG,
        get_lag=GET_LAG,
        date_offset=3600,
        null_fields=null_fields,
        null_ratio=0.1,
        ignored_filters="Sim,Direction",
    )
    simulator.faults(*every_fault(DEVICES))

    end, rows, accepted = anyio.run(send, 60.0)

    assert all(fault["fired"] for fault in simulator.fired())
    got = commands_by_device(simulator)
    sids = {command["sim_name"]: command["sid"] for command in simulator.commands()}
    unknown = {row.sim for row in rows if row.status == word(State.UNKNOWN)}
    assert {row.sim: got[row.sim] for row in rows if got[row.sim] != 1 and row.sim not in unknown} == {}
    assert max(got.values()) == 1
    assert {row.sim: row.sid for row in rows if row.sim not in unknown} == {
        sim: sid for sim, sid in sids.items() if sim not in unknown
    }
    assert {row.status for row in rows} <= {"sent", word(State.UNKNOWN)}
    assert all(row.error for row in rows if row.sim in unknown)
    assert end.summary["sent"] + len(unknown) == DEVICES
    assert accepted == DEVICES - len(unknown)
    if null_fields == "sim_sid":  # the ICCID stands for it
        assert not unknown
    else:
        assert 0 < len(unknown) < DEVICES / 2
