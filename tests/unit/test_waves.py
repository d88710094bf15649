"""How targets fall into waves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_supersim.delivery.rollout.waves import check_waves, wave_ends


@pytest.mark.parametrize(
    ("waves", "devices", "ends"),
    [
        (["100%"], 0, []),
        (["100%"], 1, [1]),
        (["100%"], 1000, [1000]),
        (("100%",), 3, [3]),
        ([5, "10%", "100%"], 1000, [5, 100, 1000]),
        ([5, "10%", "100%"], 0, []),
        ([5, "10%", "100%"], 1, [1]),
        ([5, "10%", "100%"], 5, [5]),
        ([5, "10%", "100%"], 6, [5, 6]),
        ([5, "10%", "100%"], 50, [5, 50]),  # 10% of 50 reaches no further than the 5 before
        ([5, "10%", "100%"], 51, [5, 6, 51]),  # rounded up
        ([5, "10%", "100%"], 20, [5, 20]),  # 10% is 2, which is behind already
        (["10%", 5, "100%"], 20, [2, 5, 20]),
        (["33%", "66%", "100%"], 10, [4, 7, 10]),
        (["33%", "66%", "100%"], 2, [1, 2]),
        (["1%", "100%"], 1, [1]),
        (["0.1%", "100%"], 1_000_000, [1000, 1_000_000]),
        (["12.5 %", "100%"], 8, [1, 8]),
        (["7%", "100.0%"], 100, [7, 100]),  # in floating point, 0.07 * 100 would round up to 8
        (["29%", "100%"], 100, [29, 100]),
        ([1, 10, 100, "100%"], 7, [1, 7]),
        ([2, 4, 6, "100%"], 5, [2, 4, 5]),
        ([1_000_000, "100%"], 3, [3]),
    ],
)
def test_waves_reach_so_many_devices_or_that_share_of_all(waves, devices, ends):
    assert wave_ends(waves, devices) == ends
    check_waves(waves)


@given(
    st.lists(st.integers(1, 3000), unique=True),
    st.lists(st.integers(1, 999).map(lambda tenths: tenths / 10), unique=True),
    st.integers(0, 5000),
    st.randoms(use_true_random=False),
)
def test_every_device_is_in_exactly_one_wave(numbers, shares, devices, random):
    grown = {"number": sorted(numbers), "share": [f"{share}%" for share in sorted(shares)]}
    kinds = ["number"] * len(numbers) + ["share"] * len(shares)
    random.shuffle(kinds)
    ends = wave_ends([*(grown[kind].pop(0) for kind in kinds), "100%"], devices)
    assert ends == sorted(set(ends))
    assert (ends[-1:] or [0]) == [devices]
    assert 0 not in ends


@pytest.mark.parametrize(
    "waves",
    [
        *([], (), "100%", b"100%", None, 5, {"100%"}, {"100%": 1}, iter(["100%"])),
        *([5], ["50%"], ["100%", 5], [1, "99.9%"], [100]),
        *([0, "100%"], [-1, "100%"], ["0%", "100%"], ["-5%", "100%"], ["101%", "100%"], ["100.1%"], ["0.0%", "100%"]),
        *([True, "100%"], [2.0, "100%"], [0.5, "100%"], ["5", "100%"], ["", "100%"], ["%", "100%"], [None, "100%"]),
        *(["1e1%", "100%"], ["10%%", "100%"], ["١٠%", "100%"], ["ten%", "100%"], [["100%"]], [b"100%"]),
        *([5, 5, "100%"], [5, 3, "100%"], ["10%", "10%", "100%"], ["10%", "5%", "100%"], ["100%", "100%"]),
        *([5, "10%", 3, "100%"], ["10%", 5, "7%", "100%"]),
    ],
)
def test_other_waves_are_refused_in_one_sentence(waves):
    with pytest.raises(ValueError, match="waves") as caught:
        check_waves(waves)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="waves"):
        wave_ends(waves, 100)
