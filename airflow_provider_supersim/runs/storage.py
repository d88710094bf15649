"""Files and folders that an argument names: on a local path, or in any object storage that Airflow has a provider for.

Each storage raises errors of its own kind. Here they become one sentence with the argument, the path and what to do.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, ObjectStoragePath
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.exceptions import StorageError
from airflow_provider_supersim.words import duration

log = logging.getLogger(__name__)

SLOW = 5.0  # seconds without an answer, after which the log says so; then after twice as many, and so on
GIVE_UP = 300.0  # seconds without an answer, after which the task ends; some libraries would wait for ever
LONGEST = 300  # characters of another library's words

PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "apache-airflow-providers-amazon[s3fs]"),
    **dict.fromkeys(("gs", "gcs"), "apache-airflow-providers-google"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "apache-airflow-providers-microsoft-azure"),
    **dict.fromkeys(("sftp", "ssh"), "apache-airflow-providers-sftp[sshfs]"),
}
PROBE = b"A rollout wrote this file to see whether it can write its report here. It may be deleted.\n"


class Storage:
    """The file or folder that an argument names.

    Make it outside of an event loop: the providers of some storages start one of their own.

    :param name: the argument's, for messages
    :param given: its value, e.g. ``s3://aws_default@bucket/targets.csv``
    :ivar path: its path in the file system
    :raises BadInputError: no storage is known for the path, or a package is missing
    :raises StorageError: the storage cannot be used otherwise
    """

    def __init__(self, name: str, given: str) -> None:
        self._name = name
        self._given = given
        url = urlsplit(given)
        self.is_local = url.scheme in ("", "file", "local")
        try:
            path = ObjectStoragePath(given)
            # Airflow 2 takes a relative path for one below the root.
            self.path = str(path.path) if url.scheme else given
            # Airflow imports the providers of all storages for any path: seconds, which a local one does not need.
            self.fs: Any = LocalFileSystem() if self.is_local else path.fs
        except (ImportError, ValueError, AirflowNotFoundException) as error:
            package = PACKAGES.get(url.scheme)
            raise BadInputError(
                f"{name} {given!r} cannot be used: {_reason(error)}."
                + (f" On every worker, install {package}." if package else "")
            ) from error
        except Exception as error:
            raise self.failure(error, "used") from error

    @property
    def is_file_system(self) -> bool:
        """Whether it has folders. In an object storage the path begins with the bucket, and needs none."""
        return self.is_local or self.path.startswith("/")

    def make_folder(self, path: str) -> None:
        """Make a folder and those above it. In an object storage this does nothing: s3fs would make a missing bucket.

        :raises StorageError: it cannot be made
        """
        if self.is_file_system:
            self.call("written", self.fs.makedirs, path, exist_ok=True)

    def prove_writable(self) -> None:
        """Write a file beside the file that is to be written later, and delete it.

        What is there already stays as it is: it may be the report of an earlier try, or somebody may wait for it.

        :raises StorageError: it cannot be written
        """
        folder, _, name = self.path.rpartition("/")
        self.make_folder(folder or ".")
        probe = f"{folder}/.{name}.probe" if folder else f".{name}.probe"
        if self.is_local and Path(self.path).exists():
            self.call("written", lambda: Path(self.path).open("ab").close())
        self.call("written", self.fs.pipe_file, probe, PROBE)
        try:
            self._wait_for("written", self.fs.rm_file, probe)
        except Exception as error:  # noqa: BLE001  # whatever a storage raises: to delete is not needed for a report
            log.info("%s may be deleted: the task itself could not, %s", probe, _reason(error))

    @contextmanager
    def fetched(self) -> Iterator[Path]:
        """Give a local copy of the file, or the file itself if it is local.

        A whole copy, because a file that is replaced while it is read in parts would be a mixture.

        :raises FileNotFoundError: there is no such file
        :raises StorageError: it cannot be read
        """
        if self.is_local:
            yield Path(self.path)
            return
        with tempfile.TemporaryDirectory(prefix="supersim-") as folder:
            copy = Path(folder) / "file"  # its name is not that of the object, which may hold anything
            self.call("read", self.fs.get_file, self.path, str(copy), expected=FileNotFoundError)
            yield copy

    def upload(self, file: Path) -> None:
        """Put a local file there, and raise whatever the storage raises, or TimeoutError."""
        self._wait_for("written", self.fs.put_file, str(file), self.path)

    def call(
        self,
        doing: str,
        function: Callable[..., Any],
        *arguments: Any,
        expected: type[Exception] | tuple[()] = (),
        **options: Any,
    ) -> Any:
        """Call a function of the storage, and make one sentence of whatever it raises.

        :param doing: ``read`` or ``written``
        :param expected: what is raised as it is
        :raises StorageError: it raised anything else, or gave no answer for five minutes
        """
        try:
            return self._wait_for(doing, function, *arguments, **options)
        except expected:
            raise
        except Exception as error:
            raise self.failure(error, doing) from error

    def failure(self, error: Exception, doing: str) -> StorageError:
        """Return the error of the task.

        :param error: the storage's own
        :param doing: ``read`` or ``written``
        """
        return StorageError(
            f"{self.trouble(error, doing)}.\n"
            "Nothing more is sent. The next try continues from what is recorded.\n"
            f"{self._what_to_do()} No retry left: then clear this task."
        )

    def trouble(self, error: Exception, doing: str) -> str:
        """Return argument, path and reason.

        :param error: the storage's own
        :param doing: ``read`` or ``written``
        """
        return f"{self._name} {self._given} cannot be {doing} ({_reason(error)})"

    def _wait_for(self, doing: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call a function of the storage, say so while it is slow, and give it up after five minutes.

        :raises TimeoutError: it gave no answer. It may still end later, in a thread that the process does not wait for
        """
        if self.is_local:
            return function(*arguments, **options)
        answer: Future[Any] = Future()
        Thread(target=_answer, args=(answer, function, arguments, options), daemon=True).start()
        waited, again = 0.0, SLOW
        while not wait([answer], timeout=again).done:
            waited += again
            if waited >= GIVE_UP:
                raise TimeoutError(f"no answer for {duration(waited)}")
            log.warning(
                "%s %s is slow: not %s after %s, still waiting [storage-slow]",
                self._name,
                self._given,
                doing,
                duration(waited),
            )
            again = min(waited, GIVE_UP - waited)
        return answer.result()

    def _what_to_do(self) -> str:
        """Return what the reader does: it depends on whose credentials were used."""
        url = urlsplit(self._given)
        if self.is_local:
            return "Check that the path exists on every worker, and the permissions there."
        if "@" not in url.netloc:
            return (
                "The path names no connection, so the worker's own credentials were used. To name one: "
                f"{url.scheme}://CONN_ID@{url.netloc}{url.path}"
            )
        conn_id = url.netloc.rpartition("@")[0]
        if not _is_defined(conn_id):
            return f"The connection {conn_id} is not defined: define it, or name another in the path."
        return f"Check the path, and the permissions of connection {conn_id}."


def _answer(answer: Future[Any], function: Callable[..., Any], arguments: Any, options: Any) -> None:
    try:
        answer.set_result(function(*arguments, **options))
    except BaseException as error:  # noqa: BLE001  # raised again where the answer is waited for
        answer.set_exception(error)


def _is_defined(conn_id: str) -> bool:
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return False
    except Exception as error:  # noqa: BLE001  # a hint is not worth an error of its own
        log.debug("Connection %s could not be looked up: %s", conn_id, error)
    return True


def _reason(error: Exception) -> str:
    """Return another library's words in one short line; most do not name the kind of their error in it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return error.strerror  # its own text names a file that the user has not given, such as that of the proof
    words = shorten(" ".join(str(error).split()).rstrip("."), LONGEST, placeholder=" …")
    kind = type(error).__name__
    if isinstance(error, OSError | ImportError | ValueError):
        return words or kind
    return f"{kind}: {words}" if words else kind
