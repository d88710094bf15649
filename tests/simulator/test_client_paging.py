"""Lists are followed page by page to their end, and to the same origin only."""

from __future__ import annotations

import anyio
import pytest
from clients import COMMANDS, client_at, client_of, listed, seen
from raw_server import raw_server, reply

from airflow_provider_supersim.api import paging
from airflow_provider_supersim.api.errors import (
    BadRequestError,
    NotFoundError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)

pytestmark = pytest.mark.anyio

#: Seconds after which a list that never ends fails its test.
FOR_EVER = 60


def token():
    return reply({"access_token": "token", "expires_in": 3600})


def page(*sids, next_page_url=None):
    return reply(
        {
            "sims": [{"sid": sid, "status": "active"} for sid in sids],
            "meta": {"next_page_url": next_page_url},
        }
    )


async def test_the_largest_pages_that_the_vendor_documents_are_asked_for(supersim_simulator, vendor):
    supersim_simulator.reset(sims=2150)
    async with client_of(supersim_simulator, vendor) as client:
        await listed(client.iter_ip_commands())
        sims = await listed(client.iter_sims(fleet="field-devices", status="active"))
        await listed(client.iter_fleets())
    asked = [
        seen(supersim_simulator, "GET", path)[0]["query"]["PageSize"] for path in (COMMANDS, "/v1/Sims", "/v1/Fleets")
    ]
    assert asked == ["100" if vendor == "kore" else "1000", "1000", "1000"]
    truth = supersim_simulator.sims("field-devices", status="active")
    assert {sim.sid for sim in sims} == {sim["sid"] for sim in truth}
    assert len(sims) == len(truth)


async def test_a_large_fleet_takes_few_requests(supersim_simulator, vendor):
    supersim_simulator.reset(sims=20_000)
    async with client_of(supersim_simulator, vendor) as client:
        sims = await listed(client.iter_sims(fleet="field-devices"))
    assert len({sim.sid for sim in sims}) == len(sims) == 20_006
    assert len(seen(supersim_simulator, "GET", "/v1/Sims")) == 21


async def test_smaller_pages_are_asked_for_if_the_api_refuses_the_documented_size():
    refusal = reply({"code": 83600, "message": "PageSize"}, status="400 Bad Request")
    answers = token(), refusal, page("HS1"), page("HS2")
    async with raw_server(*answers) as server, client_at(server.url, "kore") as client:
        assert [sim.sid async for sim in client.iter_sims()] == ["HS1"]
        assert client.page_size("/v1/Sims") == 100
        assert [sim.sid async for sim in client.iter_sims()] == ["HS2"]
    targets = [request.target for request in server.requests[1:]]
    assert targets == [f"/v1/Sims?PageSize={size}" for size in (1000, 100, 100)]


async def test_a_refusal_for_another_reason_is_told_and_teaches_nothing():
    refusal = reply({"code": 83600, "message": "Fleet"}, status="400 Bad Request")
    async with raw_server(token(), refusal) as server, client_at(server.url, "kore") as client:
        with pytest.raises(BadRequestError, match="Fleet"):
            await listed(client.iter_sims(fleet="?"))
        assert client.page_size("/v1/Sims") == 1000
    assert len(server.requests) == 3


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 1000])
async def test_nothing_is_lost_or_told_twice_at_any_page_size(supersim_simulator, page_size):
    async with client_of(supersim_simulator) as client:
        sent = [(await client.send_ip_command("device-0001", "x", 1)).sid for _ in range(7)]
        found = [command.sid async for command in client.iter_ip_commands(page_size=page_size)]
    assert found == sent[::-1]
    assert len(seen(supersim_simulator, "GET", COMMANDS)) == -(-7 // page_size)


async def test_filters_hold_on_every_page(supersim_simulator):
    async with client_of(supersim_simulator) as client:
        for number in range(6):
            await client.send_ip_command(f"device-000{number % 2 + 1}", "x", 1)
        found = [command.sim_sid async for command in client.iter_ip_commands(sim="device-0001", page_size=2)]
    assert len(found) == 3
    assert len(set(found)) == 1


async def test_commands_sent_while_paging_do_not_move_what_is_still_to_come(supersim_simulator):
    async with client_of(supersim_simulator) as client:
        sent = [(await client.send_ip_command("device-0001", "x", 1)).sid for _ in range(6)]
        found = []
        async for command in client.iter_ip_commands(page_size=2):
            found.append(command.sid)
            await client.send_ip_command("device-0002", "x", 1)
    assert found == sent[::-1]


async def test_an_empty_list_is_empty(supersim_simulator, vendor):
    async with client_of(supersim_simulator, vendor) as client:
        assert await listed(client.iter_ip_commands()) == []


async def test_no_page_is_asked_for_before_it_is_wanted(supersim_simulator):
    async with client_of(supersim_simulator) as client:
        sims = client.iter_sims(page_size=10)
        for _ in range(10):
            await anext(sims)
        assert len(seen(supersim_simulator, "GET", "/v1/Sims")) == 1
        await sims.aclose()


async def test_links_are_followed_letter_for_letter(supersim_simulator):
    link = "/v1/Sims?PageSize=2&Page=1&PageToken=PA%2Bx%20y%3D&Fleet=a%26b"
    async with raw_server(page("HS1", next_page_url=link), page("HS2")) as server, client_at(server.url) as client:
        assert [sim.sid async for sim in client.iter_sims()] == ["HS1", "HS2"]
    path, _, query = server.requests[1].target.partition("?")
    assert path == "/v1/Sims"
    assert query.replace("%20", "+") == "PageSize=2&Page=1&PageToken=PA%2Bx+y%3D&Fleet=a%26b"


async def test_credentials_never_follow_a_link_to_another_origin():
    async with raw_server(page("HS9")) as elsewhere:
        first = page("HS1", next_page_url=f"{elsewhere.url}/v1/Sims?Page=1")
        async with raw_server(first) as server, client_at(server.url) as client:
            sims = client.iter_sims()
            assert (await anext(sims)).sid == "HS1"
            with pytest.raises(UnreadableReplyError, match=f"at http://127.0.0.1, not at {server.url}") as caught:
                await anext(sims)
    assert caught.value.verdict is Verdict.REFUSED
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status):
    async with raw_server(page("HS9")) as elsewhere:
        moved = reply(status=f"{status} Moved", Location=f"{elsewhere.url}/v1/Sims")
        async with raw_server(moved) as server, client_at(server.url) as client:
            with pytest.raises(SuperSimError) as caught:
                await listed(client.iter_sims())
    assert caught.value.status == status
    assert elsewhere.connections == 0
    assert len(server.requests) == 1


async def test_a_page_that_fails_is_read_again_and_nothing_is_lost(supersim_simulator):
    async with client_of(supersim_simulator) as client:
        sent = [(await client.send_ip_command("device-0001", "x", 1)).sid for _ in range(6)]
        supersim_simulator.faults(
            {"kind": "error_before", "status": 503, "count": 1, "skip": 1, "path": COMMANDS, "method": "GET"},
            {"kind": "garbage", "body": "truncated", "count": 1, "skip": 1, "path": COMMANDS, "method": "GET"},
        )
        found = [command.sid async for command in client.iter_ip_commands(page_size=2)]
    assert found == sent[::-1]


async def test_a_page_size_above_the_vendors_is_its_refusal(supersim_simulator):
    async with client_of(supersim_simulator, "kore") as client:
        with pytest.raises(SuperSimError) as caught:
            await listed(client.iter_ip_commands(page_size=101))
    assert (caught.value.status, caught.value.code) == (400, 83600)


async def test_a_fleet_that_is_not_there_is_not_found(supersim_simulator):
    async with client_of(supersim_simulator) as client:
        with pytest.raises(NotFoundError) as caught:
            await client.get_fleet("nowhere")
    assert (caught.value.status, caught.value.code) == (404, 20404)


def leading_to(address, *sids):
    """Answer each request with a page whose next one is at an address made of the number of requests."""

    async def answer(writer, requests):
        number = len(requests)
        writer.write(page(*(sid.format(number) for sid in sids), next_page_url=address(number)))
        await writer.drain()

    return answer


async def read_until_error(server, client):
    found = []

    async def read():
        async for sim in client.iter_sims():
            found.append(sim.sid)  # noqa: PERF401  # a comprehension would lose what came before the error

    with anyio.fail_after(FOR_EVER), pytest.raises(UnreadableReplyError, match="the list does not end: ") as caught:
        await read()
    assert caught.value.verdict is Verdict.REFUSED
    return found, len(server.requests), str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        lambda _: "/v1/Sims?PageSize=1000",
        lambda number: f"/v1/Sims?PageSize=1000#{number}",
        lambda number: f"/v1/Sims?Page={number % 2}",
    ],
    ids=["itself", "itself, with a fragment", "two"],
)
async def test_a_list_that_leads_back_is_not_followed_and_no_page_is_shown_twice(address):
    async with raw_server(leading_to(address, "HS1", "HS2")) as server, client_at(server.url) as client:
        found, requests, _ = await read_until_error(server, client)
    assert found == ["HS1", "HS2"]
    assert requests <= 3


@pytest.mark.parametrize("sids", [(), ("HS1", "HS2")], ids=["empty", "the same rows"])
async def test_pages_without_end_that_show_nothing_new_are_an_error(sids):
    endless = leading_to(lambda number: f"/v1/Sims?Page={number}", *sids)
    async with raw_server(endless) as server, client_at(server.url) as client:
        found, requests, _ = await read_until_error(server, client)
    assert found == list(sids)
    assert requests <= paging.MOST_IDLE_PAGES + 1


async def test_pages_without_end_are_an_error(monkeypatch):
    monkeypatch.setattr(paging, "MOST_PAGES", 30)
    endless = leading_to(lambda number: f"/v1/Sims?Page={number}", "HS{}")
    async with raw_server(endless) as server, client_at(server.url) as client:
        found, requests, said = await read_until_error(server, client)
    assert found == [f"HS{number}" for number in range(1, 31)]
    assert requests == 30
    assert "30 pages" in said


async def test_an_empty_page_amid_others_ends_no_list():
    answers = page("HS1", next_page_url="/v1/Sims?Page=1"), page(next_page_url="/v1/Sims?Page=2"), page("HS2")
    async with raw_server(*answers) as server, client_at(server.url) as client:
        assert [sim.sid async for sim in client.iter_sims()] == ["HS1", "HS2"]


async def test_a_row_that_cannot_be_read_is_skipped_and_said_once(everything_logged):
    rows = [{"sid": "HS1", "status": None}, None, {"status": "active"}, {"sid": "HS2", "links": 7, "date_created": "?"}]
    answer = reply({"sims": rows, "meta": {}})
    async with raw_server(answer) as server, client_at(server.url) as client:
        for _ in range(2):
            assert [sim.sid async for sim in client.iter_sims()] == ["HS1", "HS2"]
    said = [record.getMessage() for record in everything_logged.records if record.name.startswith("airflow_provider")]
    assert len(said) == 1
    assert said[0].startswith("Skipped 2 rows of the list /v1/Sims")
    assert said[0].endswith("[rows-skipped]")


async def test_an_account_with_a_row_that_cannot_be_read_can_still_send(vendor):
    """Its clock was read from the list."""
    page = reply({"ip_commands": [7, {"sid": "HG0", "status": None}], "meta": {}}, Date="Thu, 02 Jan 2031 03:04:05 GMT")
    sent = reply({"sid": "HG1"}, status="201 Created")
    signed_in = (token(),) if vendor == "kore" else ()
    async with raw_server(*signed_in, page, sent) as server, client_at(server.url, vendor) as client:
        assert [command.sid async for command in client.iter_ip_commands()] == ["HG0"]
        assert (await client.send_ip_command("s", "x", 1)).sid == "HG1"
