"""A payload that the task renders for each device, and that Airflow must therefore leave as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


class DeviceTemplate:
    """A payload as the DAG has it. Airflow finds no field in it to render."""

    template_fields: Sequence[str] = ()

    def __init__(self, content: Any) -> None:
        self.content = content

    def __str__(self) -> str:
        """Return what the UI shows as the rendered template: a tree as JSON."""
        content = self.content
        return json.dumps(content, default=str) if isinstance(content, dict | list) else str(content)

    def read(self, environment: Environment) -> Any:
        """Return the payload: the content of its file, if it names one.

        :param environment: the DAG's
        """
        from airflow_provider_supersim.delivery.targets.payload_template import read_file

        return read_file(self.content, environment)
