"""The way to the API: proxies of the environment, and certificates that are always checked."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from clients import client_at
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from raw_server import cut, raw_server, reply

from airflow_provider_supersim.api.errors import NotConnectedError, SuperSimError, Verdict
from airflow_provider_supersim.api.proxies import proxy_for

pytestmark = pytest.mark.anyio

SIM = {"sid": "HS1", "status": "active"}
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_of_the_shell(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Paths of a certificate for 127.0.0.1 and supersim.example.com that no system trusts, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test's own authority")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("supersim.example.com")]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def tls(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


async def tunnels_of(proxy, url):
    """Return the tunnels that a proxy was asked for when a client read a SIM at the URL."""
    async with client_at(url) as client:
        with suppress(SuperSimError):
            await client.get_sim("HS1")
    return {request.target for request in proxy.requests if request.method == "CONNECT"}


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_environments_proxy_is_used(monkeypatch, name, scheme):
    async with raw_server(cut) as proxy:
        monkeypatch.setenv(name, proxy.url.replace("http://", scheme))
        assert await tunnels_of(proxy, "https://supersim.example.com") == {"supersim.example.com:443"}


@pytest.mark.parametrize(
    ("exception", "url"),
    [
        ("supersim.example.com", "https://supersim.example.com"),
        ("*", "https://supersim.example.com"),
        ("other.example, *", "https://supersim.example.com"),
        ("other.example,example.com", "https://supersim.example.com"),
        (".example.com", "https://supersim.example.com"),
        ("*.example.com", "https://supersim.example.com"),
        ("supersim.example.com:443", "https://supersim.example.com"),
        ("supersim.example.com:8443", "https://supersim.example.com:8443"),
        ("192.0.2.7", "https://192.0.2.7"),
        ("192.0.2.0/24", "https://192.0.2.7"),
        ("10.0.0.0/8, 192.0.2.7/24", "https://192.0.2.7:8443"),
        ("*", "https://192.0.2.7"),
        ("2001:db8::/32", "https://[2001:db8::7]"),
    ],
)
def test_no_proxy_is_used_where_the_environment_says_so(monkeypatch, exception, url):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert proxy_for(httpx.URL(url)) is not None
    monkeypatch.setenv("NO_PROXY", exception)
    assert proxy_for(httpx.URL(url)) is None


@pytest.mark.parametrize(
    ("exception", "url"),
    [
        ("supersim.example.com:8443", "https://supersim.example.com"),
        ("example.com", "https://supersim.notexample.com"),
        ("*.example.com", "https://example.com.evil.example"),
        ("192.0.2.0/24", "https://198.51.100.7"),
        ("192.0.2.0/24", "https://supersim.example.com"),
        ("2001:db8::/32", "https://192.0.2.7"),
        ("300.0.0.0/8,,/", "https://supersim.example.com"),
    ],
)
def test_an_exception_for_another_host_or_port_is_none(monkeypatch, exception, url):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exception)
    assert proxy_for(httpx.URL(url)) is not None


async def test_an_exception_for_one_port_holds_for_that_port_alone(monkeypatch):
    async with raw_server(cut) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "supersim.invalid:8443")
        assert await tunnels_of(proxy, "https://supersim.invalid:8443") == set()
        assert await tunnels_of(proxy, "https://supersim.invalid") == {"supersim.invalid:443"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_no_proxy_is_ever_used_for_this_machine(monkeypatch, host):
    async with raw_server(reply(SIM)) as proxy, raw_server(reply(SIM)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name.lower(), proxy.url)
        async with client_at(server.url.replace("127.0.0.1", host)) as client:
            await client.get_sim("HS1")
    assert proxy.requests == []  # it would have seen the Authorization header in clear


@pytest.mark.parametrize(
    "address", ["socks5://127.0.0.1:9", "http://127.0.0.1:port", "http://", "ftp://me:proxy-word@x"]
)
async def test_a_proxy_of_a_kind_that_is_not_served_is_said_and_not_tried_again(monkeypatch, address):
    monkeypatch.setenv("HTTPS_PROXY", address)
    async with client_at("https://supersim.example.com", keep_trying=60) as client:
        with pytest.raises(NotConnectedError, match=r"the environment's proxy for .* is no http") as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.REFUSED
    assert "proxy-word" not in str(caught.value)


async def test_a_proxy_that_is_down_means_that_nothing_was_processed(monkeypatch, free_port):
    monkeypatch.setenv("https_proxy", f"http://me:proxy-word@127.0.0.1:{free_port}")
    async with client_at("https://supersim.example.com") as client:
        with pytest.raises(NotConnectedError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.TRY_AGAIN
    assert str(free_port) in str(caught.value)
    assert "proxy-word" not in str(caught.value)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_opens_no_tunnel_means_that_nothing_was_processed(monkeypatch, status):
    async with raw_server(reply(b"<html>no</html>", status=status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://me:proxy-word@"))
        async with client_at("https://supersim.example.com", password="s3cret-of-the-account") as client:
            with pytest.raises(NotConnectedError) as caught:
                await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.TRY_AGAIN
    assert status[:3] in str(caught.value)
    assert "proxy-word" not in str(caught.value)
    assert [(request.method, request.target) for request in proxy.requests] == [("CONNECT", "supersim.example.com:443")]
    headers = proxy.requests[0].headers
    assert headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:proxy-word").decode()
    assert "authorization" not in headers  # the account's credentials stay in the tunnel


async def test_https_goes_through_the_proxys_tunnel(monkeypatch, tls, certificate):
    async with raw_server(reply(SIM), tls=tls) as server:

        async def tunnel(writer, requests):
            home = urlsplit(server.url)
            _, onward = await asyncio.open_connection(home.hostname, home.port)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            client, upstream = writer.transport, onward.transport
            client.set_protocol(Relay(upstream))
            upstream.set_protocol(Relay(client))
            try:
                await asyncio.sleep(3600)
            finally:
                onward.close()

        async with raw_server(tunnel) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            async with client_at("https://supersim.example.com", verify=str(certificate[0])) as client:
                assert (await client.get_sim("HS1")).sid == "HS1"
    assert [request.target for request in proxy.requests] == ["supersim.example.com:443"]
    assert server.requests[0].headers["authorization"].startswith("Basic ")


class Relay(asyncio.Protocol):
    """Passes on what it receives."""

    def __init__(self, other):
        self.other = other

    def data_received(self, data):
        self.other.write(data)

    def connection_lost(self, error):
        self.other.close()


async def test_a_certificate_that_nobody_trusts_is_refused_before_anything_is_sent(tls):
    async with raw_server(reply(SIM), tls=tls) as server, client_at(server.url) as client:
        with pytest.raises(NotConnectedError, match=r"the certificate of 127\.0\.0\.1 is not trusted: ") as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.REFUSED
    assert server.requests == []


async def test_a_ca_bundle_makes_it_trusted(tls, certificate):
    async with raw_server(reply(SIM), tls=tls) as server, client_at(server.url, verify=str(certificate[0])) as client:
        assert (await client.get_sim("HS1")).sid == "HS1"


async def test_a_certificate_for_another_name_is_refused(tls, certificate):
    bundle = str(certificate[0])
    async with (
        raw_server(reply(SIM), tls=tls, host="127.0.0.2") as server,
        client_at(server.url, verify=bundle) as client,
    ):
        with pytest.raises(NotConnectedError, match="certificate") as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.REFUSED


async def talk_plain(reader, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def say_nothing(reader, writer):
    await reader.read(-1)  # until the client gives up
    writer.close()


async def hang_up(reader, writer):
    writer.transport.abort()


@pytest.mark.parametrize("handshake", [talk_plain, say_nothing, hang_up])
async def test_a_tls_handshake_that_fails_means_that_nothing_was_processed(handshake):
    server = await asyncio.start_server(handshake, "127.0.0.1", 0)
    async with server, client_at(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout=0.4) as client:
        with pytest.raises(NotConnectedError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.TRY_AGAIN


async def test_a_connection_lost_inside_tls_says_nothing_about_a_command(tls, certificate):
    async with raw_server(cut, tls=tls) as server, client_at(server.url, verify=str(certificate[0])) as client:
        with pytest.raises(SuperSimError) as caught:
            await client.send_ip_command("s", "x", 1)
    assert caught.value.verdict is Verdict.UNKNOWN
    assert urlsplit(server.url).hostname in str(caught.value)
