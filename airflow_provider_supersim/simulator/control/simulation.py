"""One running simulation: a world, its clock, and everything that is renewed by a reset."""

from __future__ import annotations

from typing import Any

from airflow_provider_supersim.simulator.api.callbacks import Callbacks
from airflow_provider_supersim.simulator.api.faults import Faults
from airflow_provider_supersim.simulator.api.traffic import Traffic
from airflow_provider_supersim.simulator.api.vendors.kore import Dialect, Kore, Twilio
from airflow_provider_supersim.simulator.devices.network import DeviceNetwork
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import FIXED, LIVE, Options, override
from airflow_provider_supersim.simulator.world.world import World


class Simulation:
    """Holds what the API and the control plane both work on.

    :param options: what the process was started with; each reset begins from these.
    :param network: outlives resets, as its sockets do.
    """

    def __init__(self, options: Options, network: DeviceNetwork) -> None:
        self.started_with = options
        self.network = network
        self._begin(options)

    def _begin(self, options: Options) -> None:
        self.options = options
        self.clock = Clock()
        self.twilio = Twilio(options)
        self.kore = Kore(options, self.clock)
        self.dialects: dict[str, Dialect] = {"twilio": self.twilio, "kore": self.kore}
        self.faults = Faults(options.seed)
        self.traffic = Traffic()
        self.callbacks = Callbacks(self.clock, self.dialects, options.account_sid)
        self.world = World(options, self.clock, on_sent=self.callbacks.sent, on_received=self.callbacks.received)
        self.network.attach(self.world)

    async def reset(self, changes: dict[str, Any]) -> None:
        """Begin a fresh world.

        :param changes: options that differ from those of the start.
        :raises ValueError: an option is unknown, wrong, or needs a restart.
        """
        for name in changes:
            if name in FIXED:
                raise ValueError(f"{name}: only a restart can change this")
        options = override(self.started_with, changes)
        callbacks = self.callbacks
        self.clock.close()
        self._begin(options)  # nothing is awaited before this: no request may find half a world
        await callbacks.close()

    def change(self, changes: dict[str, Any]) -> None:
        """Change settings of the running world.

        :raises ValueError: a setting is unknown, wrong, or needs a reset.
        """
        for name in changes:
            if name not in LIVE:
                raise ValueError(f"{name}: not a setting; settings are {', '.join(sorted(LIVE))}")
        self.options = self.world.options = override(self.options, changes)
        self.kore.use(self.options)

    async def close(self) -> None:
        """End it: no timers, no callbacks, no sockets."""
        self.clock.close()
        await self.callbacks.close()
        self.network.close()
