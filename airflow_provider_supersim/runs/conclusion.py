"""What a rollout leaves behind at any end: the report, the causes, the summary, and an error if it is not complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_supersim.delivery.rollout.reasons import WindowClosed
from airflow_provider_supersim.exceptions import (
    ReportLostError,
    ReportNotWrittenError,
    RolloutHaltedError,
    RolloutIncompleteError,
    WindowClosedError,
)
from airflow_provider_supersim.runs.report_file import NotWritten, ReportFile
from airflow_provider_supersim.runs.so_far import SoFar
from airflow_provider_supersim.words import count, duration

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_supersim.delivery.rollout.overview import Overview
    from airflow_provider_supersim.delivery.rollout.steps import End
    from airflow_provider_supersim.runs.arguments import RolloutArguments

#: Causes that the log names, the most frequent first.
CAUSES = 10
#: Causes that an error names in one line.
CAUSES_IN_LINE = 3
#: Devices that the log names for each cause.
NAMED = 5
#: Airflow's key for what a task returns.
SUMMARY_KEY = "return_value"


class Conclusion:
    """Concludes a rollout in the process in which its try ends.

    :param log: the task's
    :param has_ledger: a later try knows what was sent
    :ivar report_written: whether the report was written
    :raises ValueError: ``report_path`` cannot be used
    :raises StorageError: its storage cannot be used
    """

    def __init__(self, arguments: RolloutArguments, context: Context, log: Any, *, has_ledger: bool) -> None:
        self._report_path = path = arguments.report_path
        self._report = ReportFile(path, arguments.report_suffix) if path else None
        self._goes_on = has_ledger and arguments.on_clear != "restart"
        self._has_ledger = has_ledger
        self._context = context
        self._log = log
        self.report_written = False

    def prove_possible(self) -> None:
        """Check, before anything is sent, that the report can be written.

        :raises StorageError: it cannot
        """
        if self._report:
            self._report.prove_writable()

    def conclude(self, overview: Overview, end: End) -> dict[str, Any]:
        """Write the report, and return the summary.

        :raises RolloutHaltedError: a gate shut
        :raises RolloutIncompleteError: sending was held back before every device had its turn
        :raises WindowClosedError: the window closed first
        :raises ReportNotWrittenError: all is sent, but the report cannot be written
        """
        if not end.halted and not end.left_out:
            not_written = self._write_report(overview)
            self._name_causes(overview)
            if not_written:
                self._fail_for_the_report(not_written, _in_words(end.summary))
            self._log.info("Rollout complete. %s", _in_words(end.summary))
            return end.summary
        so_far = self.leave(overview, end.summary)
        if end.left_out:
            closed = any(isinstance(reason, WindowClosed) for reason in end.left_out.reasons)
            first = f"Rollout not complete: {end.left_out.sentence()}."
            to_do = so_far._replace(retry=so_far.retry and end.left_out.outlook()).outlook()
            raise (WindowClosedError if closed else RolloutIncompleteError)("\n".join([first, *so_far.lines, to_do]))
        to_do = f"Retries do not run. Look into the causes, then {so_far.clear}."
        raise RolloutHaltedError("\n".join([f"Rollout halted: {end.halted}.", *so_far.lines, to_do]))

    def leave(self, overview: Overview, summary: dict[str, Any]) -> SoFar:
        """Leave the report, the causes and the summary of a try that fails. Nothing here hides why it fails."""
        not_written = self._write_report(overview)
        self._name_causes(overview)
        try:
            self._context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)  # Airflow pushes only what succeeds
        except Exception as error:  # noqa: BLE001  # whatever Airflow raises for a task that was ended from outside
            self._log.warning("The summary was not pushed to XCom: %s [progress-not-recorded]", error)
        return self._so_far(overview, summary, not_written)

    def _so_far(self, overview: Overview, summary: Mapping[str, Any], not_written: str | None) -> SoFar:
        """Say how far it is: in counts, in causes, and where there is more.

        :param not_written: why the report could not be written
        """
        short = f"{summary['sent']:,} of {summary['devices']:,} sent"
        if summary["unsettled"]:
            short += f", {summary['unsettled']:,} without a final status"
        frequent = overview.causes(CAUSES_IN_LINE, 0)
        causes = [cause.short() for cause in frequent]
        if others := summary["failed"] + summary["unsettled"] - sum(cause.devices for cause in frequent):
            causes.append(f"{others:,} × for other causes")
        if summary["not_sent"]:
            causes.append(f"{summary['not_sent']:,} × not sent")
        report = "No report: set report_path for a row per device."
        if self._report:
            written = f"Report: {self._report_path} has a row for each device."
            report = f"No report: {not_written}." if not_written else written
        lines = [_in_words(summary), f"Causes: {'; '.join(causes) or 'none'}.", report]
        continues = "it continues with every device that is not yet sent"
        return SoFar(
            "Rollout",
            f"while rolling out; {short}",
            short,
            lines,
            retry="The next try continues from here." if self._has_ledger else None,
            clear=f"clear this task: {continues if self._goes_on else 'it sends to every device again'}",
        )

    def _write_report(self, overview: Overview) -> str | None:
        """Write the report, if there is to be one; return why it could not be written, and where the rows are."""
        if self._report is None:
            return None
        try:
            self._report.write(overview.rows())
        except NotWritten as problem:
            self._log.error("The report is missing: %s [report-not-written]", problem)
            return str(problem)
        self.report_written = True
        self._log.info("Report with a row for each device: %s", self._report_path)
        return None

    def _fail_for_the_report(self, not_written: str, words: str) -> NoReturn:
        if not self._has_ledger:
            raise ReportLostError(
                f"Rollout complete, but {not_written}.\n{words}\nRetries do not run: without a ledger, a retry or a "
                "clear sends to every device again."
            )
        raise ReportNotWrittenError(
            f"Rollout complete, but {not_written}.\n{words}\nThe next try writes the report again and sends nothing."
        )

    def _name_causes(self, overview: Overview) -> None:
        """Say in the log which devices have not got their command, and why: whoever reads it at night asks first."""
        for cause in overview.causes(CAUSES, NAMED):
            self._log.warning("Not reached: %s [not-reached]", cause.sentence())


def _in_words(summary: Mapping[str, Any]) -> str:
    return (
        f"Of {count(summary['devices'], 'device')}: {summary['sent']:,} sent, {summary['failed']:,} failed, "
        f"{summary['unsettled']:,} without a final status, {summary['not_sent']:,} not sent; "
        f"{count(summary['commands'], 'command')} in {duration(summary['duration'])}."
    )
