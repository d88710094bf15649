"""SIDs, ICCIDs and addresses are computed from a number and lead back to it."""

import re

from hypothesis import given
from hypothesis import strategies as some

from airflow_provider_supersim.simulator.world import identifiers
from airflow_provider_supersim.simulator.world.identifiers import SidCodec

numbers = some.integers(min_value=0, max_value=2_000_000)


@given(numbers, some.integers(min_value=0))
def test_sids(number, seed):
    codec = SidCodec("HG", seed)
    sid = codec.encode(number)
    assert re.fullmatch("HG[0-9a-f]{32}", sid)
    assert codec.decode(sid) == number
    assert codec.decode(sid[:10] + ("0" if sid[10] != "0" else "1") + sid[11:]) is None
    assert SidCodec("HG", seed + 1).decode(sid) is None


@given(some.text(max_size=40))
def test_what_is_no_sid(text):
    assert SidCodec("HS", 0).decode(text) is None


@given(numbers)
def test_iccids(number):
    iccid = identifiers.iccid(number)
    assert re.fullmatch("8988307[0-9]{13}", iccid)
    assert sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(iccid[::-1])) % 10 == 0
    assert identifiers.iccid_number(iccid) == number


@given(some.text(max_size=24))
def test_what_is_no_iccid(text):
    assert identifiers.iccid_number(text) is None


@given(numbers)
def test_addresses(number):
    assert identifiers.device_ip(number).split(".")[1:] == identifiers.host_ip(number).split(".")[1:]
    assert identifiers.device_number(identifiers.host_ip(number)) == number


def test_the_first_addresses_are_not_devices():
    assert identifiers.device_ip(0) == "100.64.0.2"  # 100.64.0.1 is where answers go
    for address in ("127.64.0.0", "127.64.0.1", "127.0.0.1", "127.128.0.0", "10.64.0.5"):
        assert identifiers.device_number(address) is None
