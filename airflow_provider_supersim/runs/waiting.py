"""What the operators and the sensor share as Airflow tasks: failures in Airflow's words, and both ways to wait.

Imported when a task runs, never when a DAG file is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout

from airflow_provider_supersim.api.errors import SuperSimError, Verdict
from airflow_provider_supersim.delivery.once.ledger import LedgerTakenError
from airflow_provider_supersim.delivery.waiting.sentences import overdue_sentence, unreadable_sentence
from airflow_provider_supersim.delivery.waiting.watcher import GRACE, EventError, Waited, Watcher, watcher_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_supersim.api.client import AsyncSuperSimClient
    from airflow_provider_supersim.hooks.supersim import SuperSimHook


@contextmanager
def airflow_failures(doing: Callable[[], str]) -> Iterator[None]:
    """Turn what the rooms below raise into what tells Airflow whether a retry can help.

    :param doing: says, for a task that is killed, how far it was
    :raises AirflowFailException: bad input or connection, or a refusal of the API: a retry would end the same way
    :raises AirflowException: anything that may go better next time, and a killed task
    :raises AirflowTaskTimeout: as Airflow raises it, with more to say
    """
    try:
        yield
    except ValueError as error:
        raise AirflowFailException(str(error)) from error
    except SuperSimError as error:
        if error.verdict is Verdict.REFUSED:
            raise AirflowFailException(str(error)) from error
        raise AirflowException(str(error)) from error
    except LedgerTakenError as error:
        raise AirflowException(f"Stopped: {error}. What this one had sent is in the ledger.") from error
    except CancelledError:
        raise AirflowException(f"Killed while {doing()}.") from None
    except AirflowTaskTimeout as timeout:
        raise AirflowTaskTimeout(f"The task's execution_timeout ran out while {doing()}.") from timeout


def check_on_clear(on_clear: str) -> None:
    """Check an operator's argument.

    :raises ValueError: it is neither ``resume`` nor ``restart``
    """
    if on_clear not in ("resume", "restart"):
        raise ValueError(f"on_clear must be 'resume' or 'restart', got {on_clear!r}")


def watcher_of_hook(hook: SuperSimHook) -> Watcher:
    """Return the watcher for the hook's account; to be called in the event loop of the hook's session."""
    # The watcher has a budget of its own for failures; a client that kept trying would hide them from it.
    return watcher_of(hook.account, partial(hook.account.client, keep_trying=0))


def wait_in_worker(hook: SuperSimHook, sids: list[str], *, poll_interval: float, timeout: float) -> Waited:
    """Wait here, and hold the worker slot."""

    async def wait(_client: AsyncSuperSimClient) -> Waited:
        return await watcher_of_hook(hook).wait(sids, interval=poll_interval, timeout=timeout)

    return hook.run(wait)


def look_once(hook: SuperSimHook, sids: list[str]) -> Waited:
    """Read each status once, and wait for none."""
    return Waited(commands=[hook.get_ip_command(sid) for sid in sids])


def wait_in_triggerer(
    task: BaseOperator,
    sids: list[str],
    *,
    supersim_conn_id: str,
    poll_interval: float,
    timeout: float,
    with_commands: bool = True,
) -> NoReturn:
    """Defer the task until the commands are settled or ``timeout`` seconds are over.

    :param with_commands: see :class:`SuperSimIpCommandTrigger`
    """
    from airflow_provider_supersim.triggers.ip_command import SuperSimIpCommandTrigger

    what = f"the status of {len(sids)} IP Command(s)" if sids else "the next step"
    task.log.info("Waiting in the triggerer for %s, at most %.0f s", what, timeout)
    task.defer(
        trigger=SuperSimIpCommandTrigger(
            ip_command_sids=sids,
            supersim_conn_id=supersim_conn_id,
            poll_interval=poll_interval,
            deadline=datetime.now(UTC) + timedelta(seconds=timeout),
            with_commands=with_commands,
        ),
        method_name="execute_complete",
        # The trigger's own deadline comes first, for it can say what it knows. This one is for a triggerer that hangs.
        timeout=timedelta(seconds=timeout + 2 * GRACE),
    )


def read_event(event: Any) -> Waited:
    """Read a trigger's event.

    :raises AirflowException: it is not one that this provider's trigger sends
    """
    try:
        return Waited.from_event(event)
    except EventError as error:
        raise AirflowException(f"The trigger sent an event that cannot be read ({error}): {event!r}") from error


def check_settled(waited: Waited, timeout: float) -> None:
    """Do nothing where every command is settled.

    :raises AirflowException: the time was over first; else as :func:`check_readable`
    """
    check_readable(waited)
    if not waited.settled:
        raise AirflowException(overdue_sentence(waited, timeout))


def check_readable(waited: Waited) -> None:
    """Do nothing where the statuses could be read.

    :raises AirflowFailException: they could not, and a retry would not change that
    :raises AirflowException: the API could not be reached for long
    """
    if waited.error:
        kind = AirflowException if waited.retryable else AirflowFailException
        raise kind(unreadable_sentence(waited))
