"""From rows to devices: every command of a rollout is made and checked before the first one leaves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from airflow_provider_supersim.api.models import IpCommandRequest, Sim
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.delivery.targets.files import FileRow
from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate
from airflow_provider_supersim.delivery.timezones import zone

SHOWN = 50  # problems named in an error's text
KEPT = 1_000  # problems kept in memory; the rest is counted
SHARED = 10_000  # different payloads that are looked for among those before, and written once for all devices

_SIM_SID = re.compile(r"HS[0-9a-fA-F]{32}", re.ASCII)


class TargetsError(ValueError):
    """Rows that no command can be made of.

    :ivar problems: what is wrong, a sentence for each row, the first thousand of them
    :ivar more: how many problems there are beyond those
    """

    def __init__(self, problems: Sequence[str], more: int = 0) -> None:
        super().__init__(problems, more)
        self.problems = list(problems)
        self.more = more

    def __str__(self) -> str:
        total = len(self.problems) + self.more
        lines = [f"The targets have {total:,} problem{'s' if total > 1 else ''}, and nothing was sent:"]
        lines += self.problems[:SHOWN]
        if total > SHOWN:
            lines.append(f"… and {total - SHOWN:,} more.")
        return "\n".join(lines)


def rows_of(targets: Sequence[str | Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return a row for each of a list of SIMs or of mappings; what is neither is left for :func:`plan` to list.

    :raises ValueError: for what is no list
    """
    if isinstance(targets, str | bytes | Mapping):
        raise ValueError(f"targets must be a list of SIMs or of dicts, got {type(targets).__name__}")
    return ({"sim": target} if isinstance(target, str) else target for target in targets)  # type: ignore[misc]


def row_of_sim(sim: Sim) -> dict[str, Any]:
    """Return a row for a SIM that the API has listed."""
    return {
        "sim": sim.sid,
        "sim_sid": sim.sid,
        "unique_name": sim.unique_name,
        "iccid": sim.iccid,
        "fleet_sid": sim.fleet_sid,
        "status": sim.status.value,
    }


def check_shard(shard: Sequence[int]) -> tuple[int, int]:
    """Return ``(i, n)`` as given.

    :raises ValueError: for anything but two whole numbers with 0 <= i < n
    """
    if isinstance(shard, Sequence) and len(shard) == 2 and all(type(number) is int for number in shard):
        index, count = shard
        if 0 <= index < count:
            return index, count
    raise ValueError(f"shard must be (i, n) with 0 <= i < n, such as (0, 4) for the first of four, got {shard!r}")


def takes(shard: Sequence[int], sim: str) -> bool:
    """Return whether a SIM is this shard's. The same on every machine and every try.

    :raises ValueError: as :func:`check_shard`
    """
    index, count = check_shard(shard)
    digest = blake2b(sim.encode(), digest_size=8).digest()
    return int.from_bytes(digest) % count == index


def plan(
    rows: Iterable[Mapping[str, Any]],
    table: WorkingSet,
    *,
    template: PayloadTemplate,
    device_port: int | str,
    payload_type: str | None = None,
    variables: Mapping[str, Any] = {},
    shard: Sequence[int] | None = None,
    timezone_needed: bool = False,
) -> None:
    """Make and check every command, in the order of the rows.

    A row's own ``payload`` (no template), ``payload_type`` and ``device_port`` come before those given here.

    :param rows: of all shards: a SIM that two shards would send to is found, too
    :param table: takes the devices
    :param template: the payload of the rows that have none
    :param variables: what the template may name beside ``device``
    :param shard: make commands for these SIMs alone
    :param timezone_needed: each row must have a ``timezone``, for the window has none
    :raises TargetsError: with everything that is wrong
    """
    if shard is not None:
        check_shard(shard)
    planner = _Planner(table, template, device_port, payload_type, variables, timezone_needed=timezone_needed)
    problems: list[str] = []
    more = 0
    for count, row in enumerate(rows, 1):
        number = row.line if isinstance(row, FileRow) else count
        try:
            sim = planner.identify(number, row)
            if shard is None or takes(shard, sim):
                planner.add(sim, row)
        except ValueError as error:
            if len(problems) < KEPT:
                problems.append(f"{_where(number, row)}: {error}")
            else:
                more += 1
    if problems:
        raise TargetsError(problems, more)


class _Planner:
    """What is known from one row to the next."""

    def __init__(
        self,
        table: WorkingSet,
        template: PayloadTemplate,
        device_port: int | str,
        payload_type: str | None,
        variables: Mapping[str, Any],
        *,
        timezone_needed: bool,
    ) -> None:
        self._table = table
        self._template = template
        self._device_port = device_port
        self._payload_type = payload_type
        self._variables = variables
        self._timezone_needed = timezone_needed
        self._shared: dict[str, int] = {}  # payloads, with their numbers in the table

    def identify(self, number: int, row: object) -> str:
        """Return what the row calls its SIM, after a look at all rows before it."""
        if isinstance(row, FileRow) and row.problem:
            raise ValueError(row.problem)
        if not isinstance(row, Mapping):
            raise ValueError(f"a target must be a SIM or a dict with at least 'sim', got {type(row).__name__}")
        sim = _text(row, "sim")
        if not sim:
            raise ValueError(f"sim must be the sid (HS…) or the unique name of a SIM, got {row.get('sim')!r}")
        sim.encode()  # a name that no request can carry is an error now, not later
        sid, name = _text(row, "sim_sid") or sim, _text(row, "unique_name") or sim
        if earlier := self._table.row_of(sim, sid, name):
            raise ValueError(f"the same SIM as {_place(earlier, row)}")
        self._table.call(sim, {sid, name} - {sim}, number)
        return sim

    def add(self, sim: str, row: Mapping[str, Any]) -> None:
        """Put the row's device into the table, with its command, checked."""
        content = row.get("payload")
        port, kind = row.get("device_port"), row.get("payload_type")
        request = IpCommandRequest.build(
            sim,
            self._template.render(row, self._variables) if content is None else content,
            self._device_port if port is None else port,
            payload_type=self._payload_type if kind is None else kind,
        )
        device = Device(
            sim=sim,
            request=request,
            sim_sid=_text(row, "sim_sid") or (sim if _SIM_SID.fullmatch(sim) else None),
            name=_text(row, "unique_name") or None,
            timezone=self._timezone(row),
        )
        self._table.add(device, self._payload(request.payload))

    def _timezone(self, row: Mapping[str, Any]) -> str | None:
        name = row.get("timezone")
        if name is not None:
            zone(name)
            return str(name)
        if self._timezone_needed:
            raise ValueError("timezone is missing, and the window has none")
        return None

    def _payload(self, text: str) -> int:
        """Return the number of an equal payload, as far as it pays to look for one."""
        number = self._shared.get(text)
        if number is None:
            number = self._table.add_payload(text)
            if len(self._shared) < SHARED:
                self._shared[text] = number
        return number


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return value.strip() if isinstance(value, str) else ""


def _where(number: int, row: object) -> str:
    sim = _text(row, "sim") if isinstance(row, Mapping) else ""
    shown = sim[:60].encode(errors="backslashreplace").decode()
    return _place(number, row) + (f" ({shown})" if sim else "")


def _place(number: int, row: object) -> str:
    return f"{'line' if isinstance(row, FileRow) else 'row'} {number}"
