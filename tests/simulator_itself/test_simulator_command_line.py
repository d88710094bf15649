"""The command ``supersim-simulator``, and the handle that starts it for tests."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from polling import wait_until
from vendor_api import TOKEN, Api, basic

from airflow_provider_supersim.simulator.process.launch import environment
from airflow_provider_supersim.testing import run_simulator

COMMAND = [sys.executable, "-m", "airflow_provider_supersim.simulator"]


@pytest.fixture
def start():
    """Starts the command and, after the test, ends what still runs."""
    started = []

    def run(*arguments):
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def finished(*arguments):
    return subprocess.run(
        [*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=600, env=environment()
    )


def greeting(process):
    """Return what it says at the start, to the last line."""
    lines = [process.stdout.readline()]
    while not lines[-1].startswith("Control"):
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended while it was starting"
    return lines


def test_help_explains_it():
    done = finished("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    for word in ("--settle", "--max-concurrency", "--token-lifetime", "--client-secret", "(default: 8025)"):
        assert word in text
    for word in ("/_simulator/", "drop_after", "datagram"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sims", "many"], "--sims: expected `int`"),
        (["--sims", "-1"], "--sims"),
        (["--port", "70000"], "--port: expected `int` <= 65535"),
        (["--vendor", "vodafone"], "--vendor: invalid enum value 'vodafone'"),
        (["--account-sid", "AC1"], "--account-sid"),
        (["--sims", "5", "--offline", "6"], "--offline: 6 SIMs cannot be offline"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
        (["--settle"], "--settle: expected one argument"),
        (["--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1"),
        (["--host", "no such host", "--port", "0"], "cannot listen on no such host"),
    ],
)
def test_a_bad_option_is_one_sentence(arguments, said):
    done = finished(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = finished("--port", port)
    assert done.returncode == 2
    assert done.stderr == (
        f"supersim-simulator: cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Choose another --port, or --port 0 for a free one.\n"
    )


def test_a_taken_udp_port_is_one_sentence():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        done = finished("--port", "0", "--udp-port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "cannot listen on UDP port" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_without_an_error(start, number):
    process = start("--port", "0")
    url = process.stdout.readline().rpartition(" ")[2].strip()
    # If the end waited for this reply, which hangs for an hour, communicate() would time out.
    body = json.dumps([{"kind": "hang"}]).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/_simulator/faults", body, headers, method="PUT")).close()
    with Api(url, basic()).unanswered():
        wait_until(lambda: json.load(urllib.request.urlopen(f"{url}/_simulator/requests"))["in_flight"] == 1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=600)
    assert (process.returncode, errors) == (0, "")


def test_it_can_end_with_its_parent(start):
    process = start("--port", "0", "--until-stdin-closes")
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(timeout=600) == 0


def test_the_greeting_can_be_pasted(start):
    process = start("--port", "0", "--sims", "12", "--auth-token", "it's")
    lines = greeting(process)
    url = lines[0].removeprefix("supersim-simulator is listening on ").strip()
    exports = [line.strip() for line in lines if "AIRFLOW_CONN_SUPERSIM_DEFAULT" in line]
    assert len(exports) == 2
    for export, vendor in zip(exports, ("twilio", "kore"), strict=True):
        shown = subprocess.run(
            ["sh", "-c", f'{export}; printf %s "$AIRFLOW_CONN_SUPERSIM_DEFAULT"'], capture_output=True, check=True
        )
        connection = json.loads(shown.stdout)
        assert (connection["host"], connection["extra"]["vendor"]) == (url, vendor)
    assert connection["extra"]["auth_url"] == url + TOKEN
    assert Api(url, basic(password="it's")).get("/v1/Fleets").status == 200
    assert any("12 of field-devices active or ready" in line for line in lines)


@pytest.mark.parametrize(
    ("host", "warned"), [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("localhost", False), ("::1", False)]
)
def test_an_address_that_others_reach_is_warned_of(start, host, warned):
    process = start("--port", "0", "--host", host)
    lines = greeting(process)
    url = lines[0].removeprefix("supersim-simulator is listening on ").strip()
    assert Api(url, basic()).get("/v1/Fleets").status == 200
    process.terminate()
    _, errors = process.communicate(timeout=600)
    assert ("WARNING" in errors, "--host 127.0.0.1" in errors) == (warned, warned)


@pytest.mark.parametrize(("vendor", "absent"), [("twilio", "KORE"), ("kore", "Twilio")])
def test_the_greeting_is_about_the_vendor_that_is_served(start, vendor, absent):
    process = start("--port", "0", "--vendor", vendor)
    text = "".join(greeting(process))
    assert absent not in text
    assert text.count("export") == 1


def test_run_simulator_outside_pytest():
    with run_simulator(sims=7, vendor="kore", seed=3) as simulator:
        assert simulator.summary()["sims"]["total"] == 22
        assert json.loads(simulator.connection_json("kore")) == simulator.connection("kore")
        url = simulator.url
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url)


def test_run_simulator_says_why_it_did_not_start():
    with pytest.raises(RuntimeError, match=r"exit code 2.*--sims"), run_simulator(sims=-1):
        pass
