"""The vendors whose API the simulator has.

To add one, write a subclass of :class:`Vendor` and register it. A script of your own can do so and then call
``simulator.process.command_line.main()``: it is a simulator with one more vendor.
"""

from airflow_provider_supersim.simulator.api.vendors.kore import Kore
from airflow_provider_supersim.simulator.api.vendors.registry import Vendors, options_with_vendors, register, registered
from airflow_provider_supersim.simulator.api.vendors.twilio import Twilio
from airflow_provider_supersim.simulator.api.vendors.vendor import Headers, Vendor

register(Twilio)
register(Kore)

__all__ = ["Headers", "Vendor", "Vendors", "options_with_vendors", "register", "registered"]
