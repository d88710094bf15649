"""The vendors that the simulator speaks for. To add one, write a subclass of :class:`Vendor` and register it."""

from airflow_provider_supersim.simulator.api.vendors.kore import Kore
from airflow_provider_supersim.simulator.api.vendors.registry import Vendors, options_with_vendors, register, registered
from airflow_provider_supersim.simulator.api.vendors.twilio import Twilio
from airflow_provider_supersim.simulator.api.vendors.vendor import Headers, Vendor

register(Twilio)
register(Kore)

__all__ = ["Headers", "Vendor", "Vendors", "options_with_vendors", "register", "registered"]
