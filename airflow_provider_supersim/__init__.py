"""Apache Airflow provider for Super SIM: push configuration to fleets of devices by IP Command."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow, which finds this function by the entry point ``apache_airflow_provider``."""
    from airflow_provider_supersim.hooks import connection_form as form

    integration = "Super SIM"
    return {
        "package-name": "airflow-provider-supersim",
        "name": "Super SIM",
        "description": "Push configuration to fleets of devices by Super SIM IP Command (Twilio, KORE).",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": integration,
                "external-doc-url": "https://www.twilio.com/docs/iot/supersim/api/ipcommand-resource",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {"integration-name": integration, "python-modules": ["airflow_provider_supersim.hooks.supersim"]},
        ],
        "operators": [
            {
                "integration-name": integration,
                "python-modules": [
                    "airflow_provider_supersim.operators.ip_command",
                    "airflow_provider_supersim.operators.rollout",
                ],
            },
        ],
        "sensors": [
            {"integration-name": integration, "python-modules": ["airflow_provider_supersim.sensors.ip_command"]},
        ],
        "triggers": [
            {"integration-name": integration, "python-modules": ["airflow_provider_supersim.triggers.ip_command"]},
        ],
        "extra-links": [
            "airflow_provider_supersim.runs.links.IpCommandLink",
            "airflow_provider_supersim.runs.links.IpCommandsLink",
        ],
        "connection-types": [
            {
                "connection-type": "supersim",
                "hook-class-name": "airflow_provider_supersim.hooks.supersim.SuperSimHook",
                "hook-name": "Super SIM",
                "conn-fields": form.conn_fields(),
                "ui-field-behaviour": form.ui_field_behaviour(),
            }
        ],
    }
