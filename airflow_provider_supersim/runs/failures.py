"""From what the rooms below raise to exceptions that Airflow and its users tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_supersim import exceptions
from airflow_provider_supersim.api.errors import (
    AuthenticationError,
    BadInputError,
    SuperSimError,
    TooManyRequestsError,
    Verdict,
)
from airflow_provider_supersim.delivery.once.journal_format import JournalError
from airflow_provider_supersim.delivery.once.ledger import LedgerTakenError
from airflow_provider_supersim.delivery.targets.plan import TargetsError
from airflow_provider_supersim.delivery.waiting.watcher import StatusesUnreadableError, Waited
from airflow_provider_supersim.runs import sentences


@contextmanager
def airflow_failures(doing: Callable[[], str], conn_id: str) -> Iterator[None]:
    """Turn errors into this provider's exceptions. An error that is not known to be permanent can be retried.

    :param doing: says how far the task was when it was ended, and what the next try does
    :param conn_id: the connection
    :raises SuperSimTaskError: one of its subclasses; the original error is its cause if that adds something
    """
    try:
        yield
    except TargetsError as error:
        raise exceptions.TargetsInvalidError(str(error)) from None
    except BadInputError as error:
        raise exceptions.BadArgumentError(str(error)) from None
    except SuperSimError as error:
        raise of_api(error, conn_id) from error
    except StatusesUnreadableError as error:
        raise of_unread(error.waited, conn_id) from error
    except JournalError as error:
        raise exceptions.LedgerUnreadableError(str(error)) from error
    except LedgerTakenError as error:
        raise exceptions.LedgerTakenError(
            "This try stopped: a newer try of the task has taken over. What this one sent is recorded, and the newer "
            "try continues from it. Nothing to do; if this happens often, workers miss their heartbeats."
        ) from error
    except CancelledError:
        raise exceptions.TaskKilledError(f"Task killed while {doing()}.") from None
    except AirflowTaskTimeout as timeout:
        raise exceptions.TaskTimedOutError(f"execution_timeout ended the task while {doing()}.") from timeout


def of_api(error: SuperSimError, conn_id: str) -> exceptions.SuperSimTaskError:
    """Return what a task fails with when the API did not do what was asked.

    :param conn_id: the connection
    """
    codes = ", ".join(str(code) for code in (error.status, error.code) if code is not None)
    if isinstance(error, AuthenticationError):
        return exceptions.CredentialsRefusedError(
            f"Connection {conn_id}: the API refused the credentials ({codes}). Retries do not run. Correct login and "
            f"password, or the permissions of the key, then clear this task. {error}"
        )
    if error.verdict is Verdict.REFUSED:
        return exceptions.RequestRefusedError(
            f"The API refused the request of connection {conn_id}: {error.message.rstrip('.')}. Retries do not run. "
            f"Correct what it names, then clear this task. {error}"
        )
    if isinstance(error, TooManyRequestsError):
        return exceptions.ThrottledError(
            f"Connection {conn_id}: the API answered 429 for as long as the task tried. The next try continues. "
            f"Find out what else uses the account, or lower max_concurrency. {error}"
        )
    return exceptions.ApiUnreachableError(
        f"Connection {conn_id}: the API cannot be reached, or fails. The next try continues from here. "
        f"No retry left: clear this task when the API is back. {error}"
    )


def of_unread(waited: Waited, conn_id: str) -> exceptions.SuperSimTaskError:
    """Return what a task fails with when the statuses could not be read.

    :param waited: with an error
    :param conn_id: the connection
    """
    sentence = sentences.unreadable(waited, conn_id)
    if waited.retryable:
        return exceptions.StatusesUnreadableError(sentence)
    if waited.credentials_refused:
        return exceptions.CredentialsRefusedError(sentence)
    return exceptions.RequestRefusedError(sentence)
