"""The pictures show what happens now: drawn again, they are the same."""

from __future__ import annotations

import pytest
from documentation import CHECKOUT, DOCS

from airflow_provider_supersim.api.errors import Verdict
from airflow_provider_supersim.api.models import Status


@pytest.fixture(scope="module")
def pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKOUT)
        from scripts.pictures import command, rollout
    return command, rollout


@pytest.fixture(scope="module")
def stories(pictures, supersim_simulator_process):
    return pictures[0].trace(supersim_simulator_process)


def test_the_stories_of_a_command_are_as_drawn(pictures, stories):
    assert pictures[0].draw(stories) == (DOCS / "pictures" / "command.svg").read_text()


def test_they_show_every_verdict_and_every_state_of_the_ledger(pictures, stories):
    steps = {(step.kind, step.what) for story in stories for step in story.steps}

    assert {what for kind, what in steps if kind == "verdict"} == {verdict.value for verdict in Verdict}
    drawn = set(pictures[0].STATES) - {Status.RECEIVED, Status.UNSTATED}
    assert {what for kind, what in steps if kind == "ledger"} == drawn


def test_in_none_of_them_the_device_gets_it_twice_or_not_at_all(stories):
    assert {story.title: story.received for story in stories if story.received != 1} == {"The SIM is inactive": 0}


def test_the_rollout_is_as_drawn(pictures, supersim_simulator_process):
    assert (
        pictures[1].draw(pictures[1].trace(supersim_simulator_process))
        == (DOCS / "pictures" / "rollout.svg").read_text()
    )
