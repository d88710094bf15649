"""The file that ``report_path`` names: proved to be writable before anything is sent, written at the end."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path

from airflow_provider_supersim.delivery.rollout.report import Row, write_report
from airflow_provider_supersim.runs.storage import Storage


class NotWritten(Exception):  # noqa: N818  # half a sentence for the error of the task
    """The report could not be written: ``str()`` says why, and where the rows are instead."""


class ReportFile:
    """Writes a rollout's report.

    :param path: ``report_path``
    :param suffix: says how it is written
    :raises BadInputError: no storage is known for the path, or a package is missing
    :raises StorageError: the storage cannot be used
    """

    def __init__(self, path: str, suffix: str) -> None:
        self._storage = Storage("report_path", path)
        self._suffix = suffix

    def prove_writable(self) -> None:
        """Check that it can be written, without changing an earlier report.

        :raises StorageError: it cannot
        """
        self._storage.prove_writable()

    def write(self, rows: Iterable[Row]) -> None:
        """Write all rows to a file of this machine, and then put that where it belongs: it appears whole or not at all.

        :raises NotWritten: that failed. The file on this machine is kept if it has all rows
        """
        kept: Path | None = None
        try:
            file = Path(tempfile.mkdtemp(prefix="supersim-report-")) / f"report{self._suffix}"
            with file.open("wb") as stream:
                write_report(rows, stream, self._suffix)
            kept = file
            self._storage.upload(file)
        except Exception as error:  # whatever a storage raises
            where = f". The rows are in {kept} on {socket.gethostname()}" if kept else ""
            raise NotWritten(f"{self._storage.trouble(error, 'written')}{where}") from error
        shutil.rmtree(file.parent, ignore_errors=True)
