"""A running simulator as tests see it: blocking calls to its control plane. Standard library only."""

from __future__ import annotations

import json
import os
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

_TIMEOUT = 60.0
"""Seconds that one call to the control plane may take."""

_opener = build_opener(ProxyHandler({}))  # never through a proxy: the simulator is on this host

Json = dict[str, Any]


class Simulator:
    """A running simulator.

    :param url: its base URL, which is also the host of a connection.
    :param log: the file that its standard error goes to.
    """

    def __init__(self, url: str, log: IO[bytes]) -> None:
        self.url = url
        self._log = log

    def log(self) -> str:
        """Return what the simulator has logged so far."""
        descriptor = self._log.fileno()  # pread: the simulator writes at this file's position
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    # --- connecting ---------------------------------------------------------------------------------------------

    def connection(self, vendor: str = "twilio") -> Json:
        """Return the fields of an Airflow connection: conn_type, host, login, password and extra (a dict)."""
        fields: Json = self.control("GET", "connections")[vendor]
        return fields

    def connection_json(self, vendor: str = "twilio") -> str:
        """Return the connection as JSON, for an environment variable such as ``AIRFLOW_CONN_SUPERSIM_DEFAULT``."""
        return json.dumps(self.connection(vendor))

    def options(self) -> Json:
        """Return the options that are in force, settings included."""
        options: Json = self.control("GET", "")["options"]
        return options

    # --- changing the world -------------------------------------------------------------------------------------

    def reset(self, **options: Any) -> None:
        """Begin a fresh world: no commands, no faults, default settings, the clock running.

        :param options: options that differ from those of the start, such as ``sims=1000`` or ``settle=0``
            (see ``supersim-simulator --help``).
        """
        self.control("POST", "reset", options)

    def seed(self, *, fleets: list[Json] | None = None, sims: list[Json] | None = None) -> Json:
        """Add Fleets and SIMs.

        :param fleets: ``unique_name`` and, if wanted, ``data_enabled``, ``data_limit``, ``ip_commands_url``,
            ``ip_commands_method``, ``sms_commands_enabled``, ``sms_commands_url``, ``sms_commands_method``.
        :param sims: ``unique_name``, ``iccid``, ``fleet``, ``status``, ``behaviour``; or ``count`` with ``prefix``.
        :return: ``{"fleets": [...], "sims": [...]}`` as they were added.
        """
        return self.control("POST", "seed", {"fleets": fleets or [], "sims": sims or []})

    def stop_clock(self, at: str | None = None) -> Json:
        """Freeze the time.

        :param at: the moment to go to first, in ISO 8601; default None: the present one.
        """
        return self.control("POST", "clock", {"stop": True} | ({} if at is None else {"set": at}))

    def run_clock(self) -> Json:
        """Let the time pass again."""
        return self.control("POST", "clock", {"run": True})

    def advance(self, seconds: float) -> Json:
        """Move the clock forward; everything that falls due on the way has happened when this returns.

        Only callbacks can take longer: :meth:`commands` shows how they ended.
        """
        return self.control("POST", "clock", {"advance": seconds})

    def clock(self) -> Json:
        """Return ``{"now": seconds since 1970, "iso", "running", "pending": timers}``."""
        return self.control("GET", "clock")

    def settings(self, **changes: float | str) -> Json:
        """Change settings of the running world: settle, latency, list_lag, max_concurrency and others."""
        return self.control("PATCH", "settings", changes)

    def faults(self, *faults: Json) -> list[Json]:
        """Use these faults instead of the earlier ones; without arguments, end all faults.

        :param faults: such as ``{"kind": "drop_after", "ratio": 0.05, "method": "POST"}``.
        :return: the faults, each with the number of times it ``fired``.
        """
        result: list[Json] = self.control("PUT", "faults", list(faults))["faults"]
        return result

    def fired(self) -> list[Json]:
        """Return the faults in force, each with the number of times it ``fired``."""
        result: list[Json] = self.control("GET", "faults")["faults"]
        return result

    def set_behaviour(self, sims: str | list[str], **behaviour: Any) -> None:
        """Change how devices behave.

        :param sims: a sid or unique_name, a list of them, or ``"all"``.
        :param behaviour: any of ``network`` (online, offline, flapping, never), ``period``, ``phase``, ``settle``,
            ``outcome``, ``answer`` (none, echo, payload), ``answer_text``, ``answer_base64``, ``answer_delay``,
            ``device``, ``forgotten``; see :class:`.world.behaviour.Behaviour`.
        """
        chosen = [sims] if isinstance(sims, str) and sims != "all" else sims
        self.control("PATCH", "devices", {"sims": chosen, "behaviour": behaviour})

    def update_sim(self, sim: str, **fields: Any) -> Json:
        """Change a SIM's status, fleet or unique_name."""
        return self.control("PATCH", f"sims/{quote(sim, safe='')}", fields)

    def update_fleet(self, fleet: str, **fields: Any) -> Json:
        """Change a Fleet's fields, named as in :meth:`seed`; only ``unique_name`` stays."""
        return self.control("PATCH", f"fleets/{quote(fleet, safe='')}", fields)

    # --- what happened ------------------------------------------------------------------------------------------

    def commands(self, sim: str | None = None, *, direction: str = "to_sim", status: str | None = None) -> list[Json]:
        """Return every accepted command in order.

        :param direction: to_sim, from_sim or all; default to_sim.
        """
        return self._all("commands", sim=sim, direction=direction, status=status)

    def datagrams(self, sim: str | None = None) -> list[Json]:
        """Return every datagram that a device received, in order."""
        return self._all("datagrams", sim=sim)

    def sims(self, fleet: str | None = None, *, status: str | None = None) -> list[Json]:
        """Return the SIMs in the order in which they were added."""
        return self._all("sims", fleet=fleet, status=status)

    def fleets(self) -> list[Json]:
        """Return the Fleets."""
        return self._all("fleets")

    def alerts(self) -> list[Json]:
        """Return the account's alerts, such as 83402 for a callback that failed."""
        return self._all("alerts")

    def requests(self) -> Json:
        """Return the requests that came in: counts, the highest concurrency, and the last few hundred in full."""
        return self.control("GET", "requests")

    def forget_requests(self) -> None:
        """Count requests again from zero."""
        self.control("DELETE", "requests")

    def summary(self, fleet: str | None = None) -> Json:
        """Return counts of commands by status, of datagrams, and of SIMs with no, one and more commands."""
        return self.control("GET", "summary" + _query(fleet=fleet))

    # --- the control plane --------------------------------------------------------------------------------------

    def control(self, method: str, path: str, body: Any = None) -> Json:
        """Call the control plane.

        :param path: what follows ``/_simulator/``.
        :raises ValueError: the simulator refused; the message has its reason.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self.url}/_simulator/{path}", data, headers, method=method)  # noqa: S310 - http only
        try:
            with _opener.open(request, timeout=_TIMEOUT) as response:
                result: Json = json.load(response)
                return result
        except HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise ValueError(f"the simulator refused {method} /_simulator/{path}: {text}") from None

    def _all(self, path: str, **query: str | None) -> list[Json]:
        found: list[Json] = []
        offset: int | None = 0
        while offset is not None:
            page = self.control("GET", path + _query(offset=str(offset), **query))
            found += page[path]
            offset = page["next_offset"]
        return found


def _query(**parameters: str | None) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""
