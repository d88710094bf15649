"""What the Airflow under test has. A test that needs more is skipped, with a plain reason."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version


def airflow_is(release: str) -> bool:
    """Whether the tests run on this release of Airflow or on a later one."""
    return Version(version("apache-airflow")) >= Version(release)


def _since(release: str, feature: str) -> pytest.MarkDecorator:
    reason = f"Airflow {version('apache-airflow')} has no {feature}: it came with {release}"
    return pytest.mark.skipif(not airflow_is(release), reason=reason)


needs_task_state_store = _since("3.3", "task state store")
needs_retry_policy = _since("3.3", "retry policy")
