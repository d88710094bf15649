"""From rows to devices: every command of a rollout is built and checked before the first one leaves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.api.models import IpCommandRequest
from airflow_provider_supersim.delivery.state.device import Device
from airflow_provider_supersim.delivery.state.working_set import WorkingSet
from airflow_provider_supersim.delivery.targets.files import FileRow
from airflow_provider_supersim.delivery.targets.payload_template import PayloadTemplate
from airflow_provider_supersim.delivery.targets.shards import Shard
from airflow_provider_supersim.delivery.timezones import zone

SHOWN = 50  # problems named in an error's text
KEPT = 1_000  # problems kept in memory; the others are counted
SHARED = 10_000  # different payloads that are remembered, so that devices with the same payload share its text

_SIM_SID = re.compile(r"HS[0-9a-fA-F]{32}", re.ASCII)


class Problem(NamedTuple):
    """What is wrong with one row.

    :ivar where: ``row 1 (device-0001)``
    :ivar what: one sentence; details follow a semicolon
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class TargetsError(BadInputError):
    """Rows from which no command can be made. Nothing was sent.

    :ivar problems: one for each such row, the first thousand
    :ivar more: number of problems beyond these
    """

    def __init__(self, problems: Sequence[Problem], more: int = 0) -> None:
        super().__init__(problems, more)
        self.problems = list(problems)
        self.more = more

    def __str__(self) -> str:
        """Return a first line that is enough for an alert, then what to do, then a line for each problem."""
        first, total = self.problems[0], len(self.problems) + self.more
        invalid = "1 target is invalid" if total == 1 else f"{total:,} targets are invalid"
        gist = first.what.partition("; ")[0]
        lines = [
            f"Nothing was sent: {invalid}. First: {first.where}, {gist}.",
            "Retries do not run. Correct the rows or the payload, then clear this task.",
        ]
        lines += map(str, self.problems[:SHOWN])
        if total > SHOWN:
            lines.append(f"… and {total - SHOWN:,} more.")
        return "\n".join(lines)


def plan(
    rows: Iterable[Mapping[str, Any]],
    working_set: WorkingSet,
    *,
    template: PayloadTemplate,
    device_port: int | str,
    payload_type: str | None = None,
    variables: Mapping[str, Any] = {},
    shard: Shard | None = None,
    timezone_needed: bool = False,
) -> int:
    """Build and check every command, in the order of the rows.

    A row may have its own ``payload`` (sent as it is, not a template), ``payload_type`` and ``device_port``. They come
    before those given here.

    :param rows: of all shards, so that a SIM which two shards would send to is found
    :param working_set: gets the devices
    :param template: the payload, for rows without their own
    :param device_port: 1 to 65535, for rows without their own
    :param payload_type: ``text`` or ``binary``, for rows without their own; default by the payload's type
    :param variables: names that the template may use beside ``device``
    :param shard: plan the SIMs of this shard only; default all
    :param timezone_needed: the window has no timezone, so each row must have one
    :return: number of rows, of all shards
    :raises TargetsError: with every problem of every row
    :raises ValueError: the payload is wrong for all rows alike
    """
    planner = _Planner(working_set, template, device_port, payload_type, variables, timezone_needed=timezone_needed)
    problems: list[Problem] = []
    more = count = 0
    for count, row in enumerate(rows, 1):
        number = row.line if isinstance(row, FileRow) else count
        planner.check_payload(row)
        try:
            sim = planner.sim_of(number, row)
            if shard is None or shard.takes(sim):
                planner.add_device(sim, row)
        except BadInputError as error:
            if len(problems) < KEPT:
                problems.append(Problem(_where(number, row), str(error)))
            else:
                more += 1
    if problems:
        raise TargetsError(problems, more)
    return count


class _Planner:
    """What one row needs to know of the rows before it: their SIMs, and their payloads."""

    def __init__(
        self,
        working_set: WorkingSet,
        template: PayloadTemplate,
        device_port: int | str,
        payload_type: str | None,
        variables: Mapping[str, Any],
        *,
        timezone_needed: bool,
    ) -> None:
        self._working_set = working_set
        self._template = template
        self._device_port = device_port
        self._payload_type = payload_type
        self._variables = variables
        self._timezone_needed = timezone_needed
        self._shared: dict[str, int] = {}  # payload: its number in the working set
        self._payload_checked = not template.constant

    def check_payload(self, row: object) -> None:
        """Check a payload without templates once, when the first row needs it: it is the same for all.

        :raises ValueError: it cannot be sent
        """
        if self._payload_checked or not isinstance(row, Mapping) or (isinstance(row, FileRow) and row.problem):
            return
        if row.get("payload") is None and row.get("payload_type") is None:
            payload = self._template.render(row, self._variables)
            IpCommandRequest.build("any", payload, self._device_port, payload_type=self._payload_type)
            self._payload_checked = True

    def sim_of(self, number: int, row: object) -> str:
        """Return the row's SIM, as the row names it.

        :param number: of the row or line
        :raises ValueError: the row has no SIM, or an earlier row has the same one
        """
        if isinstance(row, FileRow) and row.problem:
            raise BadInputError(row.problem)
        if not isinstance(row, Mapping):
            raise BadInputError(f"a target must be a SIM or a dict with at least 'sim', got {type(row).__name__}")
        sim = _text(row, "sim")
        if "sim" not in row:
            columns = f"has only {', '.join(map(repr, row))}" if row else "is empty"
            raise BadInputError(f"{columns}, but needs 'sim', the sid (HS…) or the unique name of a SIM")
        if not sim:
            raise BadInputError(f"sim must be the sid (HS…) or the unique name of a SIM, got {row.get('sim')!r}")
        try:
            sim.encode()
        except UnicodeEncodeError as error:
            raise BadInputError(f"sim cannot be written as UTF-8; {error.reason}") from None
        sid, name = _text(row, "sim_sid") or sim, _text(row, "unique_name") or sim
        if earlier := self._working_set.row_of(sim, sid, name):
            raise BadInputError(f"same SIM as {_place(earlier, row)}")
        self._working_set.call(sim, {sid, name} - {sim}, number)
        return sim

    def add_device(self, sim: str, row: Mapping[str, Any]) -> None:
        """Put the row's device into the working set, with its command.

        :raises ValueError: the command cannot be built, or the timezone is wrong or missing
        """
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
        self._working_set.add(device, self._payload(request.payload))

    def _timezone(self, row: Mapping[str, Any]) -> str | None:
        name = row.get("timezone")
        if name is not None:
            zone(name)
            return str(name)
        if self._timezone_needed:
            raise BadInputError("needs a timezone, because the window has none")
        return None

    def _payload(self, text: str) -> int:
        """Return the payload's number in the working set; equal payloads share one while they are remembered."""
        number = self._shared.get(text)
        if number is None:
            number = self._working_set.add_payload(text)
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
