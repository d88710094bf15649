"""Devices on real UDP sockets: SIM n listens on its own address in 127.64.0.0/10, on any port it is sent to.

One socket for each port serves all devices: bound to every address, it learns from IP_PKTINFO for which device a
datagram is, and answers from that same address. A hundred thousand SIMs so cost one file descriptor, not as many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from airflow_provider_supersim.simulator.world.identifiers import device_number, host_ip
from airflow_provider_supersim.simulator.world.sims import Sim
from airflow_provider_supersim.simulator.world.world import World

log = logging.getLogger("supersim-simulator")

MAX_PORTS = 256
"""Sockets open at a time; the port that was not sent to for longest gives way."""

_IP_PKTINFO = 8  # Linux; the socket module of Python 3.11 has no name for it
_PKTINFO = struct.Struct("=I4s4s")
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO.size)
_MAX_DATAGRAM = 65535

Via = Literal["udp", "process", "external"]


@dataclass(frozen=True, slots=True)
class Datagram:
    """What a device received.

    :param via: ``udp``: through the kernel; ``process``: it never left the simulator, as the port could not be bound;
        ``external``: handed to the kernel for a program of the user's.
    """

    sim: Sim
    port: int
    data: bytes
    at: float
    via: Via


class DeviceNetwork:
    """The sockets: one where devices' answers arrive, and one for each port that devices are sent to.

    :param host: the address of the simulator's own UDP socket.
    :param port: its port; 0 takes a free one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._uplink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._uplink.setblocking(False)
        self._uplink.bind((host, port))
        self.address: tuple[str, int] = self._uplink.getsockname()
        """Where a device sends to: what 100.64.0.1 is in the vendor's network."""
        self._listeners: OrderedDict[int, socket.socket | None] = OrderedDict()
        self._world: World
        self._in_flight = 0
        self._answers_in_flight = 0
        self.datagrams: list[Datagram] = []
        self.real = self._probe()
        """Whether this host carries datagrams between 127.0.0.1 and the devices' addresses."""

    def start(self) -> None:
        """Begin to take in answers. Needs the running event loop."""
        asyncio.get_running_loop().add_reader(self._uplink, self._read_uplink)

    def attach(self, world: World) -> None:
        """Serve a new world: what was under way for the old one is forgotten."""
        for listener in self._listeners.values():
            self._close(listener)
        self._listeners.clear()
        while self._receive(self._uplink) is not None:
            pass
        self._in_flight = self._answers_in_flight = 0
        self.datagrams = []
        self._world = world
        world.connect(self)

    def close(self) -> None:
        """Close every socket."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._uplink)
        for listener in self._listeners.values():
            self._close(listener)
        self._listeners.clear()
        self._uplink.close()

    def send(self, sim: Sim, data: bytes, port: int) -> None:
        """Send one datagram to a device."""
        external = self._world.behaviours.of(sim.number).device == "external"
        listener = None if external else self._listener(port)
        if listener is None and not external:
            self._arrived(sim, port, data, "process")
            return
        try:
            self._uplink.sendto(data, (host_ip(sim.number), port))
        except OSError as error:
            log.warning("UDP to %s port %d (%s) failed: %s", host_ip(sim.number), port, sim.label, error)
            return
        if listener is None:
            self.datagrams.append(Datagram(sim, port, data, self._world.clock.now(), "external"))
        else:
            self._in_flight += 1
            # Loopback delivers at once, as a rule: reading right here keeps the socket's buffer from overflowing
            # when a hundred thousand commands fall due together. What is late comes through the loop's reader.
            self._read_device(listener, port)

    async def quiet(self, timeout: float = 1.0) -> None:
        """Wait until every datagram handed to the kernel has arrived, and every answer to them."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            for port, listener in list(self._listeners.items()):
                while listener is not None and self._read_device(listener, port):
                    pass
            while self._read_uplink():
                pass
            if (self._in_flight <= 0 and self._answers_in_flight <= 0) or loop.time() > deadline:
                self._in_flight = self._answers_in_flight = 0  # what was lost must not be waited for again
                return
            await asyncio.sleep(0.002)

    # --- devices ------------------------------------------------------------------------------------------------

    def _listener(self, port: int) -> socket.socket | None:
        """Return the socket of all devices' port; None where datagrams to it stay in the process."""
        if port in self._listeners:
            self._listeners.move_to_end(port)
            return self._listeners[port]
        listener = self._open(port) if self.real else None
        self._listeners[port] = listener
        if len(self._listeners) > MAX_PORTS:
            self._close(self._listeners.popitem(last=False)[1])
        if listener is not None:
            asyncio.get_running_loop().add_reader(listener, self._read_device, listener, port)
        return listener

    def _open(self, port: int) -> socket.socket | None:
        listener = _device_socket()
        try:
            listener.bind(("0.0.0.0", port))  # noqa: S104 - on the loopback interface alone, see _device_socket
        except OSError as error:
            listener.close()
            log.warning(
                "UDP port %d cannot be bound on this host (%s): datagrams to it stay in the simulator's process. "
                "They count as received, but no program on this host can see them.",
                port,
                error.strerror,
            )
            return None
        return listener

    def _close(self, listener: socket.socket | None) -> None:
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _read_device(self, listener: socket.socket, port: int) -> bool:
        received = self._receive(listener)
        if received is None:
            return False
        data, ancillary, source = received
        sim = self._sim(_destination(ancillary))
        if source == self.address and sim is not None:  # anything else is a stranger's
            self._in_flight -= 1
            self._arrived(sim, port, data, "udp")
        return True

    def _arrived(self, sim: Sim, port: int, data: bytes, via: Via) -> None:
        clock = self._world.clock
        self.datagrams.append(Datagram(sim, port, data, clock.now(), via))
        behaviour = self._world.behaviours.of(sim.number)
        answer = behaviour.reply(data)
        if answer is None:
            return
        if behaviour.answer_delay:
            clock.at(clock.now() + behaviour.answer_delay, self._answer, sim, answer, port)
        else:
            self._answer(sim, answer, port)

    def _answer(self, sim: Sim, data: bytes, port: int) -> None:
        listener = self._listener(port)
        if listener is None:
            self._world.receive(sim, data, port)
            return
        origin = _PKTINFO.pack(0, socket.inet_aton(host_ip(sim.number)), bytes(4))
        listener.sendmsg([data], [(socket.IPPROTO_IP, _IP_PKTINFO, origin)], 0, self.address)
        self._answers_in_flight += 1
        self._read_uplink()

    # --- answers ------------------------------------------------------------------------------------------------

    def _read_uplink(self) -> bool:
        received = self._receive(self._uplink)
        if received is None:
            return False
        data, _, (address, port) = received
        sim = self._sim(address)
        if sim is None:
            log.warning("UDP from %s port %d dropped: no SIM has this address", address, port)
        else:
            if self._world.behaviours.of(sim.number).device == "virtual":
                self._answers_in_flight -= 1
            self._world.receive(sim, data, port)
        return True

    def _sim(self, address: str | None) -> Sim | None:
        number = device_number(address) if address is not None else None
        if number is None or number >= len(self._world.sims):
            return None
        return self._world.sims[number]

    @staticmethod
    def _receive(source: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], tuple[str, int]] | None:
        try:
            data, ancillary, _, address = source.recvmsg(_MAX_DATAGRAM, _ANCILLARY)
        except (BlockingIOError, ConnectionError):  # ConnectionError: nobody listened to an earlier datagram
            return None
        return data, ancillary, address

    def _probe(self) -> bool:
        """Send one datagram to a device's address and see whether it arrives, and whence."""
        if sys.platform != "linux":
            log.warning("Devices on real UDP need Linux: datagrams stay in the simulator's process.")
            return False
        try:
            with _device_socket() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                listener.bind(("0.0.0.0", 0))  # noqa: S104 - as above
                listener.settimeout(0.5)
                sender.bind((self.address[0], 0))
                sender.sendto(b"probe", (host_ip(0), listener.getsockname()[1]))
                _, ancillary, _, _ = listener.recvmsg(16, _ANCILLARY)
                if _destination(ancillary) == host_ip(0):
                    return True
                reason = "IP_PKTINFO does not tell a datagram's address"
        except OSError as error:
            reason = str(error)
        log.warning("No UDP to %s on this host (%s): datagrams stay in the process.", host_ip(0), reason)
        return False


def _device_socket() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    with contextlib.suppress(OSError):  # old kernels allow it to root alone; strangers' datagrams are dropped anyway
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    return listener


def _destination(ancillary: list[tuple[int, int, bytes]]) -> str | None:
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return socket.inet_ntoa(_PKTINFO.unpack_from(value)[2])
    return None
