"""The world: Fleets, SIMs and commands, and what becomes of a command as time passes."""

from __future__ import annotations

import base64
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from airflow_provider_supersim.simulator.world.behaviour import Behaviour, Behaviours
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.commands import CommandLog
from airflow_provider_supersim.simulator.world.identifiers import SidCodec, device_ip
from airflow_provider_supersim.simulator.world.models import Fleet, IpCommand, Sim
from airflow_provider_supersim.simulator.world.options import Options
from airflow_provider_supersim.simulator.world.sims import Sims

NOT_ATTACHED = 83401
"""The code of a command that failed because its device had no network."""


class Radio(Protocol):
    """Carries datagrams to devices."""

    def send(self, sim: Sim, data: bytes, port: int) -> None:
        """Send one datagram to a device's port."""


@dataclass(slots=True)
class CommandRequest:
    """A ``POST /v1/IpCommands`` that passed validation."""

    sim: Sim
    payload: str
    payload_type: str
    data: bytes
    device_port: int
    callback_url: str | None
    callback_method: str
    parameters: dict[str, str]
    vendor: str


class World:
    """All state that the API shows, and how it changes with the clock.

    :param default_vendor: the vendor of a device that sends something before it got a command.
    :param on_sent: called with each command right after it was sent.
    :param on_received: called with each command right after a device sent it.
    """

    def __init__(
        self,
        options: Options,
        clock: Clock,
        *,
        default_vendor: str,
        on_sent: Callable[[IpCommand], None],
        on_received: Callable[[IpCommand], None],
    ) -> None:
        self.options = options
        self.clock = clock
        self.fleets: list[Fleet] = []
        self.sims = Sims(options.seed)
        self.behaviours = Behaviours(Behaviour(answer=options.answer))
        self.commands = CommandLog(options.seed)
        self.statuses: Counter[str] = Counter()
        self._fleet_sids = SidCodec("HF", options.seed)
        self._default_vendor = default_vendor
        self._on_sent = on_sent
        self._on_received = on_received
        self._radio: Radio
        self._populate()

    def connect(self, radio: Radio) -> None:
        """Set what carries datagrams. A separate step, because the radio needs the world first."""
        self._radio = radio

    def add_fleet(self, unique_name: str) -> Fleet:
        """Add a Fleet with data enabled."""
        number, now = len(self.fleets), self.clock.now()
        fleet = Fleet(number, self._fleet_sids.encode(number), unique_name, created=now, updated=now)
        self.fleets.append(fleet)
        return fleet

    def find_fleet(self, key: str) -> Fleet | None:
        """Return the Fleet with this sid or unique_name."""
        return next((fleet for fleet in self.fleets if key in (fleet.sid, fleet.unique_name)), None)

    def fleet_by_sid(self, sid: str) -> Fleet | None:
        """Return the Fleet with this sid."""
        return next((fleet for fleet in self.fleets if fleet.sid == sid), None)

    def accept(self, request: CommandRequest) -> IpCommand:
        """Accept a command: it is queued now, and sent or failed ``settle`` seconds later."""
        now = self.clock.now()
        sim = request.sim
        number, sid = self.commands.next_identity()
        command = IpCommand(
            number=number,
            sid=sid,
            sim=sim,
            direction="to_sim",
            status="queued",
            device_ip=None,
            device_port=request.device_port,
            payload_type=request.payload_type,
            payload=request.payload,
            data=request.data,
            created=now,
            updated=now,
            vendor=request.vendor,
            callback_url=request.callback_url,
            callback_method=request.callback_method,
            parameters=request.parameters,
        )
        sim.vendor = request.vendor
        self.commands.append(command)
        self.statuses["queued"] += 1
        behaviour = self.behaviours.of(sim.number)
        settle = self.options.settle if behaviour.settle is None else behaviour.settle
        self.clock.at(now + settle, self._settle, command)
        return command

    def has(self, command: IpCommand) -> bool:
        """Whether the API has not lost this command."""
        return not self.behaviours.of(command.sim.number).forgotten

    def find_command(self, sid: str) -> IpCommand | None:
        """Return the command with this sid, if the API can find it by now."""
        command = self.commands.by_sid(sid)
        lag = self.options.get_lag
        if command is None or not self.has(command) or (lag and command.created > self.clock.now() - lag):
            return None
        return command

    def receive(self, sim: Sim, data: bytes, port: int) -> IpCommand:
        """Record what a device sent as a ``from_sim`` command."""
        now = self.clock.now()
        number, sid = self.commands.next_identity()
        command = IpCommand(
            number=number,
            sid=sid,
            sim=sim,
            direction="from_sim",
            status="received",
            device_ip=device_ip(sim.number),
            device_port=port,
            payload_type="binary",
            payload=base64.b64encode(data).decode(),
            data=data,
            created=now,
            updated=now,
            vendor=sim.vendor or self._default_vendor,
        )
        self.commands.append(command)
        self.statuses["received"] += 1
        self._on_received(command)
        return command

    def _settle(self, command: IpCommand) -> None:
        now = self.clock.now()
        behaviour = self.behaviours.of(command.sim.number)
        if behaviour.outcome is None and behaviour.network == "never":
            return
        attached = behaviour.attached(now)
        outcome = behaviour.outcome or ("sent" if attached else "failed")
        self.statuses["queued"] -= 1
        self.statuses[outcome] += 1
        command.status = outcome
        command.updated = now
        if outcome == "failed":
            command.reason = NOT_ATTACHED
            return
        command.device_ip = device_ip(command.sim.number)
        if attached:
            self._radio.send(command.sim, command.data, command.device_port)
        self._on_sent(command)

    def _populate(self) -> None:
        """Add the Fleets and SIMs that every simulator starts with (:class:`Options` has their numbers)."""
        options, sims, now = self.options, self.sims, self.clock.now()
        field = self.add_fleet("field-devices")
        lab = self.add_fleet("lab")
        disabled = self.add_fleet("data-disabled")
        disabled.data_enabled = False

        width = max(4, len(str(options.sims)))
        ready = options.sims // 20
        usable = sims.add_batch(
            options.sims - ready, fleet=field, status="active", created=now, prefix="device", width=width
        )
        sims.add_batch(
            ready, fleet=field, status="ready", created=now, prefix="device", start=usable.stop + 1, width=width
        )
        for number in random.Random(options.seed).sample(range(options.sims), options.offline):  # noqa: S311 - repeatable
            self.behaviours.patch(number, {"network": "offline"})

        sims.add_batch(5, fleet=lab, status="active", created=now, prefix="lab")
        sims.add_batch(2, fleet=disabled, status="active", created=now, prefix="no-data")
        for status in ("new", "inactive", "scheduled"):
            sims.add_batch(2, fleet=field, status=status, created=now, prefix=status)
        # New SIMs as the vendor delivers them: in no Fleet and without a name.
        sims.add_batch(2, fleet=None, status="new", created=now, prefix=None)
