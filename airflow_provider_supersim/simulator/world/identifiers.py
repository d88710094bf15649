"""SIDs, ICCIDs and addresses, computed from numbers and back, so that a million SIMs need no table."""

from __future__ import annotations

from hashlib import blake2b

_SPREAD = 0x9E3779B1  # odd, so it has an inverse modulo 2**32; neighbours get SIDs that look unrelated
_UNSPREAD = pow(_SPREAD, -1, 2**32)
_WORD = 2**32 - 1

_FIRST_HOST = 2
"""100.64.0.0 is the network itself, and devices send their answers to 100.64.0.1."""

_ISSUER = "8988307"
_SERIAL = 12


class SidCodec:
    """Makes the SID of the n-th resource of one kind, and finds n from a SID.

    :param prefix: two letters, such as ``HG``.
    :param seed: the same seed gives the same SIDs.
    """

    def __init__(self, prefix: str, seed: int) -> None:
        self._prefix = prefix
        self._key = blake2b(f"{prefix}:{seed}".encode()).digest()
        self._mask = int.from_bytes(self._key[:4])

    def encode(self, number: int) -> str:
        """Return the SID of resource ``number``: the prefix and 32 hexadecimal digits."""
        digest = blake2b(number.to_bytes(4), digest_size=12, key=self._key).hexdigest()
        return f"{self._prefix}{digest}{(number * _SPREAD & _WORD) ^ self._mask:08x}"

    def decode(self, sid: str) -> int | None:
        """Return the number whose SID this is, or None if it belongs to no number."""
        try:
            number = ((int(sid[-8:], 16) ^ self._mask) * _UNSPREAD) & _WORD
        except ValueError:
            return None
        return number if self.encode(number) == sid else None


def iccid(number: int) -> str:
    """Return the ICCID of SIM ``number``: 20 digits, the last one by Luhn's rule."""
    digits = f"{_ISSUER}{number:0{_SERIAL}d}"
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{digits}{-total % 10}"


def iccid_number(text: str) -> int | None:
    """Return the number of the SIM whose ICCID this is, or None if :func:`iccid` never made it."""
    serial = text[len(_ISSUER) : -1]
    if len(serial) != _SERIAL or not serial.isdecimal():
        return None
    number = int(serial)
    return number if iccid(number) == text else None


def device_ip(number: int) -> str:
    """Return the address of SIM ``number`` as the API writes it, out of 100.64.0.0/10."""
    return _address(100, number)


def host_ip(number: int) -> str:
    """Return the address of SIM ``number`` on this host, out of 127.64.0.0/10."""
    return _address(127, number)


def device_number(address: str) -> int | None:
    """Return the number of the SIM with this address on this host, or None if no SIM can have it."""
    first, second, third, fourth = (int(part) for part in address.split("."))
    number = ((second - 64) << 16 | third << 8 | fourth) - _FIRST_HOST
    return number if first == 127 and 64 <= second < 128 and number >= 0 else None


def _address(first: int, number: int) -> str:
    host = number + _FIRST_HOST
    return f"{first}.{64 + (host >> 16)}.{host >> 8 & 255}.{host & 255}"
