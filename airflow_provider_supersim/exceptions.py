"""What a task of this provider fails with: one class for each cause that a callback or a retry policy tells apart.

The first line of every message ends in its code in brackets, such as ``[rollout-halted]``. The page *Errors and what to
do* has an anchor of that name. Codes are stable; the words may get better.

Airflow does not retry subclasses of ``AirflowFailException``: these are the errors that a retry cannot fix.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)


class SuperSimTaskError(AirflowException):
    """Base of all of them.

    :ivar code: stable name of the cause, to be matched by alerts
    """

    code: str

    def __str__(self) -> str:
        """Return the message; its first line ends in the code."""
        first, *others = super().__str__().split("\n")
        return "\n".join([f"{first} [{self.code}]", *others])


class BadArgumentError(SuperSimTaskError, AirflowFailException):
    """An argument of the operator, or a field of the connection, cannot be right. Nothing was sent."""

    code = "bad-argument"


class TargetsInvalidError(SuperSimTaskError, AirflowFailException):
    """Rows of the targets that no command can be made of. Nothing was sent."""

    code = "targets-invalid"


class NoTargetsError(SuperSimTaskError, AirflowFailException):
    """The Fleet, the list or the file has no target. Nothing was sent."""

    code = "no-targets"


class NoTargetsSkippedError(SuperSimTaskError, AirflowSkipException):
    """The same with ``on_empty="skip"``: the task is skipped."""

    code = "no-targets"


class CredentialsRefusedError(SuperSimTaskError, AirflowFailException):
    """The API refused the connection's credentials, or they may not do this (401, 403)."""

    code = "credentials-refused"


class RequestRefusedError(SuperSimTaskError, AirflowFailException):
    """The API refused the request: no such SIM or Fleet, or a parameter that it does not take (4xx)."""

    code = "request-refused"


class RolloutHaltedError(SuperSimTaskError, AirflowFailException):
    """A gate shut: too many devices failed. Later waves were not sent."""

    code = "rollout-halted"


class RolloutIncompleteError(SuperSimTaskError):
    """Sending was held back before every device had its turn. The next try continues with them."""

    code = "rollout-incomplete"


class WindowClosedError(RolloutIncompleteError):
    """The window closed before every device had its turn. The next try continues when it opens again."""

    code = "window-closed"


class CommandFailedError(SuperSimTaskError):
    """An IP Command got the status ``failed``."""

    code = "command-failed"


class CommandsFailedError(CommandFailedError, AirflowFailException):
    """One of the IP Commands that a sensor waits for failed. No retry of the sensor changes that."""


class OutcomeUnknownError(SuperSimTaskError, AirflowFailException):
    """It cannot be told whether the API accepted the command, or the API has no record of it any more.

    No retry sends it again.
    """

    code = "outcome-unknown"


class NotSettledError(SuperSimTaskError):
    """An IP Command had no final status within ``timeout``."""

    code = "not-settled"


class SensorTimedOutError(NotSettledError, AirflowSensorTimeout):
    """The same, for a sensor."""


class SensorSkippedError(NotSettledError, AirflowSkipException):
    """A sensor with ``soft_fail=True`` did not end well.

    :ivar code: of what it would have failed with; by default it timed out
    """

    def __init__(self, message: str, code: str = NotSettledError.code) -> None:
        super().__init__(message)
        self.code = code


class StatusesUnreadableError(SuperSimTaskError):
    """The statuses could not be read for long. The next try continues to wait, and sends nothing."""

    code = "statuses-unreadable"


class ApiUnreachableError(SuperSimTaskError):
    """The API could not be reached, or answered with 5xx, for as long as the task tried."""

    code = "api-unreachable"


class ThrottledError(SuperSimTaskError):
    """The API answered 429 for as long as the task tried."""

    code = "throttled"


class LedgerUnreadableError(SuperSimTaskError):
    """The ledger cannot be read, so nothing is sent: what earlier tries sent is not known."""

    code = "ledger-unreadable"


class NoLedgerError(SuperSimTaskError, AirflowFailException):
    """A retry of a task without a ledger: what the last try sent is not known, so nothing is sent."""

    code = "no-ledger"


class LedgerTakenError(SuperSimTaskError):
    """A later try of the task has opened the ledger; this one sends nothing more."""

    code = "ledger-taken"


class StorageError(SuperSimTaskError):
    """``targets_path``, ``report_path`` or ``ledger_path`` cannot be read or written."""

    code = "storage"


class ReportNotWrittenError(StorageError):
    """The rollout is complete, but its report could not be written. The next try writes it, and sends nothing."""

    code = "report-not-written"


class ReportLostError(ReportNotWrittenError, AirflowFailException):
    """The same without a ledger. Retries do not run, because a retry would send to every device again."""


class TaskKilledError(SuperSimTaskError):
    """Somebody ended the task while it ran."""

    code = "task-killed"


class TaskTimedOutError(SuperSimTaskError, AirflowTaskTimeout):
    """The task's ``execution_timeout`` ran out."""

    code = "execution-timeout"


class EventUnreadableError(SuperSimTaskError):
    """The trigger's event cannot be read: triggerer and worker run different versions of this provider."""

    code = "event-unreadable"
