"""From what the rooms below raise to exceptions that Airflow and its users tell apart.

A message has up to five lines: what happened to whom, how far the task was, and last what to do. Airflow's log view
shows 90 characters of a line, so each line begins with what matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowSkipException, AirflowTaskTimeout

from airflow_provider_supersim import exceptions
from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadInputError,
    NotConnectedError,
    NotFoundError,
    ServerError,
    SuperSimError,
    TooManyRequestsError,
    UnreadableReplyError,
    Verdict,
)
from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.journal_format import JournalError
from airflow_provider_supersim.delivery.once.one_command import OutcomeUnknownError
from airflow_provider_supersim.delivery.targets.plan import TargetsError
from airflow_provider_supersim.delivery.waiting.waited import EventError, StatusesUnreadableError, Waited
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.runs import sentences
from airflow_provider_supersim.runs.so_far import SoFar
from airflow_provider_supersim.words import duration

try:
    from airflow.sdk.exceptions import AirflowTaskTerminated
except ImportError:  # Airflow before 3.2
    from airflow.exceptions import AirflowTaskTerminated  # type: ignore[no-redef]


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
def airflow_failures(conn_id: str, *, whom: str = "the request", so_far: Callable[[], SoFar] = SoFar) -> Iterator[None]:
    """Turn errors into this provider's exceptions. An error that is not known to be permanent can be retried.

    :param conn_id: the connection
    :param whom: the argument that the API may refuse, and its value: ``sim 'device-0001'``
    :param so_far: says how far the task was
    :raises SuperSimTaskError: one of its subclasses; the original error is its cause if that adds something
    """
    try:
        yield
    except BadInputError as error:
        kind = exceptions.TargetsInvalidError if isinstance(error, TargetsError) else exceptions.BadArgumentError
        raise kind(str(error)) from None
    except SuperSimError as error:
        failure = of_api(error, conn_id, whom, so_far())
        raise failure from (None if error.verdict is Verdict.REFUSED else error)
    except StatusesUnreadableError as error:
        raise of_unread(error.waited, conn_id, so_far()) from None
    except EventError as error:
        raise exceptions.EventUnreadableError(_joined(*sentences.event_unreadable(error, so_far()))) from None
    except JournalError as error:
        raise exceptions.LedgerUnreadableError(str(error)) from error
    except OutcomeUnknownError as error:
        raise exceptions.OutcomeUnknownError(sentences.outcome_unknown(error, conn_id)) from None
    except LedgerTakenError:
        raise exceptions.LedgerTakenError(_joined(*sentences.ledger_taken(so_far()))) from None
    except (CancelledError, AirflowTaskTerminated):  # Airflow 3 calls on_kill; Airflow 2 raises here too
        raise exceptions.TaskKilledError(_joined(*sentences.killed(so_far()))) from None
    except AirflowTaskTimeout:
        raise exceptions.TaskTimedOutError(_joined(*sentences.out_of_time(so_far()))) from None


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
    tried = f" for {duration(error.tried_for)}" if error.tried_for else ""
    if isinstance(error, TooManyRequestsError):
        return exceptions.ThrottledError(
            _joined(
                f"{where}: the API answered 429{tried}; {so_far.short}.",
                *so_far.lines,
                f"Find out what else uses the account, or lower max_concurrency. {so_far.outlook()} {error}",
            )
        )
    if isinstance(error, NotConnectedError):
        failing, to_do = "not reached", "Check DNS, proxy and firewall of the worker, and the connection's host."
    elif isinstance(error, ServerError):
        failing, to_do = f"the API failed ({codes})", "Look at the vendor's status page."
    else:
        failing, to_do = "no readable reply", "Check the network and the proxies between the worker and the API."
    clear = f"when that works again, {so_far.clear}"
    return exceptions.ApiUnreachableError(
        _joined(
            f"{where}: {failing}{tried}; {so_far.short}.", *so_far.lines, f"{to_do} {so_far.outlook(clear)} {error}"
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
    first, *others = sentences.unreadable(waited, _place(conn_id), so_far)
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
