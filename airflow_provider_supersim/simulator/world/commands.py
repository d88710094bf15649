"""The list of all IP Commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from airflow_provider_supersim.simulator.world.identifiers import SidCodec
from airflow_provider_supersim.simulator.world.models import IpCommand, Sim


@dataclass(frozen=True, slots=True)
class CommandFilter:
    """What ``GET /v1/IpCommands`` asks for. None: any."""

    sim: Sim | None = None
    status: str | None = None
    direction: str | None = None
    created_until: float = float("inf")
    """The list does not show newer commands yet."""
    shown: Callable[[IpCommand], bool] = lambda _: True
    """Whether the API still has a command."""

    def fits(self, command: IpCommand) -> bool:
        """Whether a command matches."""
        return (
            self.status in (None, command.status)
            and self.direction in (None, command.direction)
            and command.created <= self.created_until
            and self.shown(command)
        )


class CommandLog:
    """Every IP Command in the order of acceptance; a command's number is its place in the list."""

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
        """Add a command that was made with :meth:`next_identity`."""
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
