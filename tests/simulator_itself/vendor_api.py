"""A plain HTTP client for the vendors' API: it shares no code with the one that the package ships."""

import base64
import http.client
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urlsplit

ACCOUNT, API_KEY, READ_ONLY = "AC" + 32 * "a", "SK" + 32 * "b", "SK" + 32 * "c"
NEW_YEAR = "2026-01-01T00:00:00Z"
COMMANDS, TOKEN = "/v1/IpCommands", "/api-services/v1/auth/token"


@dataclass
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def basic(login: str = ACCOUNT, password: str = "simulator") -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


class Api:
    """Calls the vendors' API the way any client would.

    :param authorization: the header; None: not sent.
    """

    def __init__(self, url: str, authorization: str | None) -> None:
        self.url = url
        self.authorization = authorization

    def call(
        self,
        method: str,
        target: str,
        form: dict[str, Any] | None = None,
        *,
        body: str | None = None,
        timeout: float = 600,
        **headers: str,
    ) -> Answer:
        if self.authorization is not None:
            headers.setdefault("Authorization", self.authorization)
        if form is not None:
            body = urlencode(form)
        if body is not None:
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        parts = urlsplit(target)
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=timeout)
        with closing(connection):
            connection.request(method, f"{parts.path}{'?' if parts.query else ''}{parts.query}", body, headers)
            reply = connection.getresponse()
            return Answer(reply.status, reply.headers, reply.read())

    @contextmanager
    def unanswered(self, sim: str = "device-0001") -> Iterator[None]:
        """Send a command, leave the reply unread, and hang up at the end of the block."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc)
        headers = {"Authorization": self.authorization, "Content-Type": "application/x-www-form-urlencoded"}
        with closing(connection):
            connection.request("POST", COMMANDS, urlencode({"Sim": sim, "Payload": "a", "DevicePort": 1}), headers)
            yield

    def get(self, path: str, **query: Any) -> Answer:
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path)

    def send(self, sim: str = "device-0001", payload: str = "hello", port: int = 50_000, **more: Any) -> Answer:
        return self.call("POST", COMMANDS, {"Sim": sim, "Payload": payload, "DevicePort": port, **more})

    def sent(self, *arguments: Any, **more: Any) -> str:
        """Send a command that must be accepted; return its sid."""
        answer = self.send(*arguments, **more)
        assert answer.status == 201, answer.body
        return answer.json["sid"]

    def token(self) -> "Api":
        """Sign in at KORE's; return a client that carries the token."""
        form = {"grant_type": "client_credentials", "client_id": "simulator", "client_secret": "simulator"}
        answer = self.call("POST", TOKEN, form)
        assert answer.status == 200, answer.body
        return Api(self.url, f"Bearer {answer.json['access_token']}")
