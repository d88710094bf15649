"""Lists: order, filters, pages, and pages while the world goes on."""

from urllib.parse import parse_qs, quote, urlsplit

import pytest
from vendor_api import COMMANDS

ALL_SIMS = 200 + 5 + 2 + 6 + 2
FIELDS_OF_A_FLEET = {
    *("sid", "unique_name", "account_sid", "date_created", "date_updated", "url"),
    *("data_enabled", "data_limit", "data_metering", "ip_commands_url", "ip_commands_method"),
    *("sms_commands_enabled", "sms_commands_url", "sms_commands_method", "network_access_profile_sid"),
}


def walk(client, path, key, **query):
    """Follow next_page_url to the end; return all items and the number of pages."""
    answer = client.get(path, **query)
    items, pages = answer.json[key], 1
    while answer.json["meta"]["next_page_url"] is not None:
        answer = client.call("GET", answer.json["meta"]["next_page_url"])
        assert answer.status == 200, answer.body
        items += answer.json[key]
        pages += 1
    return items, pages


@pytest.mark.parametrize("page", [10**11, 2**63 - 1, 10**18 - 1])
def test_a_page_far_behind_the_last_is_empty(twilio, page):
    twilio.sent()
    answer = twilio.get(COMMANDS, Page=page, PageSize=1000)
    assert (answer.status, answer.json["ip_commands"], answer.json["meta"]["next_page_url"]) == (200, [], None)


def test_newest_first(twilio):
    sids = [twilio.sent() for _ in range(3)]
    assert [item["sid"] for item in twilio.get(COMMANDS).json["ip_commands"]] == sids[::-1]


def test_an_empty_list(simulator, twilio):
    url = f"{simulator.url}/v1/IpCommands?PageSize=50&Page=0"
    assert twilio.get(COMMANDS).json == {
        "ip_commands": [],
        "meta": {
            "key": "ip_commands",
            "page": 0,
            "page_size": 50,
            "url": url,
            "first_page_url": url,
            "previous_page_url": None,
            "next_page_url": None,
        },
    }


@pytest.mark.parametrize(("size", "pages"), [(1, 7), (2, 4), (3, 3), (7, 1), (50, 1)])
def test_every_page_size_shows_everything_once(twilio, size, pages):
    sids = [twilio.sent() for _ in range(7)]
    items, number = walk(twilio, COMMANDS, "ip_commands", PageSize=size)
    assert [item["sid"] for item in items] == sids[::-1]
    assert number == pages


def test_fifty_by_default(twilio):
    page = twilio.get("/v1/Sims").json
    assert (len(page["sims"]), page["meta"]["page_size"]) == (50, 50)


@pytest.mark.parametrize(
    ("vendor", "path", "largest"),
    [
        ("twilio", COMMANDS, 1000),
        ("twilio", "/v1/Sims", 1000),
        ("twilio", "/v1/Fleets", 1000),
        ("kore", COMMANDS, 100),
        ("kore", "/v1/Sims", 1000),
        ("kore", "/v1/Fleets", 1000),
    ],
)
def test_each_vendor_and_list_has_its_largest_page(request, vendor, path, largest):
    client = request.getfixturevalue(vendor)
    assert client.get(path, PageSize=largest).status == 200
    for size in (largest + 1, 0, -1, "many", "", 10**9):
        answer = client.get(path, PageSize=size)
        assert (answer.status, answer.json["code"]) == (400, 83600)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"Page": "-1"}, 83600),
        ({"Page": "x"}, 83600),
        ({"PageToken": "x"}, 83600),
        ({"PageToken": "PAHG" + 32 * "0"}, 83600),
        ({"Status": "delivered"}, 83600),
        ({"Direction": "sideways"}, 83600),
        ({"DateCreated": "2026-01-01"}, 20001),
        ({"status": "sent"}, 20001),
    ],
)
def test_a_query_that_is_refused(twilio, query, code):
    answer = twilio.get(COMMANDS, **query)
    assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize("query", [{"Status": "sent"}, {"Status": "gone"}, {"UniqueName": "device-0001"}])
def test_sims_have_filters_of_their_own(twilio, query):
    assert twilio.get("/v1/Sims", **query).json["code"] == (83600 if "Status" in query else 20001)


def test_nothing_is_skipped_or_shown_twice_while_commands_arrive(twilio):
    before = [twilio.sent() for _ in range(10)]
    answer = twilio.get(COMMANDS, PageSize=3)
    seen = [item["sid"] for item in answer.json["ip_commands"]]
    while (following := answer.json["meta"]["next_page_url"]) is not None:
        twilio.sent()
        twilio.sent()
        answer = twilio.call("GET", following)
        seen += [item["sid"] for item in answer.json["ip_commands"]]
    assert seen == before[::-1]


def test_a_page_number_alone_is_not_stable(twilio):
    first = [twilio.sent() for _ in range(4)]
    assert [item["sid"] for item in twilio.get(COMMANDS, PageSize=2, Page=1).json["ip_commands"]] == first[1::-1]
    twilio.sent()
    assert [item["sid"] for item in twilio.get(COMMANDS, PageSize=2, Page=1).json["ip_commands"]] == first[2:0:-1]


def test_back_and_forth(twilio):
    sids = [twilio.sent() for _ in range(6)][::-1]
    first = twilio.get(COMMANDS, PageSize=2).json
    second = twilio.call("GET", first["meta"]["next_page_url"]).json
    third = twilio.call("GET", second["meta"]["next_page_url"]).json
    assert third["meta"]["page"] == 2
    assert third["meta"]["next_page_url"] is None
    again = twilio.call("GET", third["meta"]["previous_page_url"]).json
    assert again["ip_commands"] == second["ip_commands"]
    again = twilio.call("GET", again["meta"]["previous_page_url"]).json
    assert [item["sid"] for item in again["ip_commands"]] == sids[:2]
    assert again["meta"]["previous_page_url"] is None
    assert twilio.call("GET", again["meta"]["next_page_url"]).json["ip_commands"] == second["ip_commands"]
    assert twilio.call("GET", third["meta"]["first_page_url"]).json["ip_commands"] == first["ip_commands"]


def test_links_keep_the_filters_and_the_host_that_the_client_named(twilio):
    twilio.sent()
    twilio.sent()
    answer = twilio.call("GET", f"{COMMANDS}?PageSize=1&Sim=device-0001", Host="simulator.example:81")
    link = urlsplit(answer.json["meta"]["next_page_url"])
    query = parse_qs(link.query)
    assert (link.netloc, query["Sim"], query["Page"]) == ("simulator.example:81", ["device-0001"], ["1"])
    assert answer.json["ip_commands"][0]["url"].startswith("http://simulator.example:81/v1/IpCommands/HG")


def test_filters_of_commands(simulator, twilio, port):
    simulator.set_behaviour("device-0002", network="offline")
    simulator.set_behaviour("device-0003", answer="echo")
    for name in ("device-0001", "device-0002", "device-0003"):
        twilio.sent(name, port=port)
    simulator.advance(1)
    twilio.sent("device-0001")

    def found(**query):
        return [(item["status"], item["sim_sid"]) for item in twilio.get(COMMANDS, **query).json["ip_commands"]]

    one, two, three = (sim["sid"] for sim in simulator.sims()[:3])
    iccid = simulator.sims()[1]["iccid"]
    assert found(Sim="device-0001") == found(Sim=one) == [("queued", one), ("sent", one)]
    assert found(SimIccid=iccid) == [("failed", two)]
    assert found(Status="sent") == [("sent", three), ("sent", one)]
    assert found(Direction="from_sim") == found(Status="received") == [("received", three)]
    assert len(found(Direction="to_sim")) == 4
    assert found(Sim=one, Status="queued", Direction="to_sim") == [("queued", one)]
    assert found(Sim=one, SimIccid=iccid) == []
    assert found(Sim="nobody") == found(SimIccid="1") == found(SimIccid="8" * 20) == []


def test_pages_of_one_sims_commands(twilio):
    sids = []
    for _ in range(5):
        twilio.sent("device-0002")
        sids.append(twilio.sent("device-0001"))
    items, pages = walk(twilio, COMMANDS, "ip_commands", Sim="device-0001", PageSize=2)
    assert ([item["sid"] for item in items], pages) == (sids[::-1], 3)
    last = twilio.get(COMMANDS, Sim="device-0001", PageSize=2, Page=2)
    back = twilio.call("GET", last.json["meta"]["previous_page_url"] or "")
    assert [item["sid"] for item in back.json["ip_commands"]] == sids[2:0:-1]


def test_a_list_that_lags(simulator, twilio):
    simulator.settings(list_lag=30)
    old = twilio.sent()
    simulator.advance(20)
    new = twilio.sent()
    assert twilio.get(COMMANDS).json["ip_commands"] == []
    assert twilio.get(f"{COMMANDS}/{new}").status == 200  # one resource never lags
    simulator.advance(10)
    assert [item["sid"] for item in twilio.get(COMMANDS).json["ip_commands"]] == [old]
    simulator.advance(20)
    assert [item["sid"] for item in twilio.get(COMMANDS).json["ip_commands"]] == [new, old]


def test_sims(simulator, twilio):
    everything, pages = walk(twilio, "/v1/Sims", "sims", PageSize=100)
    assert (len(everything), pages) == (ALL_SIMS, 3)
    assert len({sim["sid"] for sim in everything}) == len({sim["iccid"] for sim in everything}) == ALL_SIMS
    assert {sim["status"] for sim in everything} == {"new", "ready", "active", "inactive", "scheduled"}
    field = twilio.get("/v1/Fleets/field-devices").json["sid"]
    usable = [s for s in everything if s["fleet_sid"] == field and s["status"] in ("active", "ready")]
    assert [sim["unique_name"] for sim in usable] == [f"device-{number:04d}" for number in range(200, 0, -1)]
    sim = twilio.get("/v1/Sims/device-0007").json
    assert sim == twilio.get(f"/v1/Sims/{sim['sid']}").json
    assert sim["url"] == f"{simulator.url}/v1/Sims/{sim['sid']}"
    assert sim["links"]["sim_ip_addresses"] == f"{sim['url']}/IpAddresses"
    assert set(sim) == {
        *("sid", "unique_name", "account_sid", "iccid", "status", "fleet_sid"),
        *("date_created", "date_updated", "url", "links"),
    }


def test_filters_of_sims(simulator, twilio):
    def names(**query):
        return [sim["unique_name"] for sim in walk(twilio, "/v1/Sims", "sims", **query)[0]]

    lab = [f"lab-{number:02d}" for number in range(5, 0, -1)]
    assert names(Fleet="lab") == names(Fleet=twilio.get("/v1/Fleets/lab").json["sid"], PageSize=2) == lab
    assert names(Status="scheduled") == ["scheduled-02", "scheduled-01"]
    assert names(Fleet="lab", Status="new") == names(Fleet="nobody") == names(Iccid="1") == []
    assert len(names(Status="ready")) == 10
    iccid = simulator.sims()[4]["iccid"]
    assert names(Iccid=iccid) == names(Iccid=iccid, Status="active") == ["device-0005"]
    assert names(Iccid=iccid, Status="new") == names(Iccid=iccid, Fleet="lab") == names(Iccid=iccid, Fleet="no") == []

    simulator.update_sim("lab-03", status="inactive")
    simulator.update_sim("device-0100", fleet="lab")
    simulator.update_sim("device-0100", status="inactive")
    assert names(Fleet="lab", Status="active") == ["lab-05", "lab-04", "lab-02", "lab-01"]
    assert names(Fleet="lab", Status="inactive", PageSize=1) == ["lab-03", "device-0100"]
    assert len(names(Fleet="field-devices")) == 205
    last = twilio.get("/v1/Sims", Fleet="lab", Status="inactive", PageSize=1, Page=1).json["meta"]
    assert twilio.call("GET", last["previous_page_url"]).json["sims"][0]["unique_name"] == "lab-03"


def test_fleets(simulator, twilio):
    fleets, pages = walk(twilio, "/v1/Fleets", "fleets", PageSize=2)
    assert ([fleet["unique_name"] for fleet in fleets], pages) == (["data-disabled", "lab", "field-devices"], 2)
    assert [fleet["data_enabled"] for fleet in fleets] == [False, True, True]
    fleet = twilio.get("/v1/Fleets/lab").json
    assert fleet == fleets[1] == twilio.get(f"/v1/Fleets/{fleet['sid']}").json
    assert set(fleet) == FIELDS_OF_A_FLEET
    assert fleet["network_access_profile_sid"].startswith("HA")
    assert (fleet["data_metering"], fleet["sms_commands_enabled"]) == ("payg", True)
    assert (fleet["sms_commands_url"], fleet["sms_commands_method"]) == (None, "POST")
    assert (fleet["ip_commands_url"], fleet["ip_commands_method"]) == (None, "POST")
    simulator.update_fleet("lab", ip_commands_url="http://127.0.0.1:9/x", data_limit=5)
    assert twilio.get("/v1/Fleets/lab").json["ip_commands_url"] == "http://127.0.0.1:9/x"
    second = twilio.get("/v1/Fleets", PageSize=1, Page=1).json["meta"]
    assert twilio.call("GET", second["previous_page_url"]).json["fleets"] == fleets[:1]


def test_fleets_of_a_network_access_profile(twilio):
    profile = twilio.get("/v1/Fleets/lab").json["network_access_profile_sid"]
    page = twilio.get("/v1/Fleets", NetworkAccessProfile=profile, PageSize=1).json
    assert [fleet["unique_name"] for fleet in page["fleets"]] == ["lab"]
    assert page["meta"]["next_page_url"] is None
    assert parse_qs(urlsplit(page["meta"]["url"]).query)["NetworkAccessProfile"] == [profile]
    assert twilio.get("/v1/Fleets", NetworkAccessProfile="nobody").json["fleets"] == []


def test_a_page_token_holds_a_sid_and_no_name(twilio):
    assert twilio.get("/v1/Fleets", PageToken="PAlab").json["code"] == 83600


def test_the_links_of_a_sim_can_be_followed(simulator, twilio):
    links = twilio.get("/v1/Sims/device-0003").json["links"]
    pages = {name: twilio.call("GET", url) for name, url in links.items()}
    assert {page.status for page in pages.values()} == {200}
    addresses, periods = pages["sim_ip_addresses"].json, pages["billing_periods"].json
    assert addresses["ip_addresses"] == [{"ip_address": "100.64.0.4", "ip_address_version": "IPv4"}]
    assert periods["billing_periods"] == []
    assert addresses["meta"]["url"] == f"{links['sim_ip_addresses']}?PageSize=50&Page=0"
    assert [page["meta"]["key"] for page in (addresses, periods)] == ["ip_addresses", "billing_periods"]
    counted = {(one["route"], one["status"]) for one in simulator.requests()["counts"]}
    assert counted >= {("/v1/Sims/{Sid}/IpAddresses", 200), ("/v1/Sims/{Sid}/BillingPeriods", 200)}
    assert twilio.get("/v1/Sims/nobody/IpAddresses").status == 404
    assert twilio.get("/v1/Sims/device-0003/Moods").status == 404


@pytest.mark.parametrize("name", ["pumps/north", "a%2Fb", "ünder the bridge?", "+", "..", "/"])
def test_a_name_is_one_segment_whatever_is_in_it(simulator, twilio, name):
    simulator.seed(fleets=[{"unique_name": name}], sims=[{"unique_name": name, "fleet": name}])
    segment = quote(name, safe="")
    fleet, sim = twilio.get(f"/v1/Fleets/{segment}").json, twilio.get(f"/v1/Sims/{segment}").json
    assert (fleet["unique_name"], sim["unique_name"], sim["fleet_sid"]) == (name, name, fleet["sid"])
    address = twilio.get(f"/v1/Sims/{segment}/IpAddresses", PageSize=1).json
    assert address["meta"]["url"] == f"{simulator.url}/v1/Sims/{segment}/IpAddresses?PageSize=1&Page=0"
    assert simulator.update_sim(name, status="ready")["unique_name"] == name
    assert simulator.update_fleet(name, data_limit=5)["data_limit"] == 5
    assert simulator.control("PATCH", f"devices/{segment}", {"settle": 5})["unique_name"] == name
