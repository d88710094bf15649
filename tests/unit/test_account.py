"""What a connection says: each field, each guess, each refusal; and no secret where it can be read."""

from __future__ import annotations

import shutil
import ssl
from dataclasses import dataclass

import pytest
from airflow.models.connection import Connection
from rich.pretty import pretty_repr

from airflow_provider_supersim.api.auth import BasicAuth, ClientCredentialsAuth
from airflow_provider_supersim.api.client import AsyncSuperSimClient
from airflow_provider_supersim.hooks.connection import Account, Limits

SID, KEY = "AC" + 32 * "a", "SK" + 32 * "b"


@dataclass
class Fields:
    conn_id: str = "supersim_default"
    host: str | None = None
    login: str | None = SID
    password: str | None = "s3cret"
    port: int | None = None
    schema: str | None = None


def read(extra=None, **fields):
    return Account.read(Fields(**fields), extra or {})


def test_login_and_password_are_enough_at_twilio():
    account = read()
    assert account.vendor.name == "twilio"
    assert (account.login, account.password) == (SID, "s3cret")
    assert account.base_url == "https://supersim.twilio.com"
    assert account.auth_url is None
    assert (account.timeout, account.max_concurrency, account.max_rate, account.ca_bundle) == (30.0, 100, None, None)


def test_kore_has_its_own_home_and_token_endpoint():
    account = read({"vendor": "kore"}, login="client")
    assert account.base_url == "https://supersim.api.korewireless.com"
    assert account.auth_url == "https://api.korewireless.com/api-services/v1/auth/token"


@pytest.mark.parametrize(
    ("extra", "host", "login", "vendor"),
    [
        ({"vendor": "kore"}, "https://supersim.twilio.com", SID, "kore"),
        ({"vendor": "twilio"}, "https://supersim.api.korewireless.com", "x", "twilio"),
        ({"vendor": "KORE"}, "", "x", "kore"),
        ({}, "supersim.api.korewireless.com", SID, "kore"),
        ({}, "https://SUPERSIM.TWILIO.COM", "x", "twilio"),
        ({"vendor": ""}, "", SID, "twilio"),
        ({"vendor": None}, "", KEY, "twilio"),
        ({}, "http://127.0.0.1:8025", KEY, "twilio"),
    ],
)
def test_the_vendor_is_as_extra_says_else_as_the_host_tells_else_as_the_login_tells(extra, host, login, vendor):
    assert read(extra, host=host, login=login).vendor.name == vendor


@pytest.mark.parametrize(
    ("host", "port", "schema", "url"),
    [
        (None, None, None, "https://supersim.twilio.com"),
        ("", None, None, "https://supersim.twilio.com"),
        ("  ", None, None, "https://supersim.twilio.com"),
        ("supersim.example.com", None, None, "https://supersim.example.com"),
        ("supersim.example.com", 8443, None, "https://supersim.example.com:8443"),
        ("supersim.example.com:8443", None, None, "https://supersim.example.com:8443"),
        ("supersim.example.com:8443", 9999, None, "https://supersim.example.com:8443"),
        ("https://supersim.example.com/", None, None, "https://supersim.example.com"),
        ("https://supersim.example.com/base/", None, None, "https://supersim.example.com/base"),
        ("https://supersim.example.com", 8443, None, "https://supersim.example.com:8443"),
        ("127.0.0.1", 8025, "http", "http://127.0.0.1:8025"),
        ("http://127.0.0.1:8025", None, None, "http://127.0.0.1:8025"),
        ("http://127.8.9.10", None, None, "http://127.8.9.10"),
        ("http://localhost", 8025, None, "http://localhost:8025"),
        ("http://[::1]:8025", None, None, "http://[::1]:8025"),
    ],
)
def test_the_host_is_a_name_or_a_url_with_the_uri_forms_port_and_schema(host, port, schema, url):
    assert read(host=host, port=port, schema=schema).base_url == url


@pytest.mark.parametrize("field", ["host", "auth_url"])
@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "https://",
        "https://?x",
        "https://user@example.com",
        "https://:hidden-word@example.com",
        "https://@example.com",
        "https://user:hidden-word@example.com",
        "https://example.com?token=hidden-word",
        "https://example.com#hidden-word",
        "https://example.com:port",
        "https://example.com:99999",
        "https://[::1",
        "https://exam ple.com",
        "https://exam\nple.com",
    ],
)
def test_a_url_that_cannot_be_right_is_refused_without_being_quoted_secrets_and_all(field, url):
    fields, extra = ({"host": url}, {}) if field == "host" else ({}, {"auth_url": url})
    with pytest.raises(ValueError, match=rf"^Connection 'supersim_default': {field} ") as caught:
        read({"vendor": "kore", **extra}, **fields)
    assert "hidden-word" not in str(caught.value)


@pytest.mark.parametrize("field", ["host", "auth_url"])
@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.1:8025", "http://0.0.0.0", "http://localhost.example.com", "HTTP://x"]
)
def test_plain_http_is_refused_but_for_loopback(field, url):
    fields, extra = ({"host": url}, {}) if field == "host" else ({}, {"auth_url": url})
    with pytest.raises(ValueError, match=f"{field} is plain http://, which would show the credentials"):
        read({"vendor": "kore", **extra}, **fields)


def test_plain_http_from_a_schema_is_refused_too():
    with pytest.raises(ValueError, match="host is plain http://"):
        read(host="supersim.example.com", schema="http")


@pytest.mark.parametrize(
    ("fields", "extra", "words"),
    [
        (
            {"login": None},
            {"vendor": "twilio"},
            "login and password are needed: Account SID and Auth Token, or API Key",
        ),
        ({"login": " "}, {"vendor": "twilio"}, "login and password are needed"),
        ({"password": None}, {}, "login and password are needed: Account SID"),
        ({"password": ""}, {"vendor": "kore"}, "login and password are needed: client id and client secret"),
        ({"login": "x"}, {}, r"Twilio or KORE\? Set extra.vendor to 'twilio' or 'kore'\.$"),
        ({"login": None}, {}, r"Twilio or KORE\?"),
        ({}, {"vendor": "vodafone"}, r"extra.vendor must be one of \['kore', 'twilio'\], got 'vodafone'"),
        ({}, {"vendor": 7}, "extra.vendor must be one of"),
        ({}, {"max_concurency": 5}, r"extra has unknown fields \['max_concurency'\]; known are"),
        ({}, {"timeout": 0}, "extra.timeout must be a number above 0, got 0"),
        ({}, {"timeout": "-1"}, "extra.timeout must be a number above 0"),
        ({}, {"timeout": "nan"}, "extra.timeout must be a number above 0"),
        ({}, {"timeout": "inf"}, "extra.timeout must be a number above 0"),
        ({}, {"timeout": "soon"}, "extra.timeout must be a number above 0, got 'soon'"),
        ({}, {"timeout": [1]}, "extra.timeout must be a number above 0"),
        ({}, {"max_concurrency": 0}, "extra.max_concurrency must be a whole number above 0, got 0"),
        ({}, {"max_concurrency": 1.5}, "extra.max_concurrency must be a whole number above 0"),
        ({}, {"max_concurrency": "many"}, "extra.max_concurrency must be a whole number above 0"),
        ({}, {"max_concurrency": True}, "extra.max_concurrency must be a whole number above 0"),
        ({}, {"max_rate": 0}, "extra.max_rate must be a number above 0"),
        ({}, {"max_rate": "fast"}, "extra.max_rate must be a number above 0"),
        ({}, {"verify": False}, "extra.verify cannot be switched off"),
        ({}, {"verify": "False"}, "extra.verify cannot be switched off"),
        ({}, {"verify": "no"}, "extra.verify cannot be switched off"),
        ({}, {"verify": 0}, "extra.verify cannot be switched off"),
        ({}, {"verify": "/no/such/file.pem"}, "extra.verify .*'/no/such/file.pem'"),
    ],
)
def test_each_refusal_names_the_connection_and_the_field(fields, extra, words):
    with pytest.raises(ValueError, match=f"^Connection 'supersim_default': {words}"):
        read(extra, **fields)


@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        ({"timeout": 5}, "timeout", 5.0),
        ({"timeout": "2.5"}, "timeout", 2.5),
        ({"timeout": ""}, "timeout", 30.0),
        ({"timeout": None}, "timeout", 30.0),
        ({"max_concurrency": 7}, "max_concurrency", 7),
        ({"max_concurrency": "7"}, "max_concurrency", 7),
        ({"max_rate": "0.5"}, "max_rate", 0.5),
        ({"max_rate": 50}, "max_rate", 50.0),
        ({"max_rate": ""}, "max_rate", None),
        ({"verify": True}, "ca_bundle", None),
        ({"verify": "true"}, "ca_bundle", None),
        ({"verify": ""}, "ca_bundle", None),
        ({"vendor": "kore", "auth_url": "https://x.example/token/"}, "auth_url", "https://x.example/token"),
    ],
)
def test_each_extra_is_read_as_json_or_as_the_text_of_the_older_forms(extra, field, value):
    assert getattr(read(extra), field) == value


def test_a_ca_bundle_is_given_by_its_path(tmp_path):
    bundle = tmp_path / "ca.pem"
    shutil.copy(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt", bundle)
    assert read({"verify": str(bundle)}).ca_bundle == str(bundle)


def test_a_file_that_is_no_ca_bundle_is_refused_before_anything_is_sent(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("not a certificate")
    with pytest.raises(ValueError, match=r"extra\.verify .*ca\.pem"):
        read({"verify": str(bundle)})


@pytest.mark.parametrize(
    ("uri", "url", "login", "password"),
    [
        (f"supersim://{SID}:s3cret@", "https://supersim.twilio.com", SID, "s3cret"),
        (f"supersim://{SID}:s3cret@supersim.example.com:8443", "https://supersim.example.com:8443", SID, "s3cret"),
        (f"supersim://{SID}:a%2Fb%40@127.0.0.1:8025/http", "http://127.0.0.1:8025", SID, "a/b@"),
        (f"supersim://{SID}:s3cret@http%3A%2F%2F127.0.0.1%3A8025", "http://127.0.0.1:8025", SID, "s3cret"),
    ],
)
def test_airflows_uri_form_is_understood(uri, url, login, password):
    connection = Connection("by_uri", uri=uri)
    account = Account.read(connection, connection.extra_dejson)
    assert (account.base_url, account.login, account.password) == (url, login, password)


def test_airflows_uri_form_carries_extra_as_text():
    uri = "supersim://client:s3cret@?vendor=kore&timeout=5&max_concurrency=7&max_rate=2.5"
    connection = Connection("by_uri", uri=uri)
    account = Account.read(connection, connection.extra_dejson)
    assert (account.vendor.name, account.timeout, account.max_concurrency, account.max_rate) == ("kore", 5, 7, 2.5)


@pytest.mark.parametrize("show", [repr, str, pretty_repr, lambda account: f"{account}", lambda account: f"{[account]}"])
def test_the_password_shows_nowhere(show):
    assert "s3cret" not in show(read())
    assert SID in show(read())


def test_equal_accounts_share_what_can_be_shared_and_others_do_not():
    assert read() == read()
    assert hash(read()) == hash(read())
    assert read() != read(password="other")
    assert read() != read({"max_rate": 5})


@pytest.mark.parametrize(("vendor", "kind"), [("twilio", BasicAuth), ("kore", ClientCredentialsAuth)])
def test_the_account_makes_a_client_that_signs_in_as_its_vendor_wants(vendor, kind):
    client = read({"vendor": vendor}).client()
    assert isinstance(client, AsyncSuperSimClient)
    assert isinstance(client._auth, kind)
    assert client.vendor.name == vendor


def test_an_auth_url_is_refused_for_a_vendor_without_tokens():
    with pytest.raises(ValueError, match=r"extra\.auth_url must be empty: twilio signs in with login and password"):
        read({"vendor": "twilio", "auth_url": "https://x.example/token"})


@pytest.mark.parametrize(
    ("limits", "concurrency", "rate"),
    [
        (Limits(), 100, 200.0),
        (Limits(max_concurrency=10, max_rate=50), 10, 50.0),
        (Limits(max_rate=50, share=4), 25, 12.5),
        (Limits(max_concurrency=3, share=4), 1, 50.0),
    ],
)
def test_limits_replace_what_the_connection_says_and_are_shared(limits, concurrency, rate):
    account = read({"max_rate": 200}).within(limits)
    assert (account.max_concurrency, account.max_rate) == (concurrency, rate)
