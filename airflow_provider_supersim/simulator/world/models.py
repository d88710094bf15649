"""What the world holds: Fleets, SIMs and IP Commands."""

from __future__ import annotations

from dataclasses import dataclass, field

SIM_STATUSES = ("new", "ready", "active", "inactive", "scheduled")
REACHABLE = frozenset({"active", "ready"})
"""Statuses in which a SIM takes IP Commands."""

STATUSES = ("queued", "sent", "received", "failed")
DIRECTIONS = ("to_sim", "from_sim")
PAYLOAD_TYPES = ("text", "binary")


@dataclass(slots=True, eq=False)
class Fleet:
    """A Fleet: whether its SIMs have data, and the URL that is called when one of them sends something."""

    number: int
    sid: str
    unique_name: str
    created: float
    updated: float
    data_enabled: bool = True
    data_limit: int = 1000
    ip_commands_url: str | None = None
    ip_commands_method: str = "POST"
    sms_commands_enabled: bool = True
    sms_commands_url: str | None = None
    sms_commands_method: str = "POST"

    @property
    def network_access_profile_sid(self) -> str:
        """The sid of its Network Access Profile: each Fleet has one of its own."""
        return f"HA{self.sid[2:]}"


@dataclass(slots=True, eq=False)
class Sim:
    """A SIM, and the commands that went to it or came from it."""

    number: int
    sid: str
    unique_name: str | None
    iccid: str
    status: str
    fleet: Fleet | None
    created: float
    updated: float
    vendor: str | None = None
    """The vendor through which the last command came: callbacks for the device's answers come from the same."""
    commands: list[IpCommand] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What people call it."""
        return self.unique_name or self.sid


@dataclass(slots=True, eq=False)
class IpCommand:
    """One IP Command: what the API shows of it, and what only the control plane tells."""

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
    """The payload as the device gets it."""
    created: float
    updated: float
    vendor: str
    """The vendor through which it came, or whose callback tells of it."""
    callback_url: str | None = None
    callback_method: str = "POST"
    parameters: dict[str, str] = field(default_factory=dict)
    """The form of the request."""
    reason: int | None = None
    """The error code of a failure, which the API itself never shows."""
    callbacks: list[dict[str, object]] | None = None
    """One entry for each callback."""
