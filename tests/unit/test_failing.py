"""What is said of requests that fail and are made again: soon, each minute, and once when it is over."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_supersim.api.errors import NotConnectedError, ServerError, Verdict
from airflow_provider_supersim.api.failing import Failing

READ = 90  # characters of a line that Airflow's log view shows
UNAVAILABLE = ServerError("unavailable", request="GET /v1/Sims", verdict=Verdict.TRY_AGAIN, status=503)
REFUSED = NotConnectedError("connection refused", request="GET /v1/Sims", verdict=Verdict.TRY_AGAIN)


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.DEBUG)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("error", "what"), [(REFUSED, "has not been reachable for 6 seconds"), (UNAVAILABLE, "has been failing")]
)
def test_the_first_line_names_the_host_and_what_is_wrong_and_quotes_the_error(said, error, what):
    failing = Failing("api.example:8025", 120)
    for second in (0.1, 2, 4.9, 6, 10):
        failing.failed("one", error, 0, second)

    (line,) = said()
    assert line[:READ].startswith(f"api.example:8025 {what}")
    assert "2 minutes at most: 1 request." in line
    assert str(error) in line
    assert line.endswith("[api-failing]")


def test_a_hundred_requests_that_fail_for_two_minutes_are_three_lines(said):
    failing, requests = Failing("api.example", 300), range(100)
    for second in range(0, 121, 5):
        for one in requests:
            failing.failed(one, UNAVAILABLE, 0, second)
    for one in requests:
        failing.ended(one, 123, answered=True)

    assert ["5 seconds" in said()[0], "1 minute 5 seconds" in said()[1], len(said())] == [True, True, 3]
    assert said()[2] == "api.example answers again, after 2 minutes 3 seconds [api-failing]"


def test_the_time_that_a_request_hung_counts(said):
    Failing("api.example", 120).failed("one", REFUSED, 1000, 1030)

    assert len(said()) == 1


def test_a_failure_of_a_moment_is_not_spoken_of(said):
    failing = Failing("api.example", 120)
    failing.failed("one", UNAVAILABLE, 0, 1)
    failing.ended("one", 2, answered=True)
    failing.ended("another", 3, answered=True)
    failing.failed("one", UNAVAILABLE, 100, 104)  # a beginning again

    assert said() == []


def test_a_request_that_is_given_up_does_not_say_that_the_host_answers(said):
    failing = Failing("api.example", 120)
    failing.failed("one", REFUSED, 0, 10)
    failing.ended("one", 120, answered=False)

    assert len(said()) == 1
