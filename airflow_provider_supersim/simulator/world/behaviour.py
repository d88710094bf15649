"""How a device behaves: whether it has a network, what becomes of a command, and what it answers."""

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
        every period; ``never``: commands stay queued for ever.
    :param period: seconds of one flap, by the simulator's clock.
    :param phase: seconds by which a flap is shifted; phase ``period / 2`` starts offline.
    :param settle: seconds from queued to sent or failed, instead of the setting.
    :param outcome: what becomes of a command whatever the network says. ``sent`` on an offline device is the case
        that matters most in the field: the API calls the command sent and the device never sees it.
    :param answer: what the device sends back: nothing, what it received, or ``answer_text``/``answer_base64``.
    :param answer_delay: seconds until it answers.
    :param device: ``external``: no virtual device listens; the datagram goes to whatever program on this host has
        bound the device's address, and may be answered by it.
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

    def attached(self, moment: float) -> bool:
        """Whether the device has a network at this time."""
        if self.network == "flapping":
            return (moment + self.phase) % self.period < self.period / 2
        return self.network != "offline"

    def reply(self, received: bytes) -> bytes | None:
        """What the device answers to a datagram; None: nothing."""
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
    """Every device's behaviour; those that behave like all others cost nothing."""

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
        """Change the behaviour of all, those with one of their own included; return what the others do."""
        default = self._default.patched(changes)
        self._own = {number: own.patched(changes) for number, own in self._own.items()}
        self._default = default
        return default
