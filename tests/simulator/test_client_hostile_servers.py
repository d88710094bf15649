"""A server that never ends, sends too much, or sends what nobody can read: one clear error, and memory stays small."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import anyio
import pytest
from clients import client_at, listed
from raw_server import raw_server, reply

from airflow_provider_supersim.api.errors import (
    BadRequestError,
    NoReplyError,
    ServerError,
    TooManyRequestsError,
    UnreadableReplyError,
    Verdict,
)

pytestmark = pytest.mark.anyio

COMMAND = {"sid": "HG1", "status": "queued", "direction": "to_sim", "payload_type": "text"}
MB = 1 << 20


#: Seconds after which a request that never ends fails its test.
FOR_EVER = 30


@asynccontextmanager
async def client_of(*answers, vendor="twilio", timeout=30):
    """Return a client of a server that gives these answers."""
    with anyio.fail_after(FOR_EVER):
        async with raw_server(*answers) as server, client_at(server.url, vendor, timeout=timeout) as client:
            yield client


def head(**headers):
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode()


async def drip_a_body(writer, requests):
    writer.write(head(Content_Length=10_000))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def drip_a_head(writer, requests):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10_000):
        writer.write(b"X-%d: x\r\n" % (number % 50) if number % 60 == 0 else b"")
        writer.write(b"X-Long: " if number == 1 else b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def continue_for_ever(writer, requests):
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("drip", [drip_a_body, drip_a_head, continue_for_ever])
@pytest.mark.parametrize("vendor", ["twilio", "kore"])
async def test_a_reply_that_drips_ends_with_the_time_of_the_request(drip, vendor):
    async with client_of(drip, vendor=vendor, timeout=0.4) as client:
        with pytest.raises(NoReplyError, match=r"127\.0\.0\.1: not within 0\.4 seconds"):
            await client.get_sim("HS1")


async def test_a_command_whose_reply_drips_may_have_been_accepted():
    async with client_of(drip_a_body, timeout=0.4) as client:
        with pytest.raises(NoReplyError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.UNKNOWN


async def a_body_of_100_mb(writer, requests):
    writer.write(head(Content_Length=100 * MB))
    for _ in range(100):
        writer.write(bytes(MB))
        await writer.drain()


async def a_body_that_is_said_to_have_2_gb(writer, requests):
    writer.write(head(Content_Length=2048 * MB))
    await asyncio.sleep(3600)


async def a_body_without_end(writer, requests):
    writer.write(head())
    while True:
        writer.write(bytes(MB))
        await writer.drain()


async def chunks_without_end(writer, requests):
    writer.write(head(Transfer_Encoding="chunked"))
    while True:
        writer.write(b"100000\r\n" + bytes(MB) + b"\r\n")
        await writer.drain()


@cache
def half_a_gigabyte():
    """Return 512 MB, packed to about 0.5 MB."""
    packer = zlib.compressobj(wbits=31)
    return b"".join(packer.compress(bytes(MB)) for _ in range(512)) + packer.flush()


async def a_bomb(writer, requests):
    packed = half_a_gigabyte()
    writer.write(head(Content_Encoding="gzip", Content_Length=len(packed)) + packed)
    await writer.drain()


def forget_the_most():
    """Begin to measure the most memory of this process anew, and return what it has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident(most=False)


def resident(*, most):
    """Return the memory of this process in MB: the most that it had, or what it has now."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{'VmHWM' if most else 'VmRSS'}:\s+(\d+) kB", status)[1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel tells no peak of memory")
@pytest.mark.parametrize(
    "answer", [a_body_of_100_mb, a_body_that_is_said_to_have_2_gb, a_body_without_end, chunks_without_end, a_bomb]
)
async def test_a_reply_that_is_too_large_is_one_clear_error_and_takes_little_memory(answer):
    half_a_gigabyte()  # now, because to pack it takes longer on a busy machine than the client waits
    async with client_of(answer) as client:
        before = forget_the_most()
        with pytest.raises(UnreadableReplyError, match="the reply is larger than 16 MB") as caught:
            await client.send_ip_command("s", "x", 1)
        grown = resident(most=True) - before
    assert caught.value.verdict is Verdict.UNKNOWN
    assert grown < 50


async def test_a_token_reply_that_is_too_large_is_the_same_error():
    async with client_of(a_body_that_is_said_to_have_2_gb, vendor="kore") as client:
        with pytest.raises(UnreadableReplyError, match="larger than 16 MB"):
            await client.get_sim("HS1")


async def test_a_large_page_is_read_with_and_without_its_length():
    rows = [{**COMMAND, "payload": "x" * 1300} for _ in range(1000)]
    body = json.dumps({"ip_commands": rows, "meta": {}}).encode()
    whole = reply(body)
    until_closed = head(Connection="close") + body
    packed = zlib.compressobj(wbits=31)
    packed = packed.compress(body) + packed.flush()
    zipped = reply(packed, Content_Encoding="gzip")
    async with client_of(whole, until_closed, zipped) as client:
        for _ in range(3):
            assert len(await listed(client.iter_ip_commands())) == 1000


DEEP = b'{"message":' + b"[" * 1000 + b"]" * 1000 + b"}"


async def test_json_of_a_thousand_levels_is_an_error_of_the_tree(vendor):
    async with client_of(reply(DEEP), vendor=vendor) as client:
        with pytest.raises(UnreadableReplyError):
            await client.get_sim("HS1")
    async with client_of(reply(DEEP, status="500 Error"), vendor=vendor) as client:
        with pytest.raises(ServerError):
            await client.get_sim("HS1")


@pytest.mark.parametrize("date", [f"Mon, 23 Nov {20 * '9'} 00:00:00 GMT", f"Mon, 23 Nov 2026 00:00:00 +{20 * '9'}"])
async def test_a_date_of_long_numbers_is_no_date(date):
    async with client_of(reply(COMMAND, Date=date)) as client:
        assert (await client.send_ip_command("s", "x", 1)).sid == "HG1"


@pytest.mark.parametrize("asked", ["86400", 300 * "9"])
async def test_a_pause_of_a_day_is_an_error_that_says_what_was_asked_for(asked):
    busy = reply({"message": "Busy"}, status="429 Too Many Requests", Retry_After=asked)
    async with client_of(busy) as client:
        with pytest.raises(TooManyRequestsError, match=rf"Retry-After: {asked[:30]}") as caught:
            await client.get_sim("HS1")
    assert caught.value.retry_after == 120
    assert len(str(caught.value)) < 300


FORGED = "no\r\n[2026-11-25] ERROR root: all devices were erased\x1b[2J\u202e\x00" + "x" * 3_000_000


@pytest.mark.parametrize("field", ["message", "error", "error_description"])
async def test_the_vendors_words_are_cut_and_cannot_forge_a_line(field):
    async with client_of(reply({field: FORGED}, status="400 Bad")) as client:
        with pytest.raises(BadRequestError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert caught.value.message.startswith("no [2026-11-25] ERROR root")


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        ("https://www.twilio.com/docs/errors/83600", True),
        ("http://example.com/errors/1", True),
        ("javascript:alert(1)", False),
        ("javascript://example.com/%0aalert(1)", False),
        ("ftp://example.com/errors/1", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://[", False),
        ("https://example.com/\n2026 ERROR", False),
        ("https://example.com/\x1b[2J", False),
        ("https://example.com/" + "x" * 3_000_000, False),
    ],
)
async def test_only_a_web_address_is_offered_as_the_page_on_a_code(page, kept):
    refusal = reply({"message": "no", "more_info": page}, status="400 Bad")
    async with client_of(refusal) as client:
        with pytest.raises(BadRequestError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.more_info == (page if kept else None)


@pytest.mark.parametrize(
    "garbage", [FORGED.encode(), json.dumps({"sid": FORGED}).encode(), b"HTTP/1.1 " + FORGED.encode()]
)
async def test_a_reply_that_cannot_be_read_is_quoted_in_one_short_line(garbage):
    async with client_of(reply(garbage)) as client:
        with pytest.raises(UnreadableReplyError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700
