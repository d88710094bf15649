"""What is said of commands without a reply: once when it begins, each minute, and once when it is over."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_supersim.api.errors import ServerError, Verdict
from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.delivery.once.job import Job
from airflow_provider_supersim.delivery.once.outage import Outage
from airflow_provider_supersim.delivery.state.device import Device, Entry

FAILING = ServerError("unavailable", request="POST /v1/IpCommands", verdict=Verdict.UNKNOWN, status=503)


def job(number: int) -> Job:
    sim = f"device-{number:04d}"
    return Job(Device(sim=sim, request=IpCommandRequest.build(sim, "x", 4000)), Entry(sim, 0, "content"))


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.DEBUG)
    return lambda: [record.getMessage() for record in caplog.records]


def test_many_commands_without_a_reply_are_three_lines_in_a_minute_and_a_half(said):
    outage, jobs = Outage(), [job(number) for number in range(100)]
    for second in (0, 30, 60, 90):
        for one in jobs:
            outage.begin(one, FAILING, 30, second)
        outage.lasts(second)
    for one in jobs:
        outage.conclude(one, 95)

    begins, lasts, over = said()
    assert begins.startswith("device-0000: no reply from the API")
    assert str(FAILING) in begins
    assert "1 minute" in lasts
    assert "300 sendings" in lasts
    assert "of 100 not yet" in lasts
    assert "1 minute 35 seconds" in over
    assert "400 sendings" in over
    assert all(line.endswith("[api-failing]") for line in said())


def test_each_minute_counts_what_is_known_by_then(said):
    outage, jobs = Outage(), [job(number) for number in range(3)]
    for one in jobs:
        outage.begin(one, FAILING, 30, 0)
    outage.conclude(jobs[0], 40)
    for second in (59, 60, 61, 119, 121):
        outage.lasts(second)

    assert ["outcome of 1 command is known, of 2 not yet" in line for line in said()] == [False, True, True]


def test_commands_that_always_had_a_reply_are_not_spoken_of(said):
    outage = Outage()
    outage.conclude(job(1), 0)
    outage.lasts(100)

    assert said() == []


def test_the_next_time_is_a_beginning_again(said):
    outage, one = Outage(), job(1)
    outage.begin(one, FAILING, 30, 0)
    outage.conclude(one, 10)
    outage.begin(one, FAILING, 30, 500)
    outage.lasts(510)
    outage.conclude(one, 520)

    assert len(said()) == 4
    assert "20 seconds: 1 sending" in said()[3]
