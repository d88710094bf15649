"""A real S3 server, moto's, for the tests of object storage. It can refuse, hold back and stop; it forgets nothing."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

CONNECTION = "fleet_storage"
BUCKET = "fleet"
REFUSAL = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class S3Server:
    """The server, on a free port that it keeps when it stops and starts again.

    :ivar requests: method and path of each request
    :ivar refused: a request whose method and path match is answered 403
    :ivar on_request: called with method and path before a request is answered; may wait
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._s3 = DomainDispatcherApplication(create_backend_app)
        self._server: Any = None
        self.port = 0
        self.restart()

    def restart(self) -> None:
        """Start, if it is stopped, and forget the faults; the objects stay."""
        from werkzeug.serving import WSGIRequestHandler, make_server

        self.requests: list[str] = []
        self.refused: str | None = None
        self.on_request: Callable[[str], None] = lambda _: None
        if self._server is None:

            class Handler(WSGIRequestHandler):
                def log_request(self, *_: object) -> None:
                    """Say nothing."""

                def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
                    """Close the connection. Werkzeug would keep it, and the client would wait for the reply."""
                    self.close_connection = True

            self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True, request_handler=Handler)
            self.port = self._server.port
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connection_json(self) -> str:
        """Return an Airflow connection to it."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": "key-of-tests", "password": "secret-of-tests", "extra": extra})

    def client(self) -> Any:
        import boto3

        names = {"aws_access_key_id": "key-of-tests", "aws_secret_access_key": "secret-of-tests"}
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", **names)

    def buckets(self) -> set[str]:
        return {bucket["Name"] for bucket in self.client().list_buckets()["Buckets"]}

    def put(self, key: str, content: str) -> None:
        self.client().put_object(Bucket=BUCKET, Key=key, Body=content.encode())

    def get(self, key: str) -> str:
        return self.client().get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()

    def list_keys(self, prefix: str = "") -> list[str]:
        found = self.client().list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [one["Key"] for one in found]

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.requests.append(request)
        self.on_request(request)
        if self.refused and re.search(self.refused, request):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [REFUSAL]
        return self._s3(environ, start_response)


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Return the server with one empty bucket, and set up a connection to it; no other credentials are at hand."""
    s3_process.restart()
    client = s3_process.client()
    for bucket in s3_process.buckets():
        for one in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=one["Key"])
        client.delete_bucket(Bucket=bucket)
    client.create_bucket(Bucket=BUCKET)
    s3_process.requests.clear()
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", s3_process.connection_json())
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield s3_process
    s3_process.restart()
