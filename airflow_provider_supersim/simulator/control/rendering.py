"""How the control plane writes the world as JSON."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

from airflow_provider_supersim.simulator.api.callbacks import Alert
from airflow_provider_supersim.simulator.api.traffic import SeenRequest
from airflow_provider_supersim.simulator.control.simulation import Simulation
from airflow_provider_supersim.simulator.devices.network import Datagram
from airflow_provider_supersim.simulator.world.clock import iso
from airflow_provider_supersim.simulator.world.identifiers import device_ip, host_ip
from airflow_provider_supersim.simulator.world.models import Fleet, IpCommand, Sim
from airflow_provider_supersim.simulator.world.options import LIVE, marked
from airflow_provider_supersim.simulator.world.world import World

Json = dict[str, Any]


def command(one: IpCommand) -> Json:
    """A command, with its form and the outcome of its callbacks."""
    return {
        "sid": one.sid,
        "sim_sid": one.sim.sid,
        "sim_name": one.sim.unique_name,
        "direction": one.direction,
        "status": one.status,
        "reason": one.reason,
        "device_ip": one.device_ip,
        "device_port": one.device_port,
        "payload_type": one.payload_type,
        "payload": one.payload,
        "vendor": one.vendor,
        "created": one.created,
        "updated": one.updated,
        "parameters": one.parameters,
        "callbacks": one.callbacks or [],
    }


def datagram(one: Datagram) -> Json:
    """What a device received."""
    try:
        text: str | None = one.data.decode()
    except UnicodeDecodeError:
        text = None
    return {
        "sim_sid": one.sim.sid,
        "sim_name": one.sim.unique_name,
        "device_ip": device_ip(one.sim.number),
        "port": one.port,
        "base64": base64.b64encode(one.data).decode(),
        "text": text,
        "at": one.at,
        "via": one.via,
    }


def sim(one: Sim, world: World) -> Json:
    """A SIM and its device."""
    return {
        "sid": one.sid,
        "unique_name": one.unique_name,
        "iccid": one.iccid,
        "status": one.status,
        "fleet": one.fleet.unique_name if one.fleet else None,
        "device_ip": device_ip(one.number),
        "host_ip": host_ip(one.number),
        "behaviour": world.behaviours.of(one.number),
        "commands": sum(command.direction == "to_sim" for command in one.commands),
    }


def fleet(one: Fleet) -> Json:
    """A Fleet."""
    return {
        "sid": one.sid,
        "unique_name": one.unique_name,
        "data_enabled": one.data_enabled,
        "data_limit": one.data_limit,
        "ip_commands_url": one.ip_commands_url,
        "ip_commands_method": one.ip_commands_method,
        "sms_commands_enabled": one.sms_commands_enabled,
        "sms_commands_url": one.sms_commands_url,
        "sms_commands_method": one.sms_commands_method,
    }


def alert(one: Alert) -> Json:
    """An alert of the account."""
    return {"at": iso(one.at), "code": one.code, "message": one.message, "sid": one.command.sid}


def request(one: SeenRequest) -> Json:
    """A request as it came, without its secrets."""
    return {
        "at": one.at,
        "vendor": one.vendor,
        "method": one.method,
        "path": one.path,
        "route": one.route,
        "query": one.query,
        "form": one.form,
        "status": one.status,
        "fault": one.fault,
    }


def requests(simulation: Simulation) -> Json:
    """Counts, and the last few hundred requests in full."""
    traffic = simulation.traffic
    token_paths = {vendor.token_path for vendor in simulation.vendors if vendor.token_path is not None}
    return {
        "total": traffic.counts.total(),
        "counts": traffic.by_outcome(),
        "token_requests": sum(traffic.total(route=path) for path in token_paths),
        "too_many_requests": traffic.total(status=429),
        "in_flight": traffic.in_flight,
        "highest_concurrency": traffic.highest_concurrency,
        "recent": [request(one) for one in traffic.recent],
    }


def summary(simulation: Simulation, of: Fleet | None) -> Json:
    """Counts that show in one small reply whether anything was lost or sent twice.

    :param of: count only the SIMs of this Fleet; None: all SIMs.
    """
    world = simulation.world
    total = world.sims.count(of)
    by_number: Counter[str] = Counter()
    for one in world.sims.made:
        if of in (None, one.fleet):
            sent = sum(command.direction == "to_sim" for command in one.commands)
            by_number["zero" if sent == 0 else "one" if sent == 1 else "more"] += 1
    by_status = {status: world.statuses[status] for status in ("queued", "sent", "failed", "received")}
    return {
        "commands": {"to_sim": len(world.commands) - by_status["received"], "by_status": by_status},
        "datagrams": len(simulation.network.datagrams),
        "sims": {
            "total": total,
            "with_0_commands": total - by_number["one"] - by_number["more"],
            "with_1_command": by_number["one"],
            "with_more_commands": by_number["more"],
        },
        "alerts": len(simulation.callbacks.alerts),
    }


def overview(simulation: Simulation) -> Json:
    """What ``GET /_simulator/`` shows: what is running, and where."""
    options = simulation.options
    address, port = simulation.network.address
    return {
        "options": options,
        "sims": len(simulation.world.sims),
        "fleets": [fleet(one) for one in simulation.world.fleets],
        "devices": {"real_udp": simulation.network.real, "uplink": {"address": address, "port": port}},
        "clock": clock(simulation),
    }


def clock(simulation: Simulation) -> Json:
    """The time, and the number of timers that are not due yet."""
    now = simulation.clock.now()
    return {"now": now, "iso": iso(now), "running": simulation.clock.running, "pending": simulation.clock.pending}


def settings(simulation: Simulation) -> Json:
    """What ``PATCH /_simulator/settings`` may change."""
    options = simulation.options
    return {name: getattr(options, name) for name in marked(type(options), LIVE)}
