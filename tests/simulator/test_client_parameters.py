"""Every parameter of the reference arrives at the API under its name, and every resource is read."""

from __future__ import annotations

import base64

import pytest
from clients import COMMANDS, client_at, client_of, listed, seen
from raw_server import raw_server, reply

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("arguments", "form"),
    [
        ({}, {}),
        ({"sim": "device-0002"}, {"Sim": "device-0002"}),
        ({"payload": "größe=1&a=%20+ \n☃"}, {"Payload": "größe=1&a=%20+ \n☃"}),
        ({"payload": {"apn": "iot", "n": 1}}, {"Payload": '{"apn":"iot","n":1}'}),
        ({"payload": b"\x00\xff"}, {"Payload": "AP8=", "PayloadType": "binary"}),
        ({"payload": "AP8=", "payload_type": "binary"}, {"Payload": "AP8=", "PayloadType": "binary"}),
        ({"payload_type": "text"}, {"PayloadType": "text"}),
        ({"device_port": 65535}, {"DevicePort": "65535"}),
        ({"device_port": "1"}, {"DevicePort": "1"}),
        ({"callback_url": "http://127.0.0.1:9/a?b=c&d=%C3%A9"}, {"CallbackUrl": "http://127.0.0.1:9/a?b=c&d=%C3%A9"}),
        (
            {"callback_url": "http://127.0.0.1:9/", "callback_method": "get"},
            {"CallbackUrl": "http://127.0.0.1:9/", "CallbackMethod": "GET"},
        ),
        (
            {"callback_url": "http://127.0.0.1:9/", "callback_method": "POST"},
            {"CallbackUrl": "http://127.0.0.1:9/", "CallbackMethod": "POST"},
        ),
    ],
)
async def test_each_parameter_of_a_command_is_sent_as_the_reference_names_it(
    supersim_simulator, vendor, arguments, form
):
    supersim_simulator.stop_clock()
    async with client_of(supersim_simulator, vendor) as client:
        await client.send_ip_command(**{"sim": "device-0001", "payload": "x", "device_port": 2048, **arguments})
    (request,) = seen(supersim_simulator, "POST", COMMANDS)
    assert request["form"] == {
        "Sim": "device-0001",
        "Payload": "x",
        "DevicePort": "2048",
        "PayloadType": "text",
        **form,
    }
    assert request["query"] == {}


async def test_a_command_that_was_accepted_is_read(supersim_simulator, vendor):
    supersim_simulator.stop_clock("2026-11-23T05:00:00Z")
    async with client_of(supersim_simulator, vendor) as client:
        command = await client.send_ip_command("device-0001", b"\x01\x02", 2048)
        supersim_simulator.advance(2)
        later = await client.get_ip_command(command.sid)
        sim = await client.get_sim("device-0001")
    (truth,) = supersim_simulator.commands()
    assert command.sid == later.sid == truth["sid"]
    assert command.sim_sid == truth["sim_sid"] == sim.sid
    assert (command.sim_iccid, command.account_sid) == (sim.iccid, sim.account_sid)
    assert (command.status, later.status) == ("queued", "sent")
    assert (command.direction, command.payload_type, command.payload) == ("to_sim", "binary", "AQI=")
    assert command.device_port == 2048
    assert command.device_ip is None
    assert later.device_ip == truth["device_ip"]
    assert command.date_created.isoformat() == "2026-11-23T05:00:00+00:00"
    assert later.date_updated > later.date_created
    assert command.url == f"{supersim_simulator.url}{COMMANDS}/{command.sid}"


async def test_what_arrives_at_the_device_is_what_was_sent(supersim_simulator):
    supersim_simulator.reset(settle=0)
    payloads = ["größe ☃", "x" * 1300, bytes(range(256)), "é" * 650]
    async with client_of(supersim_simulator) as client:
        for payload in payloads:
            await client.send_ip_command("device-0001", payload, 2048)
    received = [base64.b64decode(datagram["base64"]) for datagram in supersim_simulator.datagrams()]
    assert received == [payload if isinstance(payload, bytes) else payload.encode() for payload in payloads]


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {}),
        ({"sim": "device-0001"}, {"Sim": "device-0001"}),
        ({"sim": "a b+c&d=é/?#%20"}, {"Sim": "a b+c&d=é/?#%20"}),
        ({"sim_iccid": "89883070000000000008"}, {"SimIccid": "89883070000000000008"}),
        ({"status": "failed"}, {"Status": "failed"}),
        ({"direction": "from_sim"}, {"Direction": "from_sim"}),
        ({"page_size": 7}, {"PageSize": "7"}),
        (
            {"sim": "device-0001", "status": "sent", "direction": "to_sim"},
            {"Sim": "device-0001", "Status": "sent", "Direction": "to_sim"},
        ),
    ],
)
async def test_each_filter_of_the_command_list_is_sent(supersim_simulator, vendor, arguments, query):
    async with client_of(supersim_simulator, vendor) as client:
        await listed(client.iter_ip_commands(**arguments))
        largest = {"PageSize": str(client.page_size(COMMANDS))}
    (request,) = seen(supersim_simulator, "GET", COMMANDS)
    assert request["query"] == {**largest, **query}


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ({}, {}),
        ({"fleet": "lab"}, {"Fleet": "lab"}),
        ({"status": "inactive"}, {"Status": "inactive"}),
        ({"iccid": "89883070000000000008"}, {"Iccid": "89883070000000000008"}),
        ({"page_size": 100}, {"PageSize": "100"}),
    ],
)
async def test_each_filter_of_the_sim_list_is_sent(supersim_simulator, vendor, arguments, query):
    async with client_of(supersim_simulator, vendor) as client:
        largest = {"PageSize": str(client.page_size("/v1/Sims"))}
        await listed(client.iter_sims(**arguments))
    request = seen(supersim_simulator, "GET", "/v1/Sims")[0]
    assert request["query"] == {**largest, **query}


async def test_the_filters_choose(supersim_simulator):
    supersim_simulator.reset(sims=20, settle=1)
    supersim_simulator.stop_clock()
    supersim_simulator.set_behaviour("device-0002", network="offline")
    async with client_of(supersim_simulator) as client:
        for number in (1, 2, 3):
            await client.send_ip_command(f"device-000{number}", "x", 1)
        supersim_simulator.advance(2)
        await client.send_ip_command("device-0001", "x", 1)
        first = await client.get_sim("device-0001")

        async def count(**filters):
            return len(await listed(client.iter_ip_commands(**filters)))

        assert await count() == 4
        assert await count(sim="device-0001") == await count(sim=first.sid) == await count(sim_iccid=first.iccid) == 2
        assert await count(status="failed") == 1
        assert await count(status="sent") == 2
        assert await count(sim="device-0001", status="queued") == 1
        assert await count(direction="from_sim") == 0
        assert [sim.sid for sim in await listed(client.iter_sims(iccid=first.iccid))] == [first.sid]
        fleet = await client.get_fleet("lab")
        lab = await listed(client.iter_sims(fleet="lab"))
        assert {sim.fleet_sid for sim in lab} == {fleet.sid}
        assert lab == await listed(client.iter_sims(fleet=fleet.sid))
        inactive = await listed(client.iter_sims(status="inactive"))
        assert {sim.status for sim in inactive} == {"inactive"}


async def test_sims_and_fleets_are_fetched_by_sid_and_by_unique_name(supersim_simulator, vendor):
    async with client_of(supersim_simulator, vendor) as client:
        sim = await client.get_sim("device-0001")
        assert await client.get_sim(sim.sid) == sim
        assert (sim.unique_name, sim.status) == ("device-0001", "active")
        fleet = await client.get_fleet("field-devices")
        assert await client.get_fleet(fleet.sid) == fleet
        assert sim.fleet_sid == fleet.sid
        assert (fleet.unique_name, fleet.data_enabled) == ("field-devices", True)
        assert fleet in await listed(client.iter_fleets())


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("pump 7", "/v1/Sims/pump%207"),
        ("pump/7", "/v1/Sims/pump%2F7"),
        ("größe", "/v1/Sims/gr%C3%B6%C3%9Fe"),
        ("a?b#c%2Fd", "/v1/Sims/a%3Fb%23c%252Fd"),
        ("../Fleets/x", "/v1/Sims/..%2FFleets%2Fx"),
        ("%2e%2e", "/v1/Sims/%252e%252e"),
    ],
)
async def test_a_name_stays_one_segment_of_the_path_on_the_wire(name, target):
    async with raw_server(reply({"sid": "HS1", "status": "active"})) as server, client_at(server.url) as client:
        await client.get_sim(name)
    assert [request.target for request in server.requests] == [target]


@pytest.mark.parametrize("name", ["pump 7", "größe ☃", "100%", "a+b", "a&b=c"])
async def test_a_sim_with_an_odd_name_is_found_and_reached(supersim_simulator, name):
    supersim_simulator.seed(sims=[{"unique_name": name}])
    async with client_of(supersim_simulator) as client:
        sim = await client.get_sim(name)
        assert sim.unique_name == name
        command = await client.send_ip_command(name, "x", 1)
        assert command.sim_sid == sim.sid
        assert [one.sid for one in await listed(client.iter_ip_commands(sim=name))] == [command.sid]


@pytest.mark.parametrize(
    "arguments",
    [{"sim": " "}, {"payload": ""}, {"payload": "é" * 651}, {"device_port": 65536}, {"callback_url": "ftp://x"}],
)
async def test_what_cannot_be_right_never_leaves(supersim_simulator, arguments):
    async with client_of(supersim_simulator) as client:
        with pytest.raises(ValueError, match=next(iter(arguments))):
            await client.send_ip_command(**{"sim": "device-0001", "payload": "x", "device_port": 1, **arguments})
    assert supersim_simulator.requests()["total"] == 0
