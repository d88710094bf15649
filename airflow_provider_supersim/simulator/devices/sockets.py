"""The UDP sockets of devices. One socket for each port serves all devices: it is bound to every address.

IP_PKTINFO tells which device's address a datagram was sent to, and sets the address from which an answer leaves. So a
hundred thousand SIMs cost one file descriptor for each port.
"""

from __future__ import annotations

import contextlib
import socket
import struct

_IP_PKTINFO = 8  # Linux; the socket module of Python 3.11 has no name for it
_PKTINFO = struct.Struct("=I4s4s")
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO.size)
_MAX_DATAGRAM = 65535

Ancillary = list[tuple[int, int, bytes]]


def open_device_socket(port: int) -> socket.socket:
    """Open the socket of all devices' port.

    :param port: UDP port; 0 takes a free one.
    :raises OSError: the port cannot be bound.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        with contextlib.suppress(
            OSError
        ):  # old kernels allow only root to do it; strangers' datagrams are dropped anyway
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        opened.bind(("0.0.0.0", port))  # noqa: S104 - for every device's address
    except OSError:
        opened.close()
        raise
    return opened


def receive(source: socket.socket) -> tuple[bytes, Ancillary, tuple[str, int]] | None:
    """Return a datagram, its ancillary data and the sender's address; None if none has arrived."""
    try:
        data, ancillary, _, address = source.recvmsg(_MAX_DATAGRAM, _ANCILLARY)
    except (BlockingIOError, ConnectionError):  # ConnectionError: nothing listened to an earlier datagram
        return None
    return data, ancillary, address


def destination(ancillary: Ancillary) -> str | None:
    """Return the address that a datagram was sent to; None if the kernel did not tell."""
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return socket.inet_ntoa(_PKTINFO.unpack_from(value)[2])
    return None


def send_from(source: socket.socket, origin: str, data: bytes, target: tuple[str, int]) -> None:
    """Send a datagram that comes from one device's address."""
    info = _PKTINFO.pack(0, socket.inet_aton(origin), bytes(4))
    source.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, info)], 0, target)


def why_not_real(host: str, device: str) -> str | None:
    """Send one datagram to a device's address; return why it did not arrive, or None if it did.

    :param host: the address that it is sent from.
    """
    try:
        with open_device_socket(0) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            listener.settimeout(0.5)
            sender.bind((host, 0))
            sender.sendto(b"probe", (device, listener.getsockname()[1]))
            _, ancillary, _, _ = listener.recvmsg(16, _ANCILLARY)
    except OSError as error:
        return str(error)
    return None if destination(ancillary) == device else "IP_PKTINFO does not tell a datagram's address"
