"""What is judged of a request that did not go well: refused, harmless to make again, or who knows."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest
from clients import client_at
from raw_server import cut, hang, raw_server, reply

from airflow_provider_supersim.api.errors import (
    NoReplyError,
    NotConnectedError,
    ServerError,
    SuperSimError,
    UnreadableReplyError,
    Verdict,
)

pytestmark = pytest.mark.anyio

COMMAND = b'{"sid": "HG1", "status": "queued", "direction": "to_sim", "payload_type": "text"}'


async def both_fail(url, **extra):
    """Send a command and read one, each once, and return both errors."""
    async with client_at(url, **extra) as client:
        with pytest.raises(SuperSimError) as posted:
            await client.send_ip_command("s", "x", 1)
        with pytest.raises(SuperSimError) as got:
            await client.get_ip_command("HG1")
    return posted.value, got.value


async def half_a_reply(writer, requests):
    writer.write(reply(COMMAND)[:-30])
    await writer.drain()
    writer.transport.abort()


async def half_a_reply_and_a_clean_end(writer, requests):
    writer.write(reply(COMMAND)[:-30])
    writer.close()


async def half_a_head(writer, requests):
    writer.write(b"HTTP/1.1 201 Cre")
    await writer.drain()
    writer.transport.abort()


async def a_clean_end(writer, requests):
    writer.close()


async def half_a_reply_and_silence(writer, requests):
    writer.write(reply(COMMAND)[:-30])
    await asyncio.sleep(3600)


async def half_a_chunk(writer, requests):
    writer.write(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{")
    await writer.drain()
    writer.transport.abort()


@pytest.mark.parametrize(
    "answer",
    [
        cut,
        a_clean_end,
        half_a_head,
        half_a_reply,
        half_a_reply_and_a_clean_end,
        half_a_chunk,
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 two-oh-one\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nContent-Length: minus\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
    ids=lambda answer: answer.__name__ if callable(answer) else repr(answer[:40]),
)
async def test_a_connection_that_was_lost_after_the_request_left_says_nothing_about_a_command(answer):
    async with raw_server(answer) as server:
        posted, got = await both_fail(server.url)
    assert isinstance(posted, NoReplyError)
    assert isinstance(got, NoReplyError)
    assert (posted.verdict, got.verdict) == (Verdict.UNKNOWN, Verdict.TRY_AGAIN)
    assert [request.method for request in server.requests].count("POST") == 1
    assert str(posted).startswith("POST /v1/IpCommands: no whole reply from 127.0.0.1: ")
    assert not str(posted).endswith(": ")


@pytest.mark.parametrize("answer", [hang, half_a_reply_and_silence], ids=["silence", "half a reply and silence"])
async def test_a_time_out_says_nothing_about_a_command(answer):
    async with raw_server(answer) as server:
        posted, got = await both_fail(server.url, timeout=2)
    assert isinstance(posted, NoReplyError)
    assert (posted.verdict, got.verdict) == (Verdict.UNKNOWN, Verdict.TRY_AGAIN)
    assert [request.method for request in server.requests].count("POST") == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"\x1f\x8bnonsense", Content_Encoding="gzip"),
        reply(gzip.compress(COMMAND, mtime=0)[:20], Content_Encoding="gzip"),
        reply(b"nonsense", Content_Encoding="deflate"),
        reply(COMMAND[:40]),
        reply(b"<html>Welcome</html>", Content_Type="text/html"),
        reply(b""),
        reply(b"", status="204 No Content"),
        reply(b"", status="202 Accepted"),
        reply(COMMAND.replace(b"HG1", b"")),
        reply("Ω".encode("utf-16")),
    ],
    ids=lambda answer: repr(answer[-40:]),
)
async def test_a_2xx_that_cannot_be_read_says_nothing_about_a_command(answer):
    async with raw_server(answer) as server:
        posted, got = await both_fail(server.url)
    assert isinstance(posted, UnreadableReplyError)
    assert (posted.verdict, got.verdict) == (Verdict.UNKNOWN, Verdict.TRY_AGAIN)


async def test_a_gzipped_reply_is_read():
    answer = reply(gzip.compress(COMMAND), status="201 Created", Content_Encoding="gzip")
    async with raw_server(answer) as server, client_at(server.url) as client:
        assert (await client.send_ip_command("s", "x", 1)).sid == "HG1"


@pytest.mark.parametrize("status", ["301 Moved", "307 Moved", "408 Timeout", "500 Error", "502 Bad", "504 Timeout"])
async def test_an_error_of_the_server_or_of_a_proxy_says_nothing_about_a_command(status):
    async with raw_server(reply(b"<html></html>", status=status, Location="https://example.com/")) as server:
        posted, got = await both_fail(server.url)
    assert type(posted) is type(got) is ServerError
    assert (posted.verdict, got.verdict) == (Verdict.UNKNOWN, Verdict.TRY_AGAIN)
    assert posted.status == int(status[:3])
    assert [request.method for request in server.requests] == ["POST", "GET"]


async def test_a_refused_connection_means_that_nothing_was_processed(free_port):
    posted, got = await both_fail(f"http://127.0.0.1:{free_port}")
    assert isinstance(posted, NotConnectedError)
    assert posted.verdict is got.verdict is Verdict.TRY_AGAIN
    assert "POST /v1/IpCommands: no connection to 127.0.0.1: " in str(posted)


async def test_a_name_that_does_not_resolve_means_that_nothing_was_processed():
    posted, got = await both_fail("https://supersim.invalid")
    assert isinstance(posted, NotConnectedError)
    assert posted.verdict is got.verdict is Verdict.TRY_AGAIN
    assert "supersim.invalid" in str(posted)


async def test_a_host_that_does_not_take_the_connection_in_time_means_that_nothing_was_processed():
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # the queue is full, and the kernel drops what comes after
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        posted, got = await both_fail(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.3)
    assert isinstance(posted, NotConnectedError)
    assert posted.verdict is got.verdict is Verdict.TRY_AGAIN


async def test_a_connection_that_died_in_the_pool_is_no_reason_to_send_twice():
    async def answer_once(writer, requests):
        writer.write(reply(COMMAND, status="201 Created"))
        await writer.drain()
        writer.close()

    async with raw_server(answer_once, answer_once) as server, client_at(server.url) as client:
        for _ in range(2):
            try:
                await client.send_ip_command("s", "x", 1)
            except SuperSimError as error:
                assert error.verdict is Verdict.UNKNOWN  # noqa: PT017 - it may have been noticed in time, or not
    assert len(server.requests) <= 2
