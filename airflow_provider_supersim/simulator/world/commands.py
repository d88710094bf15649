"""An IP Command, and the list of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from airflow_provider_supersim.simulator.world.identifiers import SidCodec
from airflow_provider_supersim.simulator.world.sims import Sim

STATUSES = ("queued", "sent", "received", "failed")
DIRECTIONS = ("to_sim", "from_sim")
PAYLOAD_TYPES = ("text", "binary")


@dataclass(slots=True, eq=False)
class IpCommand:
    """One IP Command, with what the API shows of it and what only the ground truth tells."""

    number: int
    sid: str
    sim: Sim
    direction: str
    status: str
    device_ip: str | None
    device_port: int
    payload_type: str
    payload: str
    data: bytes
    """What travels: the payload, decoded."""
    created: float
    updated: float
    vendor: str
    """Through whose dialect it came, or is called back."""
    callback_url: str | None = None
    callback_method: str = "POST"
    parameters: dict[str, str] = field(default_factory=dict)
    """The form as it was received."""
    reason: int | None = None
    """Why it failed: an error code that the API itself never shows."""
    callbacks: list[dict[str, object]] | None = None
    """What came of calling back: one entry for each call."""


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """What ``GET /v1/IpCommands`` may ask for. None: any."""

    sim: Sim | None = None
    status: str | None = None
    direction: str | None = None
    created_until: float = float("inf")
    """Newer commands do not show yet."""

    def fits(self, command: IpCommand) -> bool:
        """Whether a command is among those asked for."""
        return (
            self.status in (None, command.status)
            and self.direction in (None, command.direction)
            and command.created <= self.created_until
        )


class CommandLog:
    """Every IP Command in the order of its making; a command's number is its place."""

    def __init__(self, seed: int) -> None:
        self._codec = SidCodec("HG", seed)
        self._all: list[IpCommand] = []

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[IpCommand]:
        return iter(self._all)

    def next_identity(self) -> tuple[int, str]:
        """Return the number and the sid of the command that :meth:`append` takes next."""
        return len(self._all), self._codec.encode(len(self._all))

    def append(self, command: IpCommand) -> None:
        """Take in a command that was made with :meth:`next_identity`."""
        self._all.append(command)
        command.sim.commands.append(command)

    def by_sid(self, sid: str) -> IpCommand | None:
        """Return the command with this sid."""
        number = self._codec.decode(sid) if len(sid) == 34 else None
        return self._all[number] if number is not None and number < len(self._all) else None

    def older(self, than: int | None, wanted: CommandFilter) -> Iterator[IpCommand]:
        """Yield commands numbered below ``than`` (None: all), newest first."""
        if wanted.sim is None:
            last = len(self._all) if than is None else than
            walk = (self._all[place] for place in range(last - 1, -1, -1))
        else:
            walk = (one for one in reversed(wanted.sim.commands) if than is None or one.number < than)
        return (command for command in walk if wanted.fits(command))

    def newer(self, than: int, wanted: CommandFilter) -> Iterator[IpCommand]:
        """Yield commands numbered above ``than``, oldest first."""
        if wanted.sim is None:
            walk = (self._all[place] for place in range(than + 1, len(self._all)))
        else:
            walk = (one for one in wanted.sim.commands if one.number > than)
        return (command for command in walk if wanted.fits(command))
