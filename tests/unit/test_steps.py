"""The state of a rollout that the ledger keeps."""

from __future__ import annotations

import json

import msgspec
import pytest

from airflow_provider_supersim.delivery.rollout.steps import RolloutState, Step


def kept(state: RolloutState) -> dict:
    return json.loads(json.dumps(state.to_json()))


def test_it_comes_back_as_it_was():
    state = RolloutState(
        began=1.0, try_began=2.0, step=Step.SETTLING, wave=3, waves_passed=2, last_left={1: 10.5, 2: 20.5}
    )

    assert RolloutState.read(kept(state), now=99.0, fresh=False) == state


def test_a_new_try_begins_now_and_remembers_the_rest():
    state = RolloutState(began=1.0, try_began=2.0, waves_passed=2, last_left={1: 10.5})

    assert RolloutState.read(kept(state), now=99.0, fresh=True) == msgspec.structs.replace(state, try_began=99.0)


def test_a_rollout_begins_with_its_first_try():
    assert RolloutState.read({}, now=99.0, fresh=True) == RolloutState(began=99.0, try_began=99.0)


@pytest.mark.parametrize("wrong", [{"began": 1.0}, {"began": "x", "try_began": 2.0}, {"steps": []}])
def test_a_state_that_is_none_is_an_error(wrong):
    with pytest.raises(msgspec.ValidationError):
        RolloutState.read(wrong, now=99.0, fresh=False)
