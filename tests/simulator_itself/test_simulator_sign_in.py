"""Who gets in, at which vendor, and what the others are told."""

import base64

import pytest
from vendor_api import ACCOUNT, API_KEY, COMMANDS, READ_ONLY, TOKEN, Api, basic

GRANT = {"grant_type": "client_credentials", "client_id": "simulator", "client_secret": "simulator"}
DENIED = {
    "message": "User is not authorized to access this resource with an explicit deny",
    "error": "Invalid or expired token",
}


@pytest.mark.parametrize("header", [basic(), basic(API_KEY), basic(READ_ONLY), basic().replace("Basic", "basic")])
def test_basic_lets_in(twilio, header):
    twilio.authorization = header
    assert twilio.get(COMMANDS).status == 200


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, 20003),
        (basic(password="wrong"), 20003),
        (basic("AC" + 32 * "f"), 20003),
        (basic("nobody"), 20003),
        ("Basic !!!", 20003),
        ("Basic", 20003),
        ("Digest abc", 20003),
        (basic("ACabc"), 20409),
        ("Basic ä".encode().decode("latin-1"), 20003),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), 20003),
    ],
)
def test_basic_keeps_out(twilio, header, code):
    twilio.authorization = header
    answer = twilio.get(COMMANDS)
    assert (answer.status, answer.json["code"]) == (401, code)
    assert answer.json["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="Twilio API"'


def test_a_read_only_key_may_not_send(twilio, simulator):
    twilio.authorization = basic(READ_ONLY)
    answer = twilio.send()
    assert (answer.status, answer.json["code"]) == (403, 20006)
    assert simulator.commands() == []


def test_kore_gives_out_a_token(anyone):
    answer = anyone.call("POST", TOKEN, GRANT)
    assert answer.status == 200
    assert {**answer.json, "access_token": ""} == {
        "access_token": "",
        "expires_in": 3600,
        "token_type": "Bearer",
        "scope": "supersim-api",
    }
    assert Api(anyone.url, f"Bearer {answer.json['access_token']}").get(COMMANDS).status == 200


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "unauthorized_client"),
        ({"client_id": "wrong"}, 401, "unauthorized_client"),
    ],
)
def test_kore_refuses_a_token(anyone, changes, status, error):
    form = {name: value for name, value in {**GRANT, **changes}.items() if value is not None}
    answer = anyone.call("POST", TOKEN, form)
    assert (answer.status, answer.json["error"]) == (status, error)
    assert answer.json["error_description"]


@pytest.mark.parametrize(("grant", "named"), [("password", "unsupported_grant_type"), (None, "grant_type")])
def test_a_token_request_that_makes_no_sense(anyone, grant, named):
    form = {name: value for name, value in {**GRANT, "grant_type": grant}.items() if value is not None}
    answer = anyone.call("POST", TOKEN, form)
    assert (answer.status, set(answer.json), answer.json["code"]) == (400, {"code", "message"}, 400)
    assert named in answer.json["message"]


def test_the_token_endpoint_takes_post_alone(anyone):
    answer = anyone.get(TOKEN)
    assert (answer.status, answer.json["code"], answer.headers["Allow"]) == (405, 20004, "POST")


def test_a_token_expires_by_the_simulators_clock(simulator, kore):
    simulator.advance(3599)
    assert kore.get(COMMANDS).status == 200
    simulator.advance(1)
    answer = kore.get(COMMANDS)
    assert (answer.status, answer.json) == (403, DENIED)
    assert kore.token().get(COMMANDS).status == 200


def test_the_token_lifetime_is_a_setting(simulator, anyone):
    simulator.settings(token_lifetime=60)
    assert anyone.call("POST", TOKEN, GRANT).json["expires_in"] == 60
    client = anyone.token()
    simulator.advance(60)
    assert client.get(COMMANDS).status == 403


@pytest.mark.parametrize(("said", "expires_in"), [("number", 60), ("text", "60"), ("nothing", None)])
def test_how_a_token_reply_says_the_lifetime_is_a_setting(simulator, anyone, said, expires_in):
    simulator.settings(token_lifetime=60, token_expires_in=said)
    answer = anyone.call("POST", TOKEN, GRANT).json
    assert answer.get("expires_in") == expires_in
    assert ("expires_in" in answer) == (said != "nothing")
    client = Api(anyone.url, f"Bearer {answer['access_token']}")
    assert client.get(COMMANDS).status == 200
    simulator.advance(60)
    assert client.get(COMMANDS).status == 403


def test_tokens_do_not_survive_a_reset(simulator, kore):
    simulator.reset(seed=5)
    assert kore.get(COMMANDS).json == DENIED


def test_a_wrong_bearer_token(anyone):
    assert Api(anyone.url, "Bearer nonsense").get(COMMANDS).json == DENIED


def test_twilio_alone(simulator, anyone, kore):
    simulator.reset(vendor="twilio")
    assert Api(anyone.url, basic()).get(COMMANDS).status == 200
    assert kore.get(COMMANDS).json["code"] == 20003
    # There is no such path at Twilio: it asks who you are before it says so.
    assert Api(anyone.url, basic()).call("POST", TOKEN, GRANT).json["code"] == 20404


def test_kore_alone(simulator, anyone):
    simulator.reset(vendor="kore")
    assert anyone.token().get(COMMANDS).status == 200
    assert Api(anyone.url, basic()).get(COMMANDS).json == DENIED


def test_credentials_can_be_set(simulator, anyone):
    simulator.reset(account_sid=f"AC{32 * '1'}", auth_token="s3cret", client_id="me", client_secret="mine")
    assert Api(anyone.url, basic(f"AC{32 * '1'}", "s3cret")).get(COMMANDS).status == 200
    assert Api(anyone.url, basic(ACCOUNT)).get(COMMANDS).status == 401
    assert anyone.call("POST", TOKEN, GRANT).status == 401
    assert simulator.connection("kore")["password"] == "mine"
    assert simulator.connection()["login"] == f"AC{32 * '1'}"


def test_no_secret_is_ever_shown(simulator, anyone, twilio):
    simulator.reset(auth_token="hush-token", client_secret="hush-secret")
    anyone.call("POST", TOKEN, {**GRANT, "client_secret": "hush-secret"})
    anyone.call("POST", TOKEN, {**GRANT, "client_secret": "hush-wrong", "grant_type": "x"})
    Api(anyone.url, basic(password="hush-token")).send()
    assert "hush" not in str(simulator.requests())
    assert simulator.requests()["token_requests"] == 2


def test_only_twilio_counts_concurrent_requests(twilio, kore):
    assert twilio.get(COMMANDS).headers["Twilio-Concurrent-Requests"] == "1"
    assert "Twilio-Concurrent-Requests" not in kore.get(COMMANDS).headers
