"""How each vendor signs a callback. Plain functions, checked against the vendors' own examples."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit


def twilio(secret: str, url: str, fields: Mapping[str, str]) -> str:
    """Return ``X-Twilio-Signature``: HMAC-SHA1 over the URL and each form field in order of its name.

    :param secret: the account's Auth Token.
    :param url: the URL with its query, as it is called.
    :param fields: the fields of a POST form; none for GET.
    """
    text = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def kore(secret: str, method: str, url: str, body: bytes) -> str:
    """Return ``kore-signature``: SHA-256 over secret, method, URL without its query, and the raw body.

    :param secret: the account's; where it is empty, so is the signature.
    """
    if not secret:
        return ""
    bare = urlunsplit(urlsplit(url)._replace(query="", fragment=""))
    return hashlib.sha256(f"{secret}{method}{bare}".encode() + body).hexdigest()
