"""The rules of a gate: when the next wave may leave, and what is said if it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_supersim.delivery.rollout.gates import Evidence, FailureShare
from airflow_provider_supersim.delivery.state.counts import Counts
from airflow_provider_supersim.delivery.state.positions import Positions
from airflow_provider_supersim.delivery.state.working_set import WorkingSet


@pytest.mark.parametrize(
    ("ratio", "sample", "failed", "among", "shut"),
    [
        (0.1, 20, 0, 0, False),  # no target
        (0.1, 1, 0, 1, False),  # one target
        (0.1, 1, 1, 1, True),
        (0.1, 20, 19, 19, False),  # too few to conclude anything, although all failed: others have still to come
        (0.1, 20, 20, 20, True),  # as many as are needed
        (0.1, 20, 2, 20, False),  # as much as is still good
        (0.1, 20, 3, 20, True),
        (0.1, 20, 3, 30, False),
        (0.29, 1, 29, 100, False),  # 0.29 * 100 is less than 29 in floating point
        (0.07, 1, 7, 100, False),
        (0.3, 1, 3, 10, False),
        (0, 1, 0, 1000, False),
        (0, 1, 1, 1000, True),
        (1, 1, 1000, 1000, False),  # a gate that never shuts
        (1.0, 1, 1, 1, False),
        (0.999999, 1, 1_000_000, 1_000_000, True),
    ],
)
def test_a_gate_shuts_when_more_than_the_ratio_failed_among_enough(ratio, sample, failed, among, shut):
    assert FailureShare(ratio, sample).exceeded(failed, among, of=1_000_000) is shut


@pytest.mark.parametrize(
    ("failed", "among", "of", "shut"),
    [
        (5, 5, 5, True),
        (1, 5, 5, True),  # a fifth
        (0, 5, 5, False),
        (1, 1, 1, True),
        (0, 0, 0, False),
        (4, 4, 5, False),  # one has still to come
        (1, 19, 19, False),
        (2, 19, 19, True),
    ],
)
def test_of_a_wave_below_the_sample_the_whole_wave_is_the_sample(failed, among, of, shut):
    assert FailureShare(0.1, 20).exceeded(failed, among, of=of) is shut


@given(st.integers(1, 10_000), st.data())
def test_the_ratio_itself_is_still_good_and_one_more_is_not(among, data):
    failed = data.draw(st.integers(0, among - 1))
    rule = FailureShare(failed / among, 1)
    assert not rule.exceeded(failed, among, of=among)
    assert rule.exceeded(failed + 1, among, of=among)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        *[((ratio, 20), "max_failure_ratio") for ratio in (-0.1, 1.1, 10, True, "0.1", None, float("nan"))],
        *[((0.1, sample), "min_sample") for sample in (0, -1, True, 1.0, "20", None)],
    ],
)
def test_other_shares_are_refused_in_one_sentence(arguments, name):
    with pytest.raises(ValueError, match=rf"^{name} must be .*, got ") as caught:
        FailureShare(*arguments)
    assert "\n" not in str(caught.value)


def evidence(wave: Counts, so_far: Counts) -> Evidence:
    return Evidence(2, wave, so_far, Positions(WorkingSet(), 0, 0, clears=0, attempts=1))


@pytest.mark.anyio
async def test_the_sentence_says_how_many_of_how_many_failed_and_the_limit():
    wave = Counts(devices=30, sent=15, failed=4, unsettled=1, not_sent=10)

    said = await FailureShare(0.05, 20).broken(evidence(wave, wave))

    assert said == "5 of 20 devices in wave 2 failed (25.0%, limit 5.0%): 4 refused or failed, 1 without a final status"


@pytest.mark.anyio
async def test_all_waves_so_far_are_judged_too():
    """Ten tries of a wave that was held back after them are too few for a sample of twenty; with those before, not."""
    begun, so_far = Counts(devices=100, failed=10, not_sent=90), Counts(devices=120, sent=18, failed=12, not_sent=90)
    judged = evidence(begun, so_far)

    assert "12 of 30 devices in all waves so far failed" in str(await FailureShare(0.2, 20).broken(judged))
    assert await FailureShare(0.4, 20).broken(judged) is None
    assert await FailureShare(0.2, 31).broken(judged) is None
