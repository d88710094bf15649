"""One running simulation: a world, its clock and its API, which a reset replaces together."""

from __future__ import annotations

from typing import Any

from airflow_provider_supersim.simulator.api.asgi import VendorApi
from airflow_provider_supersim.simulator.api.callbacks import Callbacks
from airflow_provider_supersim.simulator.api.faults import Faults
from airflow_provider_supersim.simulator.api.traffic import Traffic
from airflow_provider_supersim.simulator.api.vendors import Vendors
from airflow_provider_supersim.simulator.devices.network import DeviceNetwork
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import FIXED, LIVE, Options, marked, override
from airflow_provider_supersim.simulator.world.world import World


class Simulation:
    """Puts the rooms together.

    :param options: what the process was started with; each reset begins from these.
    :param network: stays through resets, as its sockets do.
    """

    def __init__(self, options: Options, network: DeviceNetwork) -> None:
        self.started_with = options
        self.network = network
        self._begin(options)

    @property
    def options(self) -> Options:
        """The options in force."""
        return self.world.options

    def _begin(self, options: Options) -> None:
        self.clock = Clock()
        self.vendors = Vendors(options, self.clock)
        self.faults = Faults(options.seed)
        self.traffic = Traffic()
        self.callbacks = Callbacks(self.clock, self.vendors, options.account_sid)
        self.world = World(
            options,
            self.clock,
            default_vendor=self.vendors.served[0].name,
            on_sent=self.callbacks.sent,
            on_received=self.callbacks.received,
        )
        self.api = VendorApi(self.world, self.vendors, self.faults, self.traffic)
        self.network.attach(self.world)

    async def reset(self, changes: dict[str, Any]) -> None:
        """Begin a fresh world.

        :param changes: options that differ from those of the start.
        :raises ValueError: an option is unknown, has a bad value, or needs a restart.
        """
        for name in marked(type(self.started_with), FIXED):
            if name in changes:
                raise ValueError(f"{name}: only a restart can change this")
        options = override(self.started_with, changes)
        callbacks = self.callbacks
        self.clock.close()
        self._begin(options)  # nothing is awaited before this, so that no request finds half a world
        await callbacks.close()

    def change(self, changes: dict[str, Any]) -> None:
        """Change settings of the running world.

        :raises ValueError: a setting is unknown, has a bad value, or needs a reset.
        """
        settings = marked(type(self.options), LIVE)
        for name in changes:
            if name not in settings:
                raise ValueError(f"{name}: not a setting; settings are {', '.join(settings)}")
        self.world.options = override(self.options, changes)
        self.vendors.use(self.options)

    async def close(self) -> None:
        """End it: no timers, no callbacks, no sockets."""
        self.clock.close()
        await self.callbacks.close()
        self.network.close()
