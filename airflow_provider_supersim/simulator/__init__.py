"""A Super SIM of one's own: both vendors' API, virtual devices on real UDP sockets, faults on demand.

Start it with ``supersim-simulator --help``; in tests use :mod:`airflow_provider_supersim.testing`.
It shares no code with the rest of the package, so that a mistake made there cannot hide here.
"""
