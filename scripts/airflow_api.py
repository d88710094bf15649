"""The calls of Airflow's REST API that ``make up`` needs: health, sign-in, DAGs, connections."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

_opener = build_opener(ProxyHandler({}))  # never through a proxy: this Airflow is on this host
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class AirflowApi:
    """Airflow's API server.

    :param url: its address
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._headers = {"Content-Type": "application/json"}

    def sign_in(self, username: str, password: str) -> None:
        """Get a token for the other calls."""
        token = self.call("POST", "/auth/token", {"username": username, "password": password})["access_token"]
        self._headers["Authorization"] = f"Bearer {token}"

    def healthy(self) -> bool:
        """Return whether every component of Airflow is healthy."""
        try:
            health = self.call("GET", "/api/v2/monitor/health")
        except OSError:  # nothing listens yet
            return False
        return all((health.get(component) or {}).get("status") == "healthy" for component in COMPONENTS)

    def dag_ids(self) -> set[str]:
        """Return the DAGs that Airflow has parsed."""
        return {dag["dag_id"] for dag in self.call("GET", "/api/v2/dags")["dags"]}

    def put_connection(self, conn_id: str, fields: dict[str, Any]) -> None:
        """Add a connection, or replace the one with the same id.

        :param fields: ``conn_type``, ``host``, ``login``, ``password``, and ``extra`` as a dict
        """
        entity = fields | {"connection_id": conn_id, "extra": json.dumps(fields["extra"])}
        action = {"action": "create", "action_on_existence": "overwrite", "entities": [entity]}
        done = self.call("PATCH", "/api/v2/connections", {"actions": [action]})
        if done["create"]["errors"]:
            raise RuntimeError(f"Airflow refused the connection: {done['create']['errors']}")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make one request.

        :raises OSError: there was no answer, or an error
        """
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, self._headers, method=method)  # noqa: S310  # http, on this host
        with _opener.open(request, timeout=30) as response:
            return json.load(response)
