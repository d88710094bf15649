"""From what the rooms below raise to exceptions that Airflow and its users tell apart.

A message has up to five lines: what happened to whom, how far the task was, and last what to do. Airflow's log view
shows 90 characters of a line, so each line begins with what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout

from airflow_provider_supersim import exceptions
from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadInputError,
    NotConnectedError,
    NotFoundError,
    SuperSimError,
    TooManyRequestsError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.journal_format import JournalError
from airflow_provider_supersim.delivery.once.one_command import OutcomeUnknownError
from airflow_provider_supersim.delivery.targets.plan import TargetsError
from airflow_provider_supersim.delivery.waiting.watcher import StatusesUnreadableError, Waited
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.runs import sentences

try:
    from airflow.sdk.exceptions import AirflowTaskTerminated
except ImportError:  # Airflow before 3.2
    from airflow.exceptions import AirflowTaskTerminated  # type: ignore[no-redef]


class SoFar(NamedTuple):
    """How far a task was when it failed.

    :ivar short: in a few words: ``60 of 200 sent``
    :ivar lines: more about it, such as counts, causes, and where the report is
    :ivar clear: what to do last, and what that does: a clear continues a rollout, and may send a single command again
    """

    short: str = "nothing was sent"
    lines: Sequence[str] = ()
    clear: str = "clear this task"


@contextmanager
def told(log: Any) -> Iterator[None]:
    """Say each line of a failure as an error of its own, because Airflow hides the message in a traceback.

    :param log: the task's
    """
    try:
        yield
    except AirflowSkipException:
        raise
    except exceptions.SuperSimTaskError as error:
        for line in str(error).splitlines():
            log.error("%s", line)  # noqa: TRY400  # Airflow logs the traceback
        raise


@contextmanager
def airflow_failures(
    doing: Callable[[], str], conn_id: str, *, whom: str = "the request", so_far: Callable[[], SoFar] = SoFar
) -> Iterator[None]:
    """Turn errors into this provider's exceptions. An error that is not known to be permanent can be retried.

    :param doing: says how far the task was when it was ended, and what the next try does
    :param conn_id: the connection
    :param whom: the argument that the API may refuse, and its value: ``sim 'device-0001'``
    :param so_far: says what was sent
    :raises SuperSimTaskError: one of its subclasses; the original error is its cause if that adds something
    """
    try:
        yield
    except TargetsError as error:
        raise exceptions.TargetsInvalidError(str(error)) from None
    except BadInputError as error:
        raise exceptions.BadArgumentError(str(error)) from None
    except SuperSimError as error:
        failure = of_api(error, conn_id, whom, so_far())
        raise failure from (None if error.verdict is Verdict.REFUSED else error)
    except StatusesUnreadableError as error:
        raise of_unread(error.waited, conn_id, so_far()) from None
    except JournalError as error:
        raise exceptions.LedgerUnreadableError(str(error)) from error
    except OutcomeUnknownError as error:
        raise exceptions.OutcomeUnknownError(sentences.outcome_unknown(error, conn_id)) from None
    except LedgerTakenError as error:
        raise exceptions.LedgerTakenError(
            "This try stopped: a newer try of the task has taken over. What this one sent is recorded, and the newer "
            "try continues from it. Nothing to do; if this happens often, workers miss their heartbeats."
        ) from error
    except (CancelledError, AirflowTaskTerminated):  # Airflow 3 calls on_kill; Airflow 2 raises here too
        raise exceptions.TaskKilledError(_joined(f"Task killed while {doing()}.", *so_far().lines)) from None
    except AirflowTaskTimeout as timeout:
        words = f"execution_timeout ended the task while {doing()}."
        raise exceptions.TaskTimedOutError(_joined(words, *so_far().lines)) from timeout


def of_api(error: SuperSimError, conn_id: str, whom: str, so_far: SoFar) -> exceptions.SuperSimTaskError:
    """Return what a task fails with when the API did not do what was asked."""
    where = f"Connection {_place(conn_id)}"
    codes = ", ".join(str(code) for code in (error.status, error.code) if code is not None)
    if isinstance(error, AuthenticationError):
        return exceptions.CredentialsRefusedError(
            _joined(
                f"{where}: the API refused the credentials ({codes}); {so_far.short}.",
                *so_far.lines,
                "Retries do not run. Correct login and password, or the permissions of the key, then "
                f"{so_far.clear}. {error}",
            )
        )
    if error.verdict is Verdict.REFUSED:
        return exceptions.RequestRefusedError(_joined(*_refused(error, conn_id, whom, so_far)))
    if isinstance(error, TooManyRequestsError):
        return exceptions.ThrottledError(
            _joined(
                f"{where}: the API answered 429 for as long as the task tried; {so_far.short}.",
                *so_far.lines,
                "The next try continues. Find out what else uses the account, or lower max_concurrency. No retry left: "
                f"{so_far.clear}. {error}",
            )
        )
    failing = "cannot be reached" if isinstance(error, NotConnectedError) else f"the API fails ({codes or 'no reply'})"
    return exceptions.ApiUnreachableError(
        _joined(
            f"{where}: {failing}; {so_far.short}.",
            *so_far.lines,
            "The next try continues from here. Check DNS, proxy and firewall of the worker. No retry left: when the "
            f"API is back, {so_far.clear}. {error}",
        )
    )


def _refused(error: SuperSimError, conn_id: str, whom: str, so_far: SoFar) -> list[str]:
    place, said = _place(conn_id), error.message.rstrip(".")
    codes = ", ".join(str(code) for code in (error.status, error.code) if code is not None)
    if isinstance(error, NotConnectedError | UnreadableReplyError):  # nothing is wrong with the argument
        first = f"Connection {place}: {said}; {so_far.short}."
        to_do = "Correct the connection, or what stands between it and the API"
    elif isinstance(error, NotFoundError):
        first = f"{whom} not found ({codes}): {said}; {so_far.short}."
        to_do = f"Check the name, and that the account of connection {place} has it"
    else:
        first = f"{whom} refused ({codes}): {said}; {so_far.short}."
        to_do = f"Correct what the API names (connection {place})"
    return [first, *so_far.lines, f"Retries do not run. {to_do}, then {so_far.clear}. {error}"]


def of_unread(waited: Waited, conn_id: str, so_far: SoFar) -> exceptions.SuperSimTaskError:
    """Return what a task fails with when the statuses could not be read.

    :param waited: with an error
    """
    first, *others = sentences.unreadable(waited, _place(conn_id), so_far.clear)
    words = _joined(first, *so_far.lines, *others)
    if waited.retryable:
        return exceptions.StatusesUnreadableError(words)
    if waited.credentials_refused:
        return exceptions.CredentialsRefusedError(words)
    return exceptions.RequestRefusedError(words)


def _place(conn_id: str) -> str:
    """Return the connection's id, with the host that it leads to if it can be read."""
    try:
        return f"{conn_id} ({urlsplit(SuperSimHook(conn_id).account.base_url).netloc})"
    except Exception:  # noqa: BLE001  # whatever it is, the failure that is told of is another
        return conn_id


def _joined(*lines: str) -> str:
    return "\n".join(lines)
