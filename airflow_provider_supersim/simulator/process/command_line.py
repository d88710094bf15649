"""The command ``supersim-simulator``."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import shlex
import sys
from typing import NoReturn

import msgspec

from airflow_provider_supersim.simulator.api.vendors import options_with_vendors, registered
from airflow_provider_supersim.simulator.control.simulation import Simulation
from airflow_provider_supersim.simulator.devices.network import DeviceNetwork
from airflow_provider_supersim.simulator.process import server
from airflow_provider_supersim.simulator.process.launch import ANNOUNCEMENT
from airflow_provider_supersim.simulator.world.identifiers import device_ip, host_ip
from airflow_provider_supersim.simulator.world.options import Options, override

log = logging.getLogger("supersim-simulator")

_ABOUT = """\
A local Super SIM: the IP Commands API of {vendors} on this host. Its devices receive every
command as a real UDP datagram. It needs no account and no SIM cards; nothing leaves this host.

At the start it prints the URL, the credentials and an Airflow connection to paste.
"""

_CONTROL = """\
control plane (JSON, no sign-in), for tests and for a closer look:
  GET    /_simulator/                 what is running
  POST   /_simulator/reset            a fresh world; body: any option, such as {"sims": 1000}
  POST   /_simulator/seed             {"fleets": [...], "sims": [...]}
  POST   /_simulator/clock            {"stop": true} | {"set": "2026-01-01T00:00:00Z"} | {"advance": 5} | {"run": true}
  PATCH  /_simulator/settings         settle, latency, list_lag, get_lag, null_fields, max_concurrency and others
  PUT    /_simulator/faults           [{"kind": "drop_after", "ratio": 0.05, "method": "POST"}, ...]
  PATCH  /_simulator/devices[/NAME]   {"network": "offline"}, {"network": "flapping", "period": 60}, {"answer": "echo"}
  PATCH  /_simulator/sims/NAME        {"status": "inactive"}
  GET    /_simulator/commands  /datagrams  /requests  /alerts  /summary    what happened
  GET    /_simulator/connections      the fields of an Airflow connection, by vendor
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator until it is stopped.

    :param arguments: the command line without the program's name; None: the process's own.
    :return: the exit code; 2 if the simulator could not start.
    """
    kind = options_with_vendors()
    parser = _parser(kind)
    given = vars(parser.parse_args(arguments))
    until_stdin_closes = given.pop("until_stdin_closes")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        options = override(kind(), given, strict=False)
    except ValueError as error:
        name, _, what = str(error).partition(": ")
        return _fail(f"--{name.replace('_', '-')}: {what}")
    try:
        listener = server.open_socket(options.host, options.port)
    except OSError as error:
        return _fail(
            f"cannot listen on {options.host} port {options.port}: {error.strerror}. "
            "Choose another --port, or --port 0 for a free one."
        )
    try:
        network = DeviceNetwork("127.0.0.1", options.udp_port)
    except OSError as error:
        listener.close()
        return _fail(
            f"cannot listen on UDP port {options.udp_port}: {error.strerror}. "
            "Choose another --udp-port, or leave it out for a free one."
        )
    address, port = listener.getsockname()[:2]
    if not ipaddress.ip_address(address).is_loopback:
        log.warning(
            "Everyone who reaches %s port %s can change this simulator and make it call URLs: it has no sign-in that "
            "protects. With --host 127.0.0.1 only this host reaches it.",
            options.host,
            port,
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)  # noqa: S104 - compared, not bound
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server.run(
        options,
        listener,
        network,
        announce=lambda simulation: _say(_greeting(url, simulation)),
        until_stdin_closes=until_stdin_closes,
    )
    return 0


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong, without a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        sys.exit(_fail(f"{message} (--help shows every option)"))


def _parser(kind: type[Options]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="supersim-simulator",
        description=_ABOUT.format(vendors=_enumeration([vendor.title for vendor in registered()])),
        epilog=_CONTROL,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for option in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]  # a StructType
        described = option.type
        inner = getattr(described, "type", described)
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            help=f"{described.extra_json_schema['description']} (default: {option.default})",
            metavar=_metavar(inner),
            default=argparse.SUPPRESS,
        )
    parser.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    return parser


def _enumeration(words: list[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def _metavar(kind: msgspec.inspect.Type) -> str:
    if isinstance(kind, msgspec.inspect.LiteralType):
        return "|".join(map(str, kind.values))
    if isinstance(kind, msgspec.inspect.FloatType) and kind.le == 1:
        return "RATIO"
    return {"IntType": "N", "FloatType": "SECONDS"}.get(type(kind).__name__, "TEXT")


def _greeting(url: str, simulation: Simulation) -> str:
    options, world, served = simulation.options, simulation.world, simulation.vendors.served
    lines = [f"{ANNOUNCEMENT}{url}", ""]
    for vendor in served:
        connection = shlex.quote(json.dumps(vendor.connection(url)))
        first, *others = [*vendor.credentials(), f"export AIRFLOW_CONN_SUPERSIM_DEFAULT={connection}"]
        lines += [f"{vendor.title:8}{first}", *(f"{'':8}{other}" for other in others)]
    if len(served) > 1:
        lines.append(f"{'':8}(one of these exports is enough)")
    sizes = {fleet.unique_name: world.sims.count(fleet) for fleet in world.fleets}
    fleets = ", ".join(f"{name} {size}" for name, size in sizes.items())
    homeless = len(world.sims) - sum(sizes.values())
    address, port = simulation.network.address
    place = f"from {host_ip(0)} on, real UDP" if simulation.network.real else "in this process, no real UDP"
    lines += [
        "",
        f"SIMs    {len(world.sims)}: {fleets}, {homeless} in no Fleet; {options.sims} of field-devices active or ready",
        f"Devices from {device_ip(0)} on in the API; on this host {place}; they answer to {address} UDP port {port}",
        f"Control {url}/_simulator/   (see --help)",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # the program that started this waits for the first line


def _fail(reason: str) -> int:
    sys.stderr.write(f"supersim-simulator: {reason}\n")
    return 2
