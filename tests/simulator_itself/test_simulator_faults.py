"""Each kind of fault, and who meets it."""

import http.client
import json

import pytest
from polling import wait_until
from vendor_api import COMMANDS, TOKEN


def counts(simulator):
    return {name: number for name, number in simulator.summary()["commands"]["by_status"].items() if number}


def test_too_many_requests(simulator, twilio):
    simulator.faults({"kind": "too_many_requests", "count": 1, "retry_after": 7})
    answer = twilio.send()
    assert (answer.status, answer.json["code"], answer.headers["Retry-After"]) == (429, 20429, "7")
    assert simulator.commands() == []
    assert twilio.send().status == 201
    assert simulator.requests()["too_many_requests"] == 1


def test_a_429_need_not_say_when_to_come_back(simulator, twilio):
    simulator.faults({"kind": "too_many_requests"})
    assert twilio.get(COMMANDS).headers["Retry-After"] is None


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({}, (500, 20500)),
        ({"status": 503}, (503, 20503)),
        ({"status": 403}, (403, 20006)),
        ({"status": 409}, (409, 20409)),
        ({"status": 401}, (401, 20003)),
        ({"status": 400, "code": 99999, "message": "no"}, (400, 99999)),
        ({"status": 502, "retry_after": 3}, (502, 20502)),
    ],
)
@pytest.mark.parametrize("kind", ["error_before", "error_after"])
def test_errors_before_and_after_the_work(simulator, twilio, kind, fault, expected):
    simulator.faults({"kind": kind, **fault})
    answer = twilio.send()
    assert (answer.status, answer.json["code"]) == expected
    assert answer.headers["Retry-After"] == ("3" if "retry_after" in fault else None)
    assert len(simulator.commands()) == (kind == "error_after")


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_connection_that_is_cut(simulator, twilio, kind):
    simulator.faults({"kind": kind, "count": 1})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        twilio.send()
    assert len(simulator.commands()) == (kind == "drop_after")
    seen = simulator.requests()["recent"][-1]
    assert (seen["status"], seen["fault"]) == (0, kind)
    assert twilio.send().status == 201


def test_slow(simulator, twilio):
    simulator.faults({"kind": "slow", "seconds": 0.01, "count": 1}, {"kind": "slow", "seconds": 3600})
    assert twilio.send().status == 201
    with twilio.unanswered():
        wait_until(lambda: len(simulator.commands()) == 2)
        assert simulator.requests()["in_flight"] == 1  # carried out, and still without a reply


@pytest.mark.parametrize("accepted", [True, False])
def test_hang(simulator, twilio, accepted):
    simulator.faults({"kind": "hang", "accepted": accepted, "count": 1})
    with twilio.unanswered():
        wait_until(lambda: simulator.requests()["total"] == 1)
        assert len(simulator.commands()) == accepted
        assert simulator.requests()["in_flight"] == 1
    wait_until(lambda: simulator.requests()["in_flight"] == 0)  # a client that hangs up leaves its place
    assert twilio.send().headers["Twilio-Concurrent-Requests"] == "1"


def test_a_hang_ends_with_a_cut(simulator, twilio):
    simulator.faults({"kind": "hang", "seconds": 0.05})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        twilio.send()


@pytest.mark.parametrize("body", ["html", "empty", "truncated", "wrong-shape"])
def test_garbage(simulator, twilio, body):
    simulator.faults({"kind": "garbage", "body": body})
    answer = twilio.send()
    assert answer.status == 201
    assert len(simulator.commands()) == 1
    if body == "wrong-shape":
        assert "sid" not in answer.json
    else:
        with pytest.raises(json.JSONDecodeError):
            _ = answer.json
    assert answer.headers["Content-Type"].startswith("text/html" if body == "html" else "application/json")
    assert twilio.send("nobody").json["code"] == 83005  # a refusal stays what it is


def test_a_list_that_lags_now_and_then(simulator, twilio):
    twilio.sent()
    simulator.advance(10)
    simulator.faults({"kind": "list_lag", "seconds": 11, "count": 1})
    assert twilio.sent()  # not a list: the fault waits
    assert twilio.get(COMMANDS).json["ip_commands"] == []
    assert len(twilio.get(COMMANDS).json["ip_commands"]) == 2


def test_an_expired_token(simulator, twilio, kore):
    simulator.faults({"kind": "expired_token", "count": 1})
    assert twilio.get(COMMANDS).status == 200
    answer = kore.get(COMMANDS)
    assert (answer.status, answer.json["error"]) == (403, "Invalid or expired token")
    assert kore.get(COMMANDS).status == 200


def test_a_drip_sends_the_whole_body_byte_by_byte(simulator, twilio):
    simulator.faults({"kind": "drip", "seconds": 0, "count": 1})
    assert twilio.get(COMMANDS).json["ip_commands"] == []
    simulator.faults({"kind": "drip", "seconds": 3600})
    with twilio.unanswered():
        wait_until(lambda: len(simulator.commands()) == 1)
        assert simulator.requests()["in_flight"] == 1
    wait_until(lambda: simulator.requests()["in_flight"] == 0)


def test_a_body_without_end_ends_when_the_client_hangs_up(simulator, twilio):
    simulator.faults({"kind": "endless_body"})
    with twilio.unanswered():
        wait_until(lambda: len(simulator.commands()) == 1)
    wait_until(lambda: simulator.requests()["in_flight"] == 0)


def test_odd_headers_replace_the_ordinary_ones(simulator, twilio):
    simulator.faults({"kind": "odd_headers", "headers": {"Date": "9" * 20, "Retry-After": "86400"}})
    answer = twilio.send()
    assert (answer.status, answer.headers["Date"], answer.headers["Retry-After"]) == (201, "9" * 20, "86400")


def test_pages_in_a_cycle(simulator, twilio):
    simulator.faults({"kind": "cyclic_pages"})
    meta = twilio.get("/v1/Sims?PageSize=2").json["meta"]
    assert meta["next_page_url"] == meta["first_page_url"]
    assert twilio.get("/v1/Sims/device-0001").status == 200  # no list


def test_a_row_that_cannot_be_read(simulator, twilio):
    simulator.faults({"kind": "bad_row"})
    rows = twilio.get("/v1/Sims?PageSize=2").json["sims"]
    assert [type(row) for row in rows] == [type(None), dict]


def test_faults_meet_what_they_name(simulator, twilio, anyone):
    simulator.faults(
        {"kind": "error_before", "status": 503, "method": "GET", "path": "/v1/Sims"},
        {"kind": "error_before", "status": 500, "path": TOKEN},
    )
    assert twilio.get("/v1/Sims").status == 503
    assert twilio.get("/v1/Sims/device-0001").status == 503
    assert twilio.get(COMMANDS).status == 200
    assert twilio.send().status == 201
    assert anyone.call("POST", TOKEN, {}).status == 500
    assert [fault["fired"] for fault in simulator.fired()] == [2, 1]


def test_faults_leave_the_token_endpoint_alone_unless_named(simulator, anyone):
    simulator.faults({"kind": "error_before"})
    assert anyone.token()


def test_skip_and_count(simulator, twilio):
    simulator.faults({"kind": "error_after", "skip": 2, "count": 1})
    assert [twilio.send().status for _ in range(5)] == [201, 201, 500, 201, 201]


def test_ratios_add_up(simulator, twilio):
    """A request meets one fault at most, so 30 % and 20 % are 50 %, not 44 %."""
    simulator.faults(
        {"kind": "error_before", "status": 500, "ratio": 0.3},
        {"kind": "error_before", "status": 503, "ratio": 0.2},
    )
    statuses = [twilio.get("/v1/Fleets").status for _ in range(600)]
    assert 0.25 < statuses.count(500) / 600 < 0.35
    assert 0.15 < statuses.count(503) / 600 < 0.25
    fired = simulator.fired()
    assert [fault["fired"] for fault in fired] == [statuses.count(500), statuses.count(503)]
    assert fired[0]["kind"] == "error_before"


def test_all_of_a_ratio(simulator, twilio):
    simulator.faults({"kind": "error_before", "ratio": 1, "count": 2})
    assert [twilio.get("/v1/Fleets").status for _ in range(4)] == [500, 500, 200, 200]


def test_faults_are_the_same_for_the_same_seed(simulator, twilio):
    def dealt(seed):
        simulator.reset(seed=seed)
        simulator.faults({"kind": "error_before", "ratio": 0.5})
        return [twilio.get("/v1/Fleets").status for _ in range(40)]

    assert dealt(1) == dealt(1) != dealt(2)


def test_faults_end(simulator, twilio):
    simulator.faults({"kind": "error_before"})
    simulator.faults()
    assert twilio.get(COMMANDS).status == 200
    simulator.faults({"kind": "error_before"})
    simulator.control("DELETE", "faults")
    assert simulator.fired() == []
    simulator.faults({"kind": "error_before"})
    simulator.reset()
    assert twilio.get(COMMANDS).status == 200


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"kind": "earthquake"}, "earthquake"),
        ({}, "kind"),
        ({"kind": "slow"}, "seconds"),
        ({"kind": "error_before", "status": 200}, "status"),
        ({"kind": "error_before", "ratio": 2}, "ratio"),
        ({"kind": "drop_after", "often": True}, "often"),
        ({"kind": "garbage", "body": "soup"}, "body"),
        ({"kind": "odd_headers", "headers": {"X\r\n": "x"}}, "headers"),
        ({"kind": "odd_headers", "headers": {"X": "x\r\ny: z"}}, "headers"),
    ],
)
def test_a_fault_that_is_refused(simulator, fault, named):
    with pytest.raises(ValueError, match=named):
        simulator.faults(fault)
    assert simulator.fired() == []


# Lies that every request meets


def rows(api, query=""):
    return api.get(f"{COMMANDS}?{query}").json["ip_commands"]


def test_some_rows_of_the_list_have_nulls_and_keep_them(simulator, twilio):
    simulator.settings(null_fields="payload,sim_sid", null_ratio=0.3)
    sent = [twilio.sent() for _ in range(100)]
    listed = rows(twilio, "PageSize=100")
    without = {row["sid"] for row in listed if row["payload"] is None}
    assert 15 < len(without) < 45
    assert {row["sid"] for row in listed if row["sim_sid"] is None} == without
    assert all(row["sim_iccid"] and row["date_created"] for row in listed)
    assert {row["sid"] for row in rows(twilio, "PageSize=100") if row["payload"] is None} == without
    assert all(twilio.get(f"{COMMANDS}/{sid}").json["payload"] for sid in sent)  # the list alone has them


def test_some_sims_have_no_status_in_the_list(simulator, twilio):
    simulator.settings(unstated_ratio=0.3)
    listed = twilio.get("/v1/Sims?PageSize=200").json["sims"]
    without = [row for row in listed if row["status"] is None]
    assert 0.1 * len(listed) < len(without) < 0.5 * len(listed)
    assert twilio.get(f"/v1/Sims/{without[0]['sid']}").json["status"]


def test_filters_that_are_ignored(simulator, twilio):
    simulator.settings(ignored_filters="Sim,Direction")
    twilio.send("device-0001")
    twilio.send("device-0002")
    assert len(rows(twilio, "Sim=device-0001&Direction=from_sim")) == 2
    assert rows(twilio, "Status=failed") == []


def test_a_date_header_that_is_ahead(simulator, twilio):
    simulator.stop_clock("2026-01-01T00:00:00Z")
    simulator.settings(date_offset=3600)
    answer = twilio.send()
    assert answer.headers["Date"] == "Thu, 01 Jan 2026 01:00:00 GMT"
    assert answer.json["date_created"].startswith("2026-01-01T00:00:00")


def test_a_read_by_sid_that_lags(simulator, twilio):
    simulator.stop_clock()
    simulator.settings(get_lag=3)
    sid = twilio.sent()
    assert twilio.get(f"{COMMANDS}/{sid}").status == 404
    assert [row["sid"] for row in rows(twilio)] == [sid]
    simulator.advance(3)
    assert twilio.get(f"{COMMANDS}/{sid}").status == 200


def test_commands_that_the_api_has_lost(simulator, twilio):
    lost, kept = twilio.sent("device-0001"), twilio.sent("device-0002")
    simulator.set_behaviour("device-0001", forgotten=True)
    assert (twilio.get(f"{COMMANDS}/{lost}").status, twilio.get(f"{COMMANDS}/{kept}").status) == (404, 200)
    assert [row["sid"] for row in rows(twilio)] == [kept]
    assert len(simulator.commands()) == 2  # what happened stays known to the test


@pytest.mark.parametrize(
    "setting", [{"null_fields": "colour"}, {"null_fields": "payload,"}, {"ignored_filters": "sim"}, {"null_ratio": 2}]
)
def test_a_lie_that_is_refused(simulator, setting):
    (name,) = setting
    with pytest.raises(ValueError, match=name):
        simulator.settings(**setting)
