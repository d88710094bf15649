"""A simulator with one more vendor: the class and its registration are all that this takes."""

import hashlib
import sys
from typing import Annotated

import msgspec

from airflow_provider_supersim.simulator.api.errors import ApiError
from airflow_provider_supersim.simulator.api.vendors import Vendor, register
from airflow_provider_supersim.simulator.process.command_line import main


class AcmeAccount(msgspec.Struct, frozen=True, kw_only=True):
    acme_key: Annotated[str, msgspec.Meta(description="Acme: key of the account")] = "acme-key"


@register
class Acme(Vendor[AcmeAccount]):
    """Signs in with a session header, writes errors in its own form, and has pages of three."""

    name = "acme"
    title = "Acme"
    account_options = AcmeAccount
    error_pages = "https://acme.example/errors/"
    max_page_sizes = {"/v1/IpCommands": 3, "/v1/Sims": 70}
    token_path = "/sessions/new"
    secret_fields = frozenset({"key"})

    def __init__(self, options, clock):
        super().__init__(options, clock)
        self.ends = 0.0

    def claims(self, path, headers):
        return path == self.token_path or b"x-acme-session" in headers

    def issue_token(self, form):
        if form.get("key") != self.account.acme_key:
            raise ApiError(402, 1, "wrong key")
        self.ends = self.clock.now() + self.options.token_lifetime
        return {"session": "open sesame"}

    def authenticate(self, headers, *, may_write, expired):
        if expired or self.clock.now() >= self.ends or headers.get(b"x-acme-session") != b"open sesame":
            raise ApiError(419, 2, "session over", headers=((b"x-acme-again", b"yes"),))

    def reply_headers(self, in_flight):
        return ((b"x-acme-load", b"%d" % in_flight),)

    def error_body(self, error):
        return {"acme": error.message, "page": f"{self.error_pages}{error.code}"}

    def callback_headers(self, method, url, fields, identity):
        return {"X-Acme-Proof": hashlib.sha256(f"{self.account.acme_key}{url}".encode()).hexdigest()}

    def credentials(self):
        return [f"key {self.account.acme_key}"]

    def connection(self, url):
        extra = {"vendor": self.name}
        return {"conn_type": "supersim", "host": url, "login": "", "password": self.account.acme_key, "extra": extra}


if __name__ == "__main__":
    sys.exit(main())
