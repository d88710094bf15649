"""Devices on real UDP: SIM n has its own address in 127.64.0.0/10 and listens on every port that it is sent to."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from airflow_provider_supersim.simulator.devices import sockets
from airflow_provider_supersim.simulator.world.identifiers import device_number, host_ip
from airflow_provider_supersim.simulator.world.models import Sim
from airflow_provider_supersim.simulator.world.world import World

log = logging.getLogger("supersim-simulator")

MAX_PORTS = 256
"""Sockets that stay open. One more closes the socket whose port was not sent to for the longest time."""

Via = Literal["udp", "process", "external"]


@dataclass(frozen=True, slots=True)
class Datagram:
    """What a device received.

    :param via: ``udp``: through the kernel. ``process``: it never left the simulator, because the port could not be
        bound. ``external``: through the kernel to a program of the user's.
    """

    sim: Sim
    port: int
    data: bytes
    at: float
    via: Via


class DeviceNetwork:
    """The sockets: one for devices' answers, and one for each port that devices are sent to.

    :param host: the address of the simulator's own UDP socket.
    :param port: its port; 0 takes a free one.
    """

    def __init__(self, host: str, port: int) -> None:
        self._uplink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._uplink.setblocking(False)
        self._uplink.bind((host, port))
        self.address: tuple[str, int] = self._uplink.getsockname()
        """Where a device sends to: on this host what 100.64.0.1 is in the vendor's network."""
        self._listeners: OrderedDict[int, socket.socket | None] = OrderedDict()
        self._world: World
        self._in_flight = 0
        self._answers_in_flight = 0
        self.datagrams: list[Datagram] = []
        self.real = self._probe()
        """Whether this host carries datagrams between 127.0.0.1 and the addresses of devices."""

    def start(self) -> None:
        """Begin to read answers. Needs the running event loop."""
        asyncio.get_running_loop().add_reader(self._uplink, self._read_uplink)

    def attach(self, world: World) -> None:
        """Serve a new world and forget every datagram of the old one."""
        for listener in self._listeners.values():
            self._close(listener)
        self._listeners.clear()
        while sockets.receive(self._uplink) is not None:
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
            # Loopback usually delivers at once. Reading here keeps the socket's buffer from overflowing when a
            # hundred thousand commands fall due together. The loop's reader gets what arrives later.
            self._read_device(listener, port)

    async def quiet(self, timeout: float = 1.0) -> None:
        """Wait until every datagram in the kernel has arrived, and every answer to them.

        :param timeout: seconds after which the rest counts as lost; default 1.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            for port, listener in list(self._listeners.items()):
                while listener is not None and self._read_device(listener, port):
                    pass
            while self._read_uplink():
                pass
            if (self._in_flight <= 0 and self._answers_in_flight <= 0) or loop.time() > deadline:
                self._in_flight = self._answers_in_flight = 0  # do not wait again for what was lost
                return
            await asyncio.sleep(0.002)

    # --- devices ------------------------------------------------------------------------------------------------

    def _listener(self, port: int) -> socket.socket | None:
        """Return the socket of all devices' port; None if datagrams to it stay in the process."""
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
        try:
            return sockets.open_device_socket(port)
        except OSError as error:
            log.warning(
                "UDP port %d cannot be bound on this host (%s): datagrams to it stay in the simulator's process. "
                "They count as received, but no program on this host can see them.",
                port,
                error.strerror,
            )
            return None

    def _close(self, listener: socket.socket | None) -> None:
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    def _read_device(self, listener: socket.socket, port: int) -> bool:
        received = sockets.receive(listener)
        if received is None:
            return False
        data, ancillary, source = received
        sim = self._sim(sockets.destination(ancillary))
        if source == self.address and sim is not None:  # other datagrams come from strangers
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
        sockets.send_from(listener, host_ip(sim.number), data, self.address)
        self._answers_in_flight += 1
        self._read_uplink()

    # --- answers ------------------------------------------------------------------------------------------------

    def _read_uplink(self) -> bool:
        received = sockets.receive(self._uplink)
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

    def _probe(self) -> bool:
        """Whether a datagram to a device's address arrives."""
        if sys.platform != "linux":
            log.warning("Devices on real UDP need Linux: datagrams stay in the simulator's process.")
            return False
        reason = sockets.why_not_real(self.address[0], host_ip(0))
        if reason is not None:
            log.warning("No UDP to %s on this host (%s): datagrams stay in the process.", host_ip(0), reason)
        return reason is None
