"""The vendor's refusals: each status and code of the reference, from the API as it gives them."""

from __future__ import annotations

import pytest
from clients import client_of, listed, seen

from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    ServerError,
    SuperSimError,
    TooManyRequestsError,
    Verdict,
)

pytestmark = pytest.mark.anyio


async def failure_of(client, sim="device-0001"):
    with pytest.raises(SuperSimError) as caught:
        await client.send_ip_command(sim, "x", 1)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "verdict"),
    [
        (400, 20001, BadRequestError, Verdict.REFUSED),
        (400, 20002, BadRequestError, Verdict.REFUSED),
        (401, 20003, AuthenticationError, Verdict.REFUSED),
        (405, 20004, BadRequestError, Verdict.REFUSED),
        (403, 20006, AuthenticationError, Verdict.REFUSED),
        (404, 20404, NotFoundError, Verdict.REFUSED),
        (401, 20409, AuthenticationError, Verdict.REFUSED),
        (429, 20429, TooManyRequestsError, Verdict.TRY_AGAIN),
        (500, 20500, ServerError, Verdict.UNKNOWN),
        (503, 20503, ServerError, Verdict.UNKNOWN),
        (404, 83005, NotFoundError, Verdict.REFUSED),
        (400, 83400, BadRequestError, Verdict.REFUSED),
        (400, 83401, BadRequestError, Verdict.REFUSED),
        (400, 83402, BadRequestError, Verdict.REFUSED),
        (400, 83600, BadRequestError, Verdict.REFUSED),
    ],
)
async def test_each_code_of_the_reference_comes_with_its_evidence(
    supersim_simulator, vendor, status, code, kind, verdict
):
    supersim_simulator.faults({"kind": "error_before", "status": status, "code": code, "message": "the vendor's words"})
    async with client_of(supersim_simulator, vendor, keep_trying=0, wait_if_busy=0) as client:
        error = await failure_of(client)
    assert type(error) is kind
    assert (error.verdict, error.status, error.code, error.message) == (verdict, status, code, "the vendor's words")
    assert error.more_info.endswith(f"/errors/{code}")
    assert error.request == "POST /v1/IpCommands"
    assert supersim_simulator.commands() == []


@pytest.mark.parametrize(
    ("sim", "status", "code"),
    [("nobody", 404, 83005), ("inactive", 400, 83400), ("dataless", 400, 83400), ("fleetless", 400, 83400)],
)
async def test_a_sim_that_cannot_be_sent_to_is_a_refusal(supersim_simulator, vendor, sim, status, code):
    supersim_simulator.seed(
        sims=[
            {"unique_name": "inactive", "status": "inactive"},
            {"unique_name": "dataless", "fleet": "data-disabled"},
            {"unique_name": "fleetless", "fleet": None},
        ]
    )
    async with client_of(supersim_simulator, vendor) as client:
        error = await failure_of(client, sim)
    assert (error.status, error.code, error.verdict) == (status, code, Verdict.REFUSED)
    assert len(seen(supersim_simulator, "POST", "/v1/IpCommands")) == 1


@pytest.mark.parametrize("sim_status", ["ready", "active"])
async def test_a_ready_and_an_active_sim_can_be_sent_to(supersim_simulator, sim_status):
    supersim_simulator.seed(sims=[{"unique_name": "it", "status": sim_status}])
    async with client_of(supersim_simulator) as client:
        assert (await client.send_ip_command("it", "x", 1)).status == "queued"


async def test_a_command_that_is_not_there_is_not_found(supersim_simulator, vendor):
    async with client_of(supersim_simulator, vendor) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.get_ip_command("HG" + 32 * "0")
    assert (caught.value.code, caught.value.request) == (20404, "GET /v1/IpCommands/HG" + 32 * "0")


async def test_a_wrong_filter_is_the_vendors_refusal(supersim_simulator):
    async with client_of(supersim_simulator) as client:
        with pytest.raises(BadRequestError) as caught:
            await listed(client.iter_ip_commands(status="delivered"))
    assert caught.value.code == 83600


@pytest.mark.parametrize("body", ["html", "empty", "truncated", "wrong-shape"])
async def test_a_useless_body_is_one_clear_error(supersim_simulator, vendor, body):
    supersim_simulator.faults({"kind": "garbage", "body": body, "path": "/v1/"})
    async with client_of(supersim_simulator, vendor, keep_trying=0) as client:
        posted = await failure_of(client)
        with pytest.raises(SuperSimError) as read:
            await listed(client.iter_sims())
    assert (posted.verdict, posted.status) == (Verdict.UNKNOWN, 201)
    assert str(posted).startswith("POST /v1/IpCommands answered 201: the reply cannot be read: ")
    assert (read.value.verdict, read.value.status) == (Verdict.TRY_AGAIN, 200)
