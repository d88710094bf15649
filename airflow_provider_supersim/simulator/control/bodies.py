"""The JSON that the control plane takes. msgspec refuses everything else and names the field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from airflow_provider_supersim.simulator.api.parameters import NO_WEB_URL, is_web_url

Name = Annotated[str, Meta(min_length=1, max_length=64)]
SimStatus = Literal["new", "ready", "active", "inactive", "scheduled"]
Method = Literal["GET", "POST"]


class Strict(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Refuses unknown fields."""


class FleetSeed(Strict):
    """A Fleet to add."""

    unique_name: Name
    data_enabled: bool = True
    data_limit: Annotated[int, Meta(ge=0)] = 1000
    ip_commands_url: str | None = None
    ip_commands_method: Method = "POST"
    sms_commands_enabled: bool = True
    sms_commands_url: str | None = None
    sms_commands_method: Method = "POST"

    def __post_init__(self) -> None:
        _check_urls(self)


class SimSeed(Strict):
    """One SIM to add, or ``count`` SIMs named ``prefix-01``, ``prefix-02`` and so on.

    :param fleet: sid or unique_name of its Fleet; None: no Fleet. Default ``field-devices``.
    :param behaviour: as in ``PATCH /_simulator/devices``.
    """

    unique_name: Name | None = None
    iccid: Annotated[str, Meta(pattern="^[0-9]{18,22}$")] | None = None
    fleet: str | None = "field-devices"
    status: SimStatus = "active"
    count: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    prefix: Annotated[str, Meta(min_length=1, max_length=48)] | None = None
    behaviour: dict[str, Any] = {}


class Seed(Strict):
    """``POST /_simulator/seed``."""

    fleets: list[FleetSeed] = []
    sims: list[SimSeed] = []


class SimPatch(Strict):
    """``PATCH /_simulator/sims/{sid or name}``."""

    unique_name: Name | msgspec.UnsetType = msgspec.UNSET
    status: SimStatus | msgspec.UnsetType = msgspec.UNSET
    fleet: str | msgspec.UnsetType | None = msgspec.UNSET


class FleetPatch(Strict):
    """``PATCH /_simulator/fleets/{sid or name}``."""

    data_enabled: bool | msgspec.UnsetType = msgspec.UNSET
    data_limit: Annotated[int, Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    ip_commands_url: str | msgspec.UnsetType | None = msgspec.UNSET
    ip_commands_method: Method | msgspec.UnsetType = msgspec.UNSET
    sms_commands_enabled: bool | msgspec.UnsetType = msgspec.UNSET
    sms_commands_url: str | msgspec.UnsetType | None = msgspec.UNSET
    sms_commands_method: Method | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        _check_urls(self)


class DevicesPatch(Strict):
    """``PATCH /_simulator/devices``."""

    sims: list[str] | Literal["all"]
    behaviour: dict[str, Any]


class ClockChange(Strict):
    """``POST /_simulator/clock``. Several fields take effect in this order.

    :param stop: freeze the time.
    :param set: go to this time (ISO 8601).
    :param advance: move forward by this number of seconds.
    :param run: let the time pass again.
    """

    stop: bool = False
    set: str | None = None
    advance: Annotated[float, Meta(ge=0)] | None = None
    run: bool = False


def _check_urls(fleet: FleetSeed | FleetPatch) -> None:
    for name in ("ip_commands_url", "sms_commands_url"):
        url = getattr(fleet, name)
        if isinstance(url, str) and not is_web_url(url):
            raise ValueError(f"{name}: {url!r} {NO_WEB_URL}")
