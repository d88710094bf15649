"""One tree of errors, each with its evidence."""

from __future__ import annotations

import copy
import pickle

import pytest

from airflow_provider_supersim.api import errors
from airflow_provider_supersim.api.errors import SuperSimError, Verdict

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SuperSimError)]


def make(kind, **changes):
    evidence = {
        "request": "POST /v1/IpCommands",
        "verdict": Verdict.TRY_AGAIN,
        "status": 429,
        "code": 20429,
        "more_info": "https://www.twilio.com/docs/errors/20429",
        "retry_after": 3.0,
    }
    return kind("Too many requests", **{**evidence, **changes})


def test_it_is_one_tree():
    assert {kind.__name__ for kind in KINDS} == {
        "SuperSimError",
        "NotConnectedError",
        "NoReplyError",
        "UnreadableReplyError",
        "ApiError",
        "BadRequestError",
        "AuthenticationError",
        "NotFoundError",
        "TooManyRequestsError",
        "ServerError",
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("carry", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_keeps_its_evidence_when_it_is_pickled_or_copied(kind, carry):
    error = make(kind)
    carried = carry(error)
    assert type(carried) is kind
    assert vars(carried) == vars(error)
    assert str(carried) == str(error)
    assert carried.args == error.args


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {},
            "POST /v1/IpCommands answered 429 (code 20429): Too many requests. See https://www.twilio.com/docs/errors/20429",
        ),
        ({"more_info": None}, "POST /v1/IpCommands answered 429 (code 20429): Too many requests"),
        ({"more_info": None, "code": None}, "POST /v1/IpCommands answered 429: Too many requests"),
        ({"more_info": None, "code": None, "status": None}, "POST /v1/IpCommands: Too many requests"),
    ],
)
def test_its_words_are_request_status_code_message_and_page(changes, words):
    assert str(make(SuperSimError, **changes)) == words


@pytest.mark.parametrize(
    ("verdict", "retryable"), [(Verdict.REFUSED, False), (Verdict.TRY_AGAIN, True), (Verdict.UNKNOWN, False)]
)
def test_only_what_was_surely_not_processed_may_be_made_again(verdict, retryable):
    assert make(SuperSimError, verdict=verdict).retryable is retryable
