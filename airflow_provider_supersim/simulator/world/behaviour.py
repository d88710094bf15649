"""How a device behaves: whether it has a network, how its commands end, and what it answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from airflow_provider_supersim.simulator.world.options import field_first

Seconds = Annotated[float, Meta(ge=0)]
Answer = Literal["none", "echo", "payload"]


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device's behaviour. ``PATCH /_simulator/devices`` takes any part of it.

    :param network: ``online``; ``offline``: commands fail with 83401; ``flapping``: online in the first half of
        every period; ``never``: commands stay queued. Default ``online``.
    :param period: seconds of one flap, by the simulator's clock; default 60.
    :param phase: seconds by which a flap is shifted; default 0. With ``period / 2`` the device begins offline.
    :param settle: seconds from queued to sent or failed; default None: as in the settings.
    :param outcome: ``sent`` or ``failed``, whether the device has a network or not; default None: the network decides.
        ``sent`` on an offline device is the case to prepare for: the API says sent and the device never sees it.
    :param answer: what the device sends back: nothing, what it received, or ``answer_text``/``answer_base64``.
    :param answer_text: payload of an answer, as text.
    :param answer_base64: payload of an answer, in base64; it takes precedence over ``answer_text``.
    :param answer_delay: seconds until the device answers; default 0.
    :param device: ``external``: no virtual device listens. The datagram goes to the program on this host that has
        bound the device's address, and that program can answer. Default ``virtual``.
    :param forgotten: the API has lost this device's commands: no list shows them, and their sids are answered with 404.
    """

    network: Literal["online", "offline", "flapping", "never"] = "online"
    period: Annotated[float, Meta(gt=0)] = 60.0
    phase: float = 0.0
    settle: Seconds | None = None
    outcome: Literal["sent", "failed"] | None = None
    answer: Answer = "none"
    answer_text: str | None = None
    answer_base64: bytes | None = None
    answer_delay: Seconds = 0.0
    device: Literal["virtual", "external"] = "virtual"
    forgotten: bool = False

    def attached(self, moment: float) -> bool:
        """Whether the device has a network at this time."""
        if self.network == "flapping":
            return (moment + self.phase) % self.period < self.period / 2
        return self.network != "offline"

    def reply(self, received: bytes) -> bytes | None:
        """Return what the device answers to a datagram; None: nothing."""
        if self.answer == "echo":
            return received
        if self.answer == "payload":
            return self.answer_base64 if self.answer_base64 is not None else (self.answer_text or "").encode()
        return None

    def patched(self, changes: dict[str, Any]) -> Behaviour:
        """Return this behaviour with some fields changed.

        :raises ValueError: a field is unknown or a value does not fit; the message names it.
        """
        try:
            return msgspec.convert({**msgspec.to_builtins(self), **changes}, Behaviour)
        except msgspec.ValidationError as error:
            raise ValueError(field_first(error)) from None


class Behaviours:
    """Every device's behaviour; only those that differ from the default take memory."""

    def __init__(self, default: Behaviour) -> None:
        self._default = default
        self._own: dict[int, Behaviour] = {}

    def of(self, number: int) -> Behaviour:
        """Return one device's behaviour."""
        return self._own.get(number, self._default)

    def patch(self, number: int, changes: dict[str, Any]) -> Behaviour:
        """Change one device's behaviour and return it."""
        self._own[number] = behaviour = self.of(number).patched(changes)
        return behaviour

    def patch_all(self, changes: dict[str, Any]) -> Behaviour:
        """Change the behaviour of every device, also of those with their own; return the new default."""
        default = self._default.patched(changes)
        self._own = {number: own.patched(changes) for number, own in self._own.items()}
        self._default = default
        return default
