"""Error replies: what is known of the request, in the vendor's words, without a secret."""

from __future__ import annotations

import json

import httpx
import pytest

from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    ServerError,
    TooManyRequestsError,
    Verdict,
)
from airflow_provider_supersim.api.judging import failure
from airflow_provider_supersim.api.reply import Reply

NOW = "Mon, 23 Nov 2026 00:00:00 GMT"
LONG = 20 * "9"  # digits that no clock shows


def reply(status, body=b"", *, repeatable=True, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    method = "GET" if repeatable else "POST"
    request = httpx.Request(method, "https://supersim.twilio.com/v1/IpCommands", extensions={"repeatable": repeatable})
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(request, status, httpx.Headers(given), content)


def judge(*args, **kwargs):
    return failure(reply(*args, **kwargs), str)


REFUSED, TRY_AGAIN, UNKNOWN = Verdict


@pytest.mark.parametrize(
    ("status", "kind", "of_a_get", "of_a_post"),
    [
        (400, BadRequestError, REFUSED, REFUSED),
        (401, AuthenticationError, REFUSED, REFUSED),
        (403, AuthenticationError, REFUSED, REFUSED),
        (404, NotFoundError, REFUSED, REFUSED),
        (405, BadRequestError, REFUSED, REFUSED),
        (407, BadRequestError, REFUSED, REFUSED),
        (408, ServerError, TRY_AGAIN, UNKNOWN),
        (409, BadRequestError, REFUSED, REFUSED),
        (413, BadRequestError, REFUSED, REFUSED),
        (422, BadRequestError, REFUSED, REFUSED),
        (429, TooManyRequestsError, TRY_AGAIN, TRY_AGAIN),
        (300, ServerError, TRY_AGAIN, UNKNOWN),
        (301, ServerError, TRY_AGAIN, UNKNOWN),
        (302, ServerError, TRY_AGAIN, UNKNOWN),
        (304, ServerError, TRY_AGAIN, UNKNOWN),
        (307, ServerError, TRY_AGAIN, UNKNOWN),
        (500, ServerError, TRY_AGAIN, UNKNOWN),
        (501, ServerError, TRY_AGAIN, UNKNOWN),
        (502, ServerError, TRY_AGAIN, UNKNOWN),
        (503, ServerError, TRY_AGAIN, UNKNOWN),
        (504, ServerError, TRY_AGAIN, UNKNOWN),
        (599, ServerError, TRY_AGAIN, UNKNOWN),
    ],
)
def test_the_status_says_what_is_known_of_the_request(status, kind, of_a_get, of_a_post):
    for repeatable, verdict in ((True, of_a_get), (False, of_a_post)):
        error = judge(status, repeatable=repeatable)
        assert (type(error), error.verdict, error.status) == (kind, verdict, status)


CODES = [
    (400, 20001, "Unknown parameters"),
    (400, 20002, "Missing parameters"),
    (401, 20003, "Authenticate"),
    (405, 20004, "Method not allowed"),
    (403, 20006, "Access denied"),
    (404, 20404, "The requested resource was not found"),
    (401, 20409, "Account sid invalid"),
    (429, 20429, "Too many requests"),
    (500, 20500, "Internal server error"),
    (503, 20503, "Service unavailable"),
    (404, 83005, "Super SIM not found"),
    (400, 83400, "IP Commands error"),
    (400, 83401, "Device not attached"),
    (400, 83402, "Callback URL answered with an error"),
    (400, 83600, "Invalid parameter value"),
]


@pytest.mark.parametrize(("status", "code", "message"), CODES)
@pytest.mark.parametrize("written", [int, str])
def test_each_error_code_of_the_reference_is_read_with_its_words_and_page(status, code, message, written):
    page = f"https://www.twilio.com/docs/errors/{code}"
    error = judge(status, {"status": status, "code": written(code), "message": message, "more_info": page})
    assert (error.status, error.code, error.message, error.more_info) == (status, code, message, page)
    assert str(error) == f"GET /v1/IpCommands answered {status} (code {code}): {message}. See {page}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "Nope"}, "Nope"),
        (
            {"error": "unauthorized_client", "error_description": "Invalid client"},
            "unauthorized_client: Invalid client",
        ),
        (
            {
                "message": "User is not authorized to access this resource with an explicit deny",
                "error": "Invalid or expired token",
            },
            "User is not authorized to access this resource with an explicit deny: Invalid or expired token",
        ),
        (b"<html>\n <h1>502  Bad Gateway</h1></html>", "<html> <h1>502 Bad Gateway</h1></html>"),
        (b"", "the reply gives no reason"),
        (b"   \n", "the reply gives no reason"),
        (b"{}", "{}"),
        (b'{"message": "cut of', '{"message": "cut of'),
        (b"[1]", "[1]"),
        (b"null", "null"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ({"message": {"deep": 1}}, '{"message": {"deep": 1}}'),
        ({"message": None, "code": None, "more_info": None}, '{"message": null, "code": null, "more_info": null}'),
    ],
)
def test_whatever_the_body_is_the_error_has_words(body, message):
    error = judge(500, body)
    assert error.message == message
    assert (error.code, error.more_info) == (None, None)


def test_a_long_page_is_cut():
    assert len(judge(502, b"<p>" * 10_000).message) == 200


@pytest.mark.parametrize("code", [True, -1, 1.5, "", "x", "²", [1], {}, 10**30, "9" * 5000])
def test_a_code_that_is_none_is_left_out(code):
    error = judge(400, {"code": code, "message": "m"})
    assert error.message == "m"
    assert error.code is None


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("3", NOW, 3.0),
        (" 3 ", NOW, 3.0),
        ("0", NOW, 0.0),
        ("2.5", NOW, 2.5),
        ("-3", NOW, 0.0),
        ("Mon, 23 Nov 2026 00:00:07 GMT", NOW, 7.0),
        ("Mon, 23 Nov 2026 01:00:07 +0100", NOW, 7.0),
        ("Mon, 23 Nov 2026 00:00:07 -0000", NOW, 7.0),
        ("Sun, 22 Nov 2026 00:00:00 GMT", NOW, 0.0),
        ("Mon, 23 Nov 2026 00:00:07 GMT", "garbage", None),
        ("Mon, 23 Nov 2026 00:00:07 GMT", f"Mon, 23 Nov {LONG} 00:00:00 GMT", None),
        ("Mon, 23 Nov 2026 00:00:07 GMT", f"Mon, 23 Nov 2026 00:00:00 +{LONG}", None),
        (f"Mon, 23 Nov 2026 {LONG}:00:07 GMT", NOW, None),
        ("soon", NOW, None),
        ("nan", NOW, None),
        ("inf", NOW, None),
        ("", NOW, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_read_as_seconds_and_as_a_date(status, header, date, seconds):
    assert judge(status, Retry_After=header, Date=date).retry_after == seconds


def test_without_retry_after_there_is_no_wish():
    assert judge(429).retry_after is None


@pytest.mark.parametrize("where", ["message", "error", "error_description", "more_info"])
def test_no_field_of_an_error_body_carries_a_secret_on(where):
    error = failure(reply(400, {where: "you sent s3cret"}), lambda text: text.replace("s3cret", "***"))
    assert "s3cret" not in str(error) + repr(error) + str(vars(error))


@pytest.mark.parametrize("before", range(150, 420, 7))
def test_a_secret_at_the_edge_of_what_is_quoted_is_not_cut_in_half_but_hidden(before):
    secret = "0123456789abcdef" * 4
    error = failure(reply(502, b"x" * before + secret.encode()), lambda text: text.replace(secret, "***"))
    assert secret[:8] not in str(error)
