"""A server on a bare socket: answers with whatever bytes a test likes, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    url: str = ""
    connections: int = 0
    requests: list[Sent] = field(default_factory=list)


@dataclass
class Sent:
    """A request as it came over the wire; names of headers in small letters."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


async def cut(writer, requests):
    """Answer nothing, and cut the connection as a broken line does."""
    writer.transport.abort()


async def hang(writer, requests):
    """Answer nothing, and keep the connection."""
    await asyncio.sleep(3600)


def reply(body=b"", status="200 OK", **headers):
    """Return a whole reply; a dict becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + content


@asynccontextmanager
async def raw_server(*answers, tls=None, host="127.0.0.1"):
    """Serve on a free port.

    :param answers: for each request the next one, and then the last one again: bytes, or a coroutine function that
        takes the writer and the requests up to now
    """
    served = RawServer()
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        served.connections += 1
        try:
            while True:
                sent = await _read(reader)
                served.requests.append(sent)
                answer = answers[min(len(served.requests), len(answers)) - 1]
                if callable(answer):
                    await answer(writer, served.requests)
                else:
                    writer.write(answer)
                    await writer.drain()
                    if b"Connection: close" in answer:
                        break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    served.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _read(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
    return Sent(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))
