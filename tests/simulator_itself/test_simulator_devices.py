"""Devices: real datagrams, real answers, and what happens if a port is taken."""

import base64
import socket

import pytest
from vendor_api import COMMANDS, Api, basic

from airflow_provider_supersim.testing import run_simulator


@pytest.fixture
def socket_of():
    """Opens UDP sockets and closes them after the test."""
    opened = []

    def open_(address, port=0):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.settimeout(600)
        one.bind((address, port))
        opened.append(one)
        return one

    yield open_
    for one in opened:
        one.close()


def test_a_command_is_a_datagram(simulator, twilio, port):
    twilio.sent("device-0003", "apn=iot ✓", port)
    simulator.advance(1)
    (datagram,) = simulator.datagrams()
    assert datagram == {
        "sim_sid": simulator.sims()[2]["sid"],
        "sim_name": "device-0003",
        "device_ip": "100.64.0.4",
        "port": port,
        "base64": base64.b64encode("apn=iot ✓".encode()).decode(),
        "text": "apn=iot ✓",
        "at": simulator.clock()["now"],
        "via": "udp",
    }


def test_every_device_has_its_own_address(simulator, twilio, port):
    names = [f"device-{number:04d}" for number in range(1, 51)]
    for name in names:
        twilio.sent(name, f"for {name}", port)
    simulator.advance(1)
    datagrams = simulator.datagrams()
    assert [(one["sim_name"], one["text"], one["via"]) for one in datagrams] == [
        (name, f"for {name}", "udp") for name in names
    ]
    assert len({one["device_ip"] for one in datagrams}) == 50
    assert [one["text"] for one in simulator.datagrams("device-0007")] == ["for device-0007"]


def test_a_program_of_the_users_can_be_the_device(simulator, twilio, socket_of):
    address = simulator.sims()[1]["host_ip"]
    assert address == "127.64.0.3"
    device = socket_of(address)
    port = device.getsockname()[1]
    simulator.set_behaviour("device-0002", device="external")
    twilio.sent("device-0002", "reboot", port)
    simulator.advance(1)
    data, origin = device.recvfrom(2000)
    uplink = simulator.control("GET", "")["devices"]["uplink"]
    assert (data, origin) == (b"reboot", (uplink["address"], uplink["port"]))
    assert simulator.datagrams()[0]["via"] == "external"

    device.sendto(b"\xff rebooted", origin)
    simulator.datagrams()  # waits until what is in the kernel has arrived
    (answer,) = simulator.commands(direction="from_sim")
    assert twilio.get(COMMANDS, Direction="from_sim").json["ip_commands"][0] | {"url": ""} == {
        "sid": answer["sid"],
        "account_sid": "AC" + 32 * "a",
        "sim_sid": simulator.sims()[1]["sid"],
        "sim_iccid": simulator.sims()[1]["iccid"],
        "status": "received",
        "direction": "from_sim",
        "device_ip": "100.64.0.3",
        "device_port": port,
        "payload_type": "binary",
        "payload": base64.b64encode(b"\xff rebooted").decode(),
        "date_created": "2026-01-01T00:00:01Z",
        "date_updated": "2026-01-01T00:00:01Z",
        "url": "",
    }


def test_strangers_are_not_devices(simulator, twilio, port, socket_of):
    uplink = simulator.control("GET", "")["devices"]["uplink"]
    socket_of("127.0.0.1").sendto(b"hello", (uplink["address"], uplink["port"]))
    socket_of("127.64.255.255").sendto(b"hello", (uplink["address"], uplink["port"]))
    twilio.sent("device-0001", "real", port)
    simulator.advance(1)
    socket_of("127.0.0.1").sendto(b"forged", ("127.64.0.2", port))
    assert [one["text"] for one in simulator.datagrams()] == ["real"]
    assert simulator.commands(direction="from_sim") == []


@pytest.mark.parametrize(
    ("behaviour", "answered"),
    [
        ({"answer": "echo"}, b"status?"),
        ({"answer": "payload", "answer_text": "ok ✓"}, "ok ✓".encode()),
        ({"answer": "payload", "answer_base64": base64.b64encode(b"\0\1").decode()}, b"\0\1"),
    ],
)
def test_a_device_answers(simulator, twilio, port, behaviour, answered):
    simulator.set_behaviour("device-0001", **behaviour)
    twilio.sent("device-0001", "status?", port)
    twilio.sent("device-0002", "status?", port)
    simulator.advance(1)
    (answer,) = simulator.commands(direction="from_sim")
    assert (answer["status"], answer["device_port"], answer["sim_name"]) == ("received", port, "device-0001")
    assert base64.b64decode(answer["payload"]) == answered
    assert [one["direction"] for one in simulator.commands("device-0001", direction="all")] == ["to_sim", "from_sim"]


def test_an_answer_can_take_its_time(simulator, twilio, port):
    simulator.set_behaviour("all", answer="echo", answer_delay=5)
    twilio.sent(port=port)
    simulator.advance(5.9)
    assert simulator.commands(direction="from_sim") == []
    simulator.advance(0.1)
    assert len(simulator.commands(direction="from_sim")) == 1


def test_a_taken_port_keeps_datagrams_in_the_process(simulator, twilio, socket_of):
    taken = socket_of("0.0.0.0").getsockname()[1]
    simulator.set_behaviour("device-0001", answer="echo")
    twilio.sent("device-0001", "one", taken)
    twilio.sent("device-0002", "two", taken)
    simulator.advance(1)
    assert [(one["text"], one["via"]) for one in simulator.datagrams()] == [("one", "process"), ("two", "process")]
    assert len(simulator.commands(direction="from_sim")) == 1


def test_a_taken_port_is_logged_once(simulator, socket_of, capfd, monkeypatch):
    taken = socket_of("0.0.0.0").getsockname()[1]
    with run_simulator(sims=5) as own:
        own.stop_clock()
        for _ in range(3):
            Api(own.url, basic()).sent("device-0001", port=taken)
        own.advance(1)
        assert own.log().count(f"UDP port {taken} cannot be bound") == 1


def test_more_ports_than_sockets_stay_open(simulator, twilio):
    simulator.settings(settle=0)
    ports = range(20_000, 20_300)  # more than sockets stay open at a time
    for port in ports:
        twilio.sent(port=port)
    simulator.advance(0)
    assert [one["port"] for one in simulator.datagrams()] == list(ports)
    twilio.sent(port=20_000)
    simulator.advance(0)
    assert simulator.datagrams()[-1]["port"] == 20_000


def test_a_burst_loses_nothing(simulator, twilio, port):
    """More than a socket's buffer holds, due at one moment."""
    payload = "x" * 1300
    for number in range(400):
        twilio.sent(f"device-{number % 200 + 1:04d}", payload, port)
    simulator.advance(1)
    assert simulator.summary()["datagrams"] == 400


def test_a_reset_forgets_what_devices_received(simulator, twilio, port):
    twilio.sent(port=port)
    simulator.advance(1)
    simulator.reset()
    assert simulator.datagrams() == []
    assert simulator.summary()["commands"]["to_sim"] == 0
