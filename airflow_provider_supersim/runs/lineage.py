"""What a rollout tells OpenLineage: which file its targets came from, and which one its report went to.

Called by OpenLineage's own provider, where that is installed; nothing of it is imported before.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import ObjectStoragePath

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.openlineage.extractors import OperatorLineage

# Names of one storage that OpenLineage knows by the other: else one file would be two datasets.
_SCHEMES = {"gcs": "gs", "s3a": "s3", "s3n": "s3"}


def files(*, read: str | None, written: str | None) -> OperatorLineage[Any, Any]:
    """Return a task's lineage.

    :param read: path in object storage of the file that was read, if there was one
    :param written: of the file that was written
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    return OperatorLineage(
        inputs=[_dataset(read)] if read else [],
        outputs=[_dataset(written)] if written else [],
    )


def _dataset(path: str) -> Dataset:
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, name = name_of(path)
    return Dataset(namespace=namespace, name=name)


def name_of(path: str) -> tuple[str, str]:
    """Name a file as OpenLineage does: ``file`` and its path, or ``s3://bucket`` and its key."""
    place = ObjectStoragePath(path)
    bucket = place.bucket.rpartition("@")[2]  # Airflow 2 leaves the connection's id in front of it
    if not bucket:
        local = place.path if "://" in path else path  # Airflow 2 takes a relative path for one below the root
        return "file", str(Path(local).absolute())
    return f"{_SCHEMES.get(place.protocol, place.protocol)}://{bucket}", place.key
