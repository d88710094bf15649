"""A reply as it came: ``transport`` carries it, ``reading`` reads it, ``judging`` judges it if it is no answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx
import msgspec

#: Takes the secrets out of a text.
Redact = Callable[[str], str]
#: What decoding raises for a reply that is not what it should be.
BAD_JSON = (ValueError, RecursionError)


class Reply(msgspec.Struct, frozen=True):
    """A whole reply, with its body unpacked."""

    request: httpx.Request
    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Tell whether the status is one of 2xx."""
        return 200 <= self.status_code < 300
