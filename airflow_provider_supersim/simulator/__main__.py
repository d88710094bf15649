"""``python -m airflow_provider_supersim.simulator``."""

import sys

from airflow_provider_supersim.simulator.process.command_line import main

sys.exit(main())
