"""How the API writes its resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from airflow_provider_supersim.simulator.world.clock import iso
from airflow_provider_supersim.simulator.world.identifiers import device_ip
from airflow_provider_supersim.simulator.world.models import Fleet, IpCommand, Sim
from airflow_provider_supersim.simulator.world.options import Options


def command(one: IpCommand, base_url: str, account_sid: str) -> dict[str, Any]:
    """An IP Command (https://www.twilio.com/docs/iot/supersim/api/ipcommand-resource)."""
    return {
        "sid": one.sid,
        "account_sid": account_sid,
        "sim_sid": one.sim.sid,
        "sim_iccid": one.sim.iccid,
        "status": one.status,
        "direction": one.direction,
        "device_ip": one.device_ip,
        "device_port": one.device_port,
        "payload_type": one.payload_type,
        "payload": one.payload,
        "date_created": iso(one.created),
        "date_updated": iso(one.updated),
        "url": f"{base_url}/v1/IpCommands/{one.sid}",
    }


def with_nulls(options: Options) -> Callable[[IpCommand, str, str], dict[str, Any]]:
    """Return what writes a row of the list of IP Commands: some rows have nulls, if the options say so.

    A row that has them has them each time.
    """
    nulls = dict.fromkeys(options.null_fields.split(",")) if options.null_fields else {}

    def row(one: IpCommand, base_url: str, account_sid: str) -> dict[str, Any]:
        written = command(one, base_url, account_sid)
        return {**written, **nulls} if crc32(one.sid.encode()) < options.null_ratio * 2**32 else written

    return row if nulls else command


def sim(one: Sim, base_url: str, account_sid: str) -> dict[str, Any]:
    """A SIM."""
    url = f"{base_url}/v1/Sims/{one.sid}"
    return {
        "sid": one.sid,
        "unique_name": one.unique_name,
        "account_sid": account_sid,
        "iccid": one.iccid,
        "status": one.status,
        "fleet_sid": one.fleet.sid if one.fleet else None,
        "date_created": iso(one.created),
        "date_updated": iso(one.updated),
        "url": url,
        "links": {"billing_periods": f"{url}/BillingPeriods", "sim_ip_addresses": f"{url}/IpAddresses"},
    }


def with_unstated(options: Options) -> Callable[[Sim, str, str], dict[str, Any]]:
    """Return what writes a row of the list of SIMs: some SIMs have a null for their status, if the options say so."""

    def row(one: Sim, base_url: str, account_sid: str) -> dict[str, Any]:
        unstated = crc32(one.sid.encode()) < options.unstated_ratio * 2**32
        return {**sim(one, base_url, account_sid), **({"status": None} if unstated else {})}

    return row if options.unstated_ratio else sim


def address(one: Sim, _base_url: str, _account_sid: str) -> dict[str, Any]:
    """The address of a SIM's device."""
    return {"ip_address": device_ip(one.number), "ip_address_version": "IPv4"}


def fleet(one: Fleet, base_url: str, account_sid: str) -> dict[str, Any]:
    """A Fleet."""
    return {
        "sid": one.sid,
        "unique_name": one.unique_name,
        "account_sid": account_sid,
        "data_enabled": one.data_enabled,
        "data_limit": one.data_limit,
        "data_metering": "payg",
        "sms_commands_enabled": one.sms_commands_enabled,
        "sms_commands_url": one.sms_commands_url,
        "sms_commands_method": one.sms_commands_method,
        "ip_commands_url": one.ip_commands_url,
        "ip_commands_method": one.ip_commands_method,
        "network_access_profile_sid": one.network_access_profile_sid,
        "date_created": iso(one.created),
        "date_updated": iso(one.updated),
        "url": f"{base_url}/v1/Fleets/{one.sid}",
    }
