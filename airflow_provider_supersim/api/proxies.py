"""Chooses the proxy for a host, as the environment says (``HTTPS_PROXY``, ``NO_PROXY``)."""

from __future__ import annotations

import ipaddress
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_provider_supersim.api.auth import basic_header
from airflow_provider_supersim.api.errors import NotConnectedError, Verdict


def proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """Return the environment's proxy for a URL; never one for this machine itself.

    aiohttp's ``trust_env`` would also take credentials from ``~/.netrc``, which are not this account's.

    :raises NotConnectedError: the environment names a proxy of a kind that is not supported
    """
    if is_loopback(url.host):
        return None  # plain http is allowed there, so a proxy would see the credentials
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address or _is_exempt(url, proxies.get("no", "")):
        return None
    try:
        proxy = httpx.URL(address if "://" in address else f"http://{address}")
    except httpx.InvalidURL:
        proxy = httpx.URL()
    if proxy.scheme not in ("http", "https") or not proxy.host:
        raise NotConnectedError(
            f"the environment's proxy for {url.host} is no http(s) URL",
            request=f"connection to {url.host}",
            verdict=Verdict.REFUSED,
        )
    # As a header, because aiohttp has deprecated its parameter for a proxy's credentials.
    sign_in = {"Proxy-Authorization": basic_header(proxy.username, proxy.password)} if proxy.userinfo else None
    return httpx.Proxy(proxy.copy_with(userinfo=b""), headers=sign_in)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    address = _address(host)
    return address.is_loopback if address else host.lower() == "localhost"


def _is_exempt(url: httpx.URL, no_proxy: str) -> bool:
    """Tell whether ``NO_PROXY`` names the host, also with its port, by a wildcard, or by its network."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    if proxy_bypass(f"{url.host}:{port}"):  # knows names, ports, and the settings of macOS and Windows
        return True
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    if "*" in entries:
        return True
    if address := _address(url.host):
        return any(address in network for network in map(_network, entries) if network)
    return any(entry.startswith("*.") and url.host.endswith(entry[1:]) for entry in entries)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
