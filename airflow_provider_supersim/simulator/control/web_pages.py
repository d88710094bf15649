"""Keeps web pages away from the control plane: any page that a browser shows can make it send requests to this host."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.exceptions import HTTPException
from starlette.requests import Request


def refuse_web_pages(request: Request) -> None:
    """Let requests of programs in, which send no ``Origin``, and those of pages that this simulator served.

    A page can come from a name that its owner has pointed at this host, so the name must be localhost or an address.

    :raises HTTPException: 403, the request comes from another page.
    """
    origin = request.headers.get("origin")
    if origin is None or (origin == f"{request.url.scheme}://{request.url.netloc}" and _is_ours(request.url.hostname)):
        return
    raise HTTPException(403, f"Origin: {origin[:200]!r} is another site; the control plane is not for its pages")


def _is_ours(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        ip_address(host or "")
    except ValueError:
        return False
    return True
