"""What the README shows works as it is written there."""

from __future__ import annotations

import re
import shlex

import pytest
import time_machine

from airflow_provider_supersim.hooks.connection import Account


@pytest.fixture(scope="module")
def readme(checkout) -> str:
    return (checkout / "README.md").read_text()


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)


def test_its_dag_has_ten_lines_at_most(readme, airflow_home):
    from airflow.dag_processing.dagbag import DagBag

    snippets = [block for block in blocks(readme, "python") if "@dag" in block]
    file = airflow_home / "readme_dag.py"
    file.write_text("\n".join(snippets))
    bag = DagBag(file)

    assert bag.import_errors == {}
    assert {task.task_id for dag in bag.dags.values() for task in dag.tasks} == {"send", "rollout"}
    assert bag.dags["report_every_quarter_of_an_hour"].get_task("send").payload == {"report_every": 900}
    assert len([line for line in snippets[0].splitlines() if line]) <= 10


def test_its_environment_variables_are_connections(readme, monkeypatch):
    from airflow.sdk import Connection

    lines = [line for line in readme.splitlines() if line.startswith("export AIRFLOW_CONN_SUPERSIM_DEFAULT=")]
    values = [shlex.split(line)[1].partition("=")[2] for line in lines]
    accounts = [read(Connection.from_json(value, conn_id="supersim_default")) for value in values]

    assert [account.vendor.name for account in accounts] == ["twilio", "kore"]


def test_its_commands_are_airflows_and_give_connections(readme):
    """That such commands work is tested with those of the documentation."""
    from airflow.cli.cli_parser import get_parser
    from airflow.models.connection import Connection

    commands = [shlex.split(line) for line in readme.splitlines() if line.startswith("airflow connections add")]
    vendors = []
    for _, *command in commands:
        given = get_parser().parse_args(command)
        connection = Connection(
            given.conn_id,
            conn_type=given.conn_type,
            login=given.conn_login,
            password=given.conn_password,
            extra=given.conn_extra,
        )
        vendors.append(read(connection).vendor.name)

    assert vendors == ["twilio", "kore"]


def read(connection: object) -> Account:
    return Account.read(connection, connection.extra_dejson)


def test_every_target_that_it_names_is_in_the_makefile(checkout, readme):
    targets = set(re.findall(r"^([a-z]+):.*##", (checkout / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"(?:`|\$ )make ([a-z]+)", readme)) <= targets


def test_every_file_that_it_links_to_is_there(checkout, readme):
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if not link.startswith("https://")]

    assert links
    assert [link for link in links if not (checkout / link).exists()] == []


@pytest.mark.parametrize("dag_id", ["send_one_command", "nightly_reconfiguration"])
def test_the_examples_can_be_imported_without_a_warning(checkout, airflow_home, dag_id):
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(checkout / "dags_examples")
    dag = bag.dags[dag_id]

    assert bag.import_errors == {}
    assert bag.captured_warnings == {}
    assert dag.doc_md.startswith(("Give", "Send"))
    assert dag.tags == {"super-sim", "example"}
    assert dag.params


def test_the_nightly_example_runs_at_night_where_the_devices_are_and_not_before(checkout, airflow_home):
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    timetable = DagBag(checkout / "dags_examples").dags["nightly_reconfiguration"].timetable
    first = {}
    for now in ("2026-07-01T02:59:00+02:00", "2026-07-01T03:01:00+02:00", "2026-12-24T12:00:00+01:00"):
        with time_machine.travel(now, tick=False):
            first[now] = coerce_to_core_timetable(timetable).next_dagrun_info(
                last_automated_data_interval=None, restriction=TimeRestriction(None, None, catchup=False)
            )

    assert [info.run_after.isoformat() for info in first.values()] == [
        "2026-07-01T01:00:00+00:00",
        "2026-07-02T01:00:00+00:00",  # not the one that fell due a minute before: nobody was asked
        "2026-12-25T02:00:00+00:00",
    ]
