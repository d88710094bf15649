"""The control plane: reset, seed, settings, limits, and what it shows of the world."""

import pytest
from polling import wait_until
from vendor_api import COMMANDS


def test_a_reset_makes_a_fresh_world(simulator, twilio):
    twilio.sent()
    simulator.settings(settle=9)
    simulator.faults({"kind": "error_before", "status": 500, "count": 9})
    simulator.set_behaviour("all", network="offline")
    simulator.update_sim("device-0001", status="inactive")
    simulator.seed(fleets=[{"unique_name": "ships"}])
    simulator.reset(sims=3, settle=0.5)
    assert simulator.commands() == simulator.fired() == []
    assert [sim["unique_name"] for sim in simulator.sims(fleet="field-devices", status="active")] == [
        f"device-{number:04d}" for number in (1, 2, 3)
    ]
    assert simulator.options()["settle"] == 0.5
    assert simulator.clock()["running"]
    assert [fleet["unique_name"] for fleet in simulator.fleets()] == ["field-devices", "lab", "data-disabled"]
    assert simulator.requests()["total"] == 0
    simulator.reset()
    assert len(simulator.sims(fleet="lab")) == 5
    assert simulator.options()["sims"] == 200


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sims": -1}, "sims"),
        ({"sims": "many"}, "sims"),
        ({"sims": 5, "offline": 6}, "offline"),
        ({"port": 1}, "port: only a restart"),
        ({"account_sid": "AC1"}, "account_sid"),
        ({"token_lifetime": 10**400}, "token_lifetime"),
        ({"vendor": "both of them"}, "vendor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_reset_that_is_refused_changes_nothing(simulator, twilio, options, named):
    twilio.sent()
    with pytest.raises(ValueError, match=named):
        simulator.reset(**options)
    assert len(simulator.commands()) == 1


def test_seed(simulator, twilio, port):
    made = simulator.seed(
        fleets=[{"unique_name": "ships", "ip_commands_url": "http://127.0.0.1:9/", "ip_commands_method": "GET"}],
        sims=[
            {"unique_name": "titanic", "fleet": "ships", "iccid": "89883070000999999999"},
            {"prefix": "buoy", "count": 12, "fleet": "ships", "status": "ready"},
            {"fleet": None, "status": "new"},
            {"unique_name": "sunk-02", "behaviour": {"network": "offline"}},
        ],
    )
    assert [fleet["unique_name"] for fleet in made["fleets"]] == ["ships"]
    assert [sim["unique_name"] for sim in made["sims"]] == [
        "titanic",
        *(f"buoy-{number:02d}" for number in range(1, 13)),
        None,
        "sunk-02",
    ]
    assert simulator.summary(fleet="ships")["sims"]["total"] == 13
    assert twilio.get("/v1/Sims", Iccid="89883070000999999999").json["sims"][0]["unique_name"] == "titanic"
    assert twilio.get("/v1/Fleets/ships").json["ip_commands_method"] == "GET"
    sids = [twilio.sent(name, port=port) for name in ("titanic", "buoy-12", "sunk-02", made["sims"][0]["sid"])]
    simulator.advance(1)
    assert [twilio.get(f"{COMMANDS}/{sid}").json["status"] for sid in sids] == ["sent", "sent", "failed", "sent"]


@pytest.mark.parametrize(
    ("seed", "named"),
    [
        ({"fleets": [{"unique_name": "lab"}]}, "lab"),
        ({"fleets": [{"unique_name": "a"}, {"unique_name": "a"}]}, "'a'"),
        ({"fleets": [{}]}, "unique_name"),
        ({"fleets": [{"unique_name": "a", "ip_commands_url": "http://127.0.0.1/a b"}]}, "ip_commands_url"),
        ({"fleets": [{"unique_name": "a", "sms_commands_url": "nowhere"}]}, "sms_commands_url"),
        ({"sims": [{"unique_name": "device-0001"}]}, "device-0001"),
        ({"sims": [{"unique_name": "x"}, {"unique_name": "x"}]}, "given twice"),
        ({"sims": [{"prefix": "lab", "count": 3}]}, "lab-01"),
        ({"sims": [{"count": 3}]}, "prefix"),
        ({"sims": [{"fleet": "nowhere"}]}, "nowhere"),
        ({"sims": [{"iccid": "89883070000000000008"}]}, "iccid"),
        ({"sims": [{"status": "lost"}]}, "status"),
        ({"sims": [{"behaviour": {"mood": "bad"}}]}, "mood"),
        ({"sims": [{"prefix": "x", "count": 10**6}, {"prefix": "y", "count": 10**6}]}, "more than"),
    ],
)
def test_a_seed_that_is_refused_adds_nothing(simulator, seed, named):
    before = len(simulator.sims()), len(simulator.fleets())
    with pytest.raises(ValueError, match=named):
        simulator.seed(**seed)
    assert (len(simulator.sims()), len(simulator.fleets())) == before


def test_a_sim_can_be_changed(simulator, twilio):
    sim = simulator.update_sim("device-0001", status="inactive", unique_name="gate-9", fleet="lab")
    assert (sim["status"], sim["unique_name"], sim["fleet"]) == ("inactive", "gate-9", "lab")
    assert twilio.send("gate-9").json["code"] == 83400
    assert twilio.send("device-0001").json["code"] == 83005
    assert simulator.update_sim("gate-9", status="ready")["fleet"] == "lab"
    assert twilio.sent("gate-9")
    assert twilio.get("/v1/Sims/gate-9").json["sid"] == sim["sid"]
    assert simulator.control("GET", "sims/gate-9")["commands"] == 1
    with pytest.raises(ValueError, match="device-0002"):
        simulator.update_sim("gate-9", unique_name="device-0002")
    with pytest.raises(ValueError, match="status"):
        simulator.update_sim("gate-9", status="lost")


def test_a_fleet_can_be_changed(simulator, twilio):
    simulator.update_fleet("field-devices", data_enabled=False)
    assert twilio.send().json["code"] == 83400
    simulator.update_fleet("data-disabled", data_enabled=True)
    assert twilio.send("no-data-01").status == 201
    with pytest.raises(ValueError, match="ip_commands_method"):
        simulator.update_fleet("lab", ip_commands_method="PUT")
    with pytest.raises(ValueError, match="ip_commands_url"):
        simulator.update_fleet("lab", ip_commands_url="http://127.0.0.1/ä", data_limit=7)
    fleet = simulator.update_fleet("lab", sms_commands_url="http://127.0.0.1:9/sms", sms_commands_enabled=False)
    assert (fleet["sms_commands_url"], fleet["sms_commands_enabled"], fleet["data_limit"]) == (
        "http://127.0.0.1:9/sms",
        False,
        1000,
    )


def test_behaviour_one_some_and_all(simulator):
    def networks():
        return [sim["behaviour"]["network"] for sim in simulator.sims()[:4]]

    simulator.set_behaviour("device-0001", network="never", settle=5)
    simulator.set_behaviour(["device-0002", "device-0003"], network="offline")
    assert networks() == ["never", "offline", "offline", "online"]
    simulator.set_behaviour("all", network="flapping", period=10)
    assert networks() == ["flapping"] * 4
    behaviour = simulator.control("GET", "devices/device-0001")["behaviour"]
    assert (behaviour["settle"], behaviour["period"]) == (5, 10)
    assert simulator.control("PATCH", "devices/device-0001", {"settle": None})["behaviour"]["settle"] is None
    assert simulator.control("PATCH", "devices", {"sims": "all", "behaviour": {}})["changed"] == 215


@pytest.mark.parametrize(
    ("behaviour", "named"),
    [
        ({"network": "moon"}, "network"),
        ({"period": 0}, "period"),
        ({"settle": -1}, "settle"),
        ({"mood": "bad"}, "mood"),
        ({"answer": 5}, "answer"),
        ({"answer_base64": "?"}, "answer_base64"),
    ],
)
def test_behaviour_that_is_refused(simulator, behaviour, named):
    with pytest.raises(ValueError, match=named):
        simulator.set_behaviour("device-0001", **behaviour)


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        ("GET", "sims/nobody", None, "nobody"),
        ("PATCH", "devices/nobody", {}, "nobody"),
        ("PATCH", "devices", {"sims": ["nobody"], "behaviour": {}}, "nobody"),
        ("PATCH", "devices", {"behaviour": {}}, "sims"),
        ("GET", "fleets/nobody", None, "nobody"),
        ("GET", "commands?sim=nobody", None, "nobody"),
        ("GET", "summary?fleet=nobody", None, "nobody"),
        ("GET", "commands?limit=x", None, "limit"),
        ("GET", "nowhere", None, "Not Found"),
        ("DELETE", "reset", None, "Method Not Allowed"),
        ("POST", "clock", {"set": "tomorrow"}, "set: 'tomorrow'"),
        ("POST", "clock", {"advance": -1}, "advance"),
        ("POST", "clock", {"jump": 1}, "jump"),
        ("POST", "clock", [], "object"),
        ("PATCH", "settings", {"sims": 5}, "sims: not a setting"),
        ("PATCH", "settings", {"settle": -1}, "settle"),
        ("PUT", "faults", {}, "array"),
    ],
)
def test_bad_control_input_is_named(simulator, method, path, body, named):
    with pytest.raises(ValueError, match=named):
        simulator.control(method, path, body)


def test_broken_json_is_said_so(simulator, anyone):
    answer = anyone.call("POST", "/_simulator/reset", body="{", **{"Content-Type": "application/json"})
    assert answer.status == 400
    assert "error" in answer.json


def test_settings(simulator):
    changed = simulator.settings(latency=0.01, max_concurrency=5)
    assert (changed["latency"], changed["max_concurrency"], changed["settle"]) == (0.01, 5, 1.0)
    assert simulator.control("GET", "settings") == changed


def test_latency_holds_replies_back_but_not_the_control_plane(simulator, twilio):
    simulator.settings(latency=3600)
    with pytest.raises(TimeoutError):
        twilio.call("GET", COMMANDS, timeout=0.2)
    assert simulator.summary()["commands"]["to_sim"] == 0  # it would time out after a minute
    simulator.settings(latency=0.01)
    assert twilio.get(COMMANDS).status == 200


@pytest.mark.parametrize(("vendor", "header"), [("twilio", True), ("kore", False)])
def test_above_the_concurrency_limit(request, simulator, vendor, header):
    client = request.getfixturevalue(vendor)
    simulator.forget_requests()
    simulator.settings(max_concurrency=3, retry_after=2)
    simulator.faults({"kind": "hang"})
    with client.unanswered(), client.unanswered(), client.unanswered():
        wait_until(lambda: simulator.requests()["in_flight"] == 3)
        refused = [client.send() for _ in range(5)]
    assert {(answer.status, answer.json["code"], answer.headers["Retry-After"]) for answer in refused} == {
        (429, 20429, "2")
    }
    assert all(("Twilio-Concurrent-Requests" in answer.headers) == header for answer in refused)
    assert len(simulator.commands()) == 3
    wait_until(lambda: simulator.requests()["in_flight"] == 0)
    simulator.faults()
    assert client.send().status == 201
    seen = simulator.requests()
    assert (seen["too_many_requests"], seen["highest_concurrency"]) == (5, 4)


def test_no_limit_at_all(simulator, twilio):
    simulator.settings(max_concurrency=0)
    assert twilio.get(COMMANDS).status == 200


def test_the_summary_tells_what_was_lost_or_doubled(simulator, twilio, port):
    simulator.set_behaviour("device-0002", network="offline")
    simulator.set_behaviour("device-0003", network="never")
    for name in ("device-0001", "device-0002", "device-0003", "lab-01", "lab-01"):
        twilio.sent(name, port=port)
    twilio.get("/v1/Sims/device-0009")
    simulator.advance(1)
    assert simulator.summary() == {
        "commands": {"to_sim": 5, "by_status": {"queued": 1, "sent": 3, "failed": 1, "received": 0}},
        "datagrams": 3,
        "sims": {"total": 215, "with_0_commands": 211, "with_1_command": 3, "with_more_commands": 1},
        "alerts": 0,
    }
    simulator.update_sim("device-0009", fleet="lab")
    assert simulator.summary(fleet="lab")["sims"] == {
        "total": 6,
        "with_0_commands": 5,
        "with_1_command": 0,
        "with_more_commands": 1,
    }


def test_requests_are_counted_by_route_and_status(simulator, twilio):
    sid = twilio.sent()
    twilio.get(f"{COMMANDS}/{sid}")
    twilio.get(f"{COMMANDS}/HG{32 * '0'}")
    twilio.get(COMMANDS, Status="sent", PageSize=7)
    seen = simulator.requests()
    assert seen["counts"] == [
        {"method": "GET", "route": "/v1/IpCommands", "status": 200, "count": 1},
        {"method": "GET", "route": "/v1/IpCommands/{Sid}", "status": 200, "count": 1},
        {"method": "GET", "route": "/v1/IpCommands/{Sid}", "status": 404, "count": 1},
        {"method": "POST", "route": "/v1/IpCommands", "status": 201, "count": 1},
    ]
    assert seen["recent"][-1] == {
        "at": simulator.clock()["now"],
        "vendor": "twilio",
        "method": "GET",
        "path": "/v1/IpCommands",
        "route": "/v1/IpCommands",
        "query": {"Status": "sent", "PageSize": "7"},
        "form": {},
        "status": 200,
        "fault": None,
    }
    simulator.forget_requests()
    assert (simulator.requests()["total"], simulator.requests()["recent"]) == (0, [])


def test_lists_come_in_portions(simulator, twilio):
    sids = [twilio.sent() for _ in range(5)]
    page = simulator.control("GET", "commands?limit=2&offset=2")
    assert ([one["sid"] for one in page["commands"]], page["next_offset"]) == (sids[2:4], 4)
    assert simulator.control("GET", "commands?offset=4")["next_offset"] is None
    assert [one["sid"] for one in simulator.commands()] == sids
    assert [one["sid"] for one in simulator.commands(status="sent")] == []
    assert len(simulator.commands("device-0001")) == 5


def test_the_overview_says_what_is_running(simulator):
    overview = simulator.control("GET", "")
    assert (overview["sims"], overview["devices"]["real_udp"]) == (215, True)
    assert overview["options"]["vendor"] == "all"
    assert overview["clock"]["iso"] == "2026-01-01T00:00:00Z"


def test_a_hundred_thousand_sims(simulator, twilio):
    simulator.reset(sims=100_000)
    simulator.stop_clock()
    assert simulator.summary(fleet="field-devices")["sims"]["total"] == 100_006
    sim = twilio.get("/v1/Sims/device-099999").json
    assert twilio.send(sim["sid"]).json["sim_iccid"] == sim["iccid"]
    assert simulator.control("GET", "sims/device-099999")["device_ip"] == "100.65.134.160"
    assert len(twilio.get("/v1/Sims", Status="ready", PageSize=1000).json["sims"]) == 1000


def test_the_control_plane_is_found_without_its_slash(anyone):
    answer = anyone.call("GET", "/_simulator")
    assert answer.status == 307
    assert answer.headers["Location"].endswith("/_simulator/")
