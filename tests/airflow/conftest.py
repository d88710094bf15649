"""Runs tasks in this process as ``dag.test()`` does, and tells how each of them ended."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import pytest
from features import airflow_is

from airflow_provider_supersim.runs import waiting
from airflow_provider_supersim.triggers import ip_command as trigger

#: These must not appear in any log, XCom, rendered field or error.
SECRETS = {"auth_token": "twilio-T0p-s3cret", "client_secret": "kore-T0p-s3cret"}


class Ended(NamedTuple):
    """How a task instance ended.

    :ivar tries: how many there were
    :ivar errors: the message of each try that failed
    :ivar xcom: all values by key
    """

    state: str
    tries: int
    errors: list[str]
    xcom: dict[str, Any]
    rendered: dict[str, Any]


class Played(NamedTuple):
    """A run that is over: its task instances by name (mapped ones: ``name[index]``), and all that was logged."""

    tasks: dict[str, Ended]
    log: str

    def lines(self, *parts: str) -> list[str]:
        """Return the lines of the log in which all these occur."""
        return [line for line in self.log.splitlines() if all(part in line for part in parts)]


@pytest.fixture
def world(supersim_simulator, monkeypatch):
    """Return a simulator whose commands settle at once, with easily found secrets, and set up a connection to it."""
    supersim_simulator.reset(settle=0.1, **SECRETS)
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_KORE", supersim_simulator.connection_json("kore"))
    return supersim_simulator


@pytest.fixture(autouse=True)
def no_first_seconds(monkeypatch):
    """Let tasks defer at once, and triggers fire at once; return a function that says how long both wait instead."""

    def first_seconds(in_worker: float, in_triggerer: float = 0) -> None:
        monkeypatch.setattr(waiting, "IN_WORKER", in_worker)
        monkeypatch.setattr(waiting, "NOT_BEFORE", in_triggerer)
        monkeypatch.setattr(trigger, "NOT_BEFORE", in_triggerer)

    first_seconds(0)
    return first_seconds


@pytest.fixture
def memory(tmp_path):
    """Return arguments that give a task a ledger: none if Airflow has a task state store."""
    return {} if airflow_is("3.3") else {"ledger_path": str(tmp_path / "ledgers")}


@pytest.fixture
def new_dag(request):
    """Return a function that makes the test's DAG; what its tasks have raised is kept."""
    from airflow.providers.common.compat.sdk import DAG

    def make(**options: Any) -> DAG:
        errors: dict[str, list[str]] = {}

        def keep(context: Mapping[str, Any]) -> None:
            errors.setdefault(_name(context["ti"]), []).append(str(context["exception"]))

        name = "".join(char if char.isalnum() else "_" for char in request.node.name)
        callbacks = {"on_failure_callback": keep, "on_retry_callback": keep, "retry_delay": 0.01}
        dag = DAG(name, schedule=None, default_args=callbacks | options.pop("default_args", {}), **options)
        dag.errors = errors
        return dag

    return make


@pytest.fixture
def callbacks_called(monkeypatch):
    """Make ``dag.test()`` of Airflow 3.0 to 3.2 call a task's callbacks, as workers and all other versions do."""
    if not airflow_is("3.0") or airflow_is("3.3"):
        return
    from airflow.sdk.execution_time import supervisor

    run = supervisor.run_task_in_process

    def run_and_call(ti, task):
        result = run(ti, task)
        if result.error:
            retried = str(result.ti.state) == "up_for_retry"
            callbacks = result.ti.task.on_retry_callback if retried else result.ti.task.on_failure_callback
            for callback in callbacks:
                callback({"ti": result.ti, "exception": result.error})
        return result

    monkeypatch.setattr(supervisor, "run_task_in_process", run_and_call)


@pytest.fixture
def play(run_dag, callbacks_called, capfd, caplog):
    """Return a function that runs a DAG and returns a :class:`Played`."""

    def run(dag) -> Played:
        from airflow.models.renderedtifields import RenderedTaskInstanceFields
        from airflow.utils.session import create_session

        try:
            from airflow.models.xcom import XComModel

            read = XComModel.deserialize_value
        except ImportError:  # Airflow 2
            from airflow.models.xcom import XCom as XComModel

            read = attrgetter("value")

        capfd.readouterr()
        caplog.clear()
        caplog.set_level("INFO", "airflow_provider_supersim")
        dag_run = run_dag(dag)
        log = capfd.readouterr()
        with create_session() as session:
            tasks = {}
            for ti in dag_run.get_task_instances(session=session):
                xcoms = session.query(XComModel).filter_by(
                    dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index
                )
                tasks[_name(ti)] = Ended(
                    str(ti.state),
                    ti.try_number,
                    dag.errors.get(_name(ti), []),
                    {xcom.key: read(xcom) for xcom in xcoms},
                    RenderedTaskInstanceFields.get_templated_fields(ti, session=session) or {},
                )
        return Played(tasks, log.out + log.err + caplog.text)

    return run


def _name(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
