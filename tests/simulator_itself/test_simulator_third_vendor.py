"""An invented vendor needs one class and one registration: ``simulator_with_acme.py`` has both."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from vendor_api import COMMANDS, NEW_YEAR, Api, basic

from airflow_provider_supersim.simulator.process.launch import environment
from airflow_provider_supersim.testing import run_simulator

PROGRAM = [str(Path(__file__).with_name("simulator_with_acme.py"))]
SESSIONS = "/sessions/new"


class AcmeApi(Api):
    """Sends the header that Acme wants."""

    def __init__(self, url, session="open sesame"):
        super().__init__(url, None)
        self.session = session

    def call(self, method, target, form=None, **options):
        return super().call(method, target, form, **{"X-Acme-Session": self.session}, **options)


@pytest.fixture(scope="module")
def one_more_vendor():
    with run_simulator(program=PROGRAM) as simulator:
        yield simulator


@pytest.fixture
def simulator(one_more_vendor):
    """A fresh world with a stopped clock."""
    one_more_vendor.reset()
    one_more_vendor.stop_clock(NEW_YEAR)
    return one_more_vendor


@pytest.fixture
def acme(simulator):
    assert Api(simulator.url, None).call("POST", SESSIONS, {"key": "acme-key"}).json == {"session": "open sesame"}
    return AcmeApi(simulator.url)


def test_it_signs_in_in_its_own_way(simulator, acme):
    answer = acme.send()
    assert (answer.status, answer.headers["X-Acme-Load"]) == (201, "1")
    assert simulator.commands()[0]["vendor"] == "acme"
    assert Api(simulator.url, None).call("POST", SESSIONS, {"key": "wrong"}).status == 402
    assert AcmeApi(simulator.url, "guessed").get(COMMANDS).status == 419


def test_its_token_expires_in_its_own_way(simulator, acme):
    simulator.faults({"kind": "expired_token", "count": 1})
    answer = acme.get(COMMANDS)
    assert (answer.status, answer.headers["X-Acme-Again"]) == (419, "yes")
    assert answer.json == {"acme": "session over", "page": "https://acme.example/errors/2"}
    assert acme.get(COMMANDS).status == 200
    simulator.advance(3600)
    assert acme.get(COMMANDS).status == 419


def test_it_has_its_own_page_sizes(acme):
    assert acme.get(COMMANDS, PageSize=3).status == 200
    assert acme.get(COMMANDS, PageSize=4).status == 400
    assert len(acme.get("/v1/Sims", PageSize=70).json["sims"]) == 70
    assert acme.get("/v1/Fleets", PageSize=1000).status == 200


def test_its_callbacks_are_signed_in_its_own_way(simulator, acme, callback_listener):
    acme.sent(CallbackUrl=callback_listener.url)
    simulator.advance(1)
    _, _, headers, _ = callback_listener.next()
    assert headers["X-Acme-Proof"] == hashlib.sha256(f"acme-key{callback_listener.url}".encode()).hexdigest()


def test_the_other_vendors_are_served_beside_it(simulator, acme):
    sid = acme.sent()
    assert Api(simulator.url, basic()).get(f"{COMMANDS}/{sid}").json["sid"] == sid
    assert Api(simulator.url, None).token().get(f"{COMMANDS}/{sid}").json["sid"] == sid


def test_it_can_be_served_alone(simulator):
    simulator.reset(vendor="acme", acme_key="another")
    assert Api(simulator.url, basic()).get(COMMANDS).status == 419
    assert simulator.connection("acme")["password"] == "another"


def test_its_secrets_are_not_shown(simulator, acme):
    seen = simulator.requests()
    assert (seen["token_requests"], seen["recent"][-1]["form"]) == (1, {})


def test_the_command_line_knows_it():
    command = [sys.executable, *PROGRAM, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environment()).stdout
    assert "--acme-key TEXT" in shown
    assert "Twilio, KORE and Acme" in shown
