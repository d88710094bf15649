"""From queued to sent or failed, by the clock and never by being read."""

from polling import wait_until
from vendor_api import COMMANDS, NEW_YEAR


def status(client, sid):
    return client.get(f"{COMMANDS}/{sid}").json["status"]


def test_queued_until_it_settles(simulator, twilio, port):
    sid = twilio.sent(port=port)
    simulator.advance(0.999)
    for _ in range(5):
        assert status(twilio, sid) == "queued"
    assert simulator.datagrams() == []
    simulator.advance(0.001)
    command = twilio.get(f"{COMMANDS}/{sid}").json
    assert (command["status"], command["device_ip"]) == ("sent", "100.64.0.2")
    assert (command["date_created"], command["date_updated"]) == (NEW_YEAR, "2026-01-01T00:00:01Z")


def test_an_offline_device_fails_with_83401(simulator, twilio):
    simulator.set_behaviour("device-0001", network="offline")
    sid = twilio.sent()
    simulator.advance(1)
    command = twilio.get(f"{COMMANDS}/{sid}").json
    assert (command["status"], command["device_ip"]) == ("failed", None)
    assert "error_code" not in command
    assert simulator.commands()[0]["reason"] == 83401
    assert simulator.datagrams() == []


def test_what_counts_is_the_network_when_the_command_goes_out(simulator, twilio):
    sid = twilio.sent()
    simulator.set_behaviour("device-0001", network="offline")
    simulator.advance(1)
    simulator.set_behaviour("device-0001", network="online")
    simulator.advance(3600)
    assert status(twilio, sid) == "failed"


def test_a_device_that_keeps_commands_queued(simulator, twilio):
    simulator.set_behaviour("device-0001", network="never")
    sid = twilio.sent()
    simulator.advance(10**6)
    assert status(twilio, sid) == "queued"


def test_a_flapping_device_follows_the_clock(simulator, twilio):
    simulator.set_behaviour("device-0001", network="flapping", period=60)
    simulator.set_behaviour("device-0002", network="flapping", period=60, phase=30)
    outcomes = []
    for _ in range(4):
        sids = twilio.sent("device-0001"), twilio.sent("device-0002")
        simulator.advance(30)
        outcomes.append(tuple(status(twilio, sid) for sid in sids))
    assert outcomes == [("sent", "failed"), ("failed", "sent")] * 2


def test_a_device_settles_in_its_own_time(simulator, twilio):
    simulator.set_behaviour("device-0001", settle=10)
    slow, quick = twilio.sent("device-0001"), twilio.sent("device-0002")
    simulator.advance(9)
    assert (status(twilio, slow), status(twilio, quick)) == ("queued", "sent")
    simulator.advance(1)
    assert status(twilio, slow) == "sent"


def test_an_outcome_can_be_forced(simulator, twilio):
    simulator.set_behaviour("device-0001", outcome="failed")
    simulator.set_behaviour("device-0002", outcome="sent", network="offline")
    failed, lost = twilio.sent("device-0001"), twilio.sent("device-0002")
    simulator.advance(1)
    assert (status(twilio, failed), status(twilio, lost)) == ("failed", "sent")
    assert simulator.datagrams() == []  # sent is no proof that the device got it


def test_settle_is_a_setting(simulator, twilio):
    simulator.settings(settle=0)
    sid = twilio.sent()
    simulator.advance(0)
    assert status(twilio, sid) == "sent"


def test_all_that_is_due_happens_in_order_at_its_own_time(simulator, twilio, port):
    for number, settle in ((1, 30), (2, 10), (3, 20)):
        simulator.set_behaviour(f"device-{number:04d}", settle=settle)
        twilio.sent(f"device-{number:04d}", port=port)
    start = simulator.clock()["now"]
    simulator.advance(100)
    assert [(one["sim_name"], one["at"] - start) for one in simulator.datagrams()] == [
        ("device-0002", 10),
        ("device-0003", 20),
        ("device-0001", 30),
    ]


def test_the_clock_stops_is_set_and_goes_on(simulator, twilio):
    assert simulator.clock()["iso"] == NEW_YEAR
    assert not simulator.clock()["running"]
    sid = twilio.sent()
    assert simulator.clock()["pending"] == 1
    assert simulator.stop_clock("2026-01-02T00:00:00+00:00")["pending"] == 0
    assert status(twilio, sid) == "sent"
    assert twilio.get(COMMANDS).headers["Date"] == "Fri, 02 Jan 2026 00:00:00 GMT"
    assert simulator.stop_clock("2025-12-31T12:00:00")["iso"] == "2025-12-31T12:00:00Z"  # backwards, too
    assert status(twilio, sid) == "sent"
    simulator.run_clock()
    earlier = simulator.clock()
    assert earlier["running"]
    later = wait_until(lambda: simulator.clock()["now"] > earlier["now"] and simulator.clock())
    assert later["iso"].startswith("2025-12-31")  # it went on from where it stood


def test_a_running_clock_moves_by_itself(simulator, twilio, port):
    simulator.settings(settle=0.02)
    simulator.run_clock()
    sid = twilio.sent(port=port)
    wait_until(lambda: status(twilio, sid) == "sent")
    simulator.settings(settle=3600)
    late = twilio.sent(port=port)
    assert simulator.advance(3600)["running"]
    assert status(twilio, late) == "sent"


def test_the_same_seed_gives_the_same_world(simulator, twilio):
    def world(seed):
        simulator.reset(seed=seed, sims=20, offline=5)
        sids = [sim["sid"] for sim in simulator.sims()]
        offline = [sim["unique_name"] for sim in simulator.sims() if sim["behaviour"]["network"] == "offline"]
        return sids, offline, twilio.sent("device-0001")

    assert world(1) == world(1)
    assert world(1) != world(2)
    assert len(world(3)[1]) == 5
