"""Which vendors there are, and which of them a simulator serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta

from airflow_provider_supersim.simulator.api.vendors.vendor import Vendor
from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import ALL_VENDORS, Options

Kind = TypeVar("Kind", bound=type[Vendor[Any]])

_registered: dict[str, type[Vendor[Any]]] = {}


def register(vendor: Kind) -> Kind:
    """Make a vendor known, before the simulator starts; also usable as a decorator of the class."""
    _registered[vendor.name] = vendor
    return vendor


def registered() -> list[type[Vendor[Any]]]:
    """Return every vendor in the order of registration."""
    return list(_registered.values())


def options_with_vendors() -> type[Options]:
    """Return the options of a simulator with those of every registered vendor added."""
    served: Any = Literal[(*_registered, ALL_VENDORS)]
    help_text = "vendor whose API is served; all: the sign-in tells which vendor a client means"
    further = [
        (field.name, field.type, field.default)
        for vendor in _registered.values()
        for field in msgspec.structs.fields(vendor.account_options)
    ]
    options = msgspec.defstruct(
        "Options",
        [("vendor", Annotated[served, Meta(description=help_text)], ALL_VENDORS), *further],
        bases=(Options,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return cast(type[Options], options)


class Vendors:
    """Every registered vendor, with the accounts and tokens of one world."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self._all = {name: vendor(options, clock) for name, vendor in _registered.items()}
        self.served = [self._all[options.vendor]] if options.vendor in self._all else list(self._all.values())
        """In the order of their registration. The first takes every request that no other claims."""

    def __getitem__(self, name: str) -> Vendor[Any]:
        return self._all[name]

    def __iter__(self) -> Iterator[Vendor[Any]]:
        return iter(self._all.values())

    def use(self, options: Options) -> None:
        """Hand changed options to every vendor; tokens that were given out stay valid."""
        for vendor in self:
            vendor.use(options)

    def of_request(self, path: str, headers: Mapping[bytes, bytes]) -> Vendor[Any]:
        """Return the vendor that a request is for."""
        first, *others = self.served
        return next((vendor for vendor in others if vendor.claims(path, headers)), first)
