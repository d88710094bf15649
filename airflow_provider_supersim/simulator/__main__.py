"""``python -m airflow_provider_supersim.simulator``."""

import sys

from airflow_provider_supersim.simulator.cli import main

sys.exit(main())
