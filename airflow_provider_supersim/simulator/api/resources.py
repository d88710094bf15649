"""How the API writes its resources."""

from __future__ import annotations

from typing import Any

from airflow_provider_supersim.simulator.world.clock import iso
from airflow_provider_supersim.simulator.world.identifiers import device_ip
from airflow_provider_supersim.simulator.world.models import Fleet, IpCommand, Sim


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
