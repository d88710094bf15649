"""Airflow without a task state store: ``ledger_path`` keeps the ledger; without it the log says that there is none."""

import pytest
from features import airflow_is

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.runs.rollout import PROGRESS_KEY
from airflow_provider_supersim.runs.storage import Storage
from airflow_provider_supersim.runs.stores import ObjectStorageStore

TARGETS = ["device-0001", "device-0002", "device-0003"]


@pytest.mark.skipif(airflow_is("3.3"), reason="this Airflow has a task state store")
def test_without_it_one_line_of_each_tasks_log_says_so(world, new_dag, play, caplog):
    with new_dag(default_args={"deferrable": True, "poll_interval": 0.1}) as dag:
        SuperSimIpCommandOperator(task_id="send", sim="device-0001", payload="x", device_port=4000)
        SuperSimRolloutOperator(task_id="roll_out", targets=TARGETS, payload="x", device_port=4000)
    played = play(dag)

    assert {one.state for one in played.tasks.values()} == {"success"}
    warnings = played.lines("[no-ledger]")
    if airflow_is("3.0"):
        assert len(warnings) in (2, 4)  # one for each task, which dag.test() may log to two places
    else:
        said = [record.name for record in caplog.records if "[no-ledger]" in record.getMessage()]
        assert len(said) == len(set(said)) == 2
    assert played.lines("Not deferring: without a ledger a deferred task forgets what it sent")
    assert played.lines("Deferred, without a worker slot. Waiting: the final status of")


@pytest.mark.skipif(airflow_is("3.3"), reason="this Airflow has a task state store")
def test_without_it_a_retry_sends_nothing(world, new_dag, play):
    world.set_behaviour("device-0001", network="never")
    common = {"payload": "x", "device_port": 4000, "poll_interval": 0.1, "retries": 2}
    with new_dag() as dag:
        SuperSimIpCommandOperator(task_id="send", sim="device-0001", timeout=0.3, **common)
    played = play(dag)

    assert played.tasks["send"].state == "failed"
    first_lines = [words.splitlines()[0] for words in played.tasks["send"].errors]
    assert [line[line.rindex("[") :] for line in first_lines] == ["[not-settled]", "[no-ledger]"]
    assert len(world.commands("device-0001")) == 1


def cleared_dag(new_dag, folder, on_clear):
    with new_dag(default_args={"retries": 1}) as dag:
        SuperSimRolloutOperator(
            task_id="roll_out",
            targets=TARGETS,
            payload="x",
            device_port=4000,
            poll_interval=0.1,
            deferrable=True,
            max_failure_ratio=1,
            ledger_path=str(folder),
            on_clear=on_clear,
        )
    return dag


def clear_and_run(dag, *, running=False):
    """Clear the task with Airflow's own function, and run what it leads to.

    :param running: the task runs while it is cleared
    """
    import airflow.providers.fab.auth_manager.models  # noqa: F401  # the users' table, to which notes of tasks refer
    from airflow.models.dag import _run_task
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session

    with create_session() as session:
        (ti,) = dag.get_last_dagrun(session=session, include_externally_triggered=True).get_task_instances(
            session=session
        )
        ti.task = dag.get_task(ti.task_id)
        if running:
            ti.state, ti.job_id = "running", 1
        clear_task_instances([ti], session, dag=dag)
        session.commit()
        assert (ti.state == "restarting") is running
        ti.try_number += 1
        ti.state = "scheduled"
        _run_task(ti=ti, inline_trigger=True, session=session)
        assert ti.state == "success"


@pytest.mark.skipif(airflow_is("3.0"), reason="a whole Airflow 3 is cleared in the tests of its processes")
@pytest.mark.parametrize(("on_clear", "commands"), [("resume", [1, 2, 1]), ("restart", [2, 2, 2])])
def test_with_it_a_clear_by_hand_is_told_from_a_retry(world, new_dag, play, tmp_path, on_clear, commands):
    world.set_behaviour("device-0001", settle=1)
    world.set_behaviour("device-0002", network="offline")
    dag = cleared_dag(new_dag, tmp_path, on_clear)
    played = play(dag)
    assert played.tasks["roll_out"].state == "success"
    assert played.lines("Deferred, without a worker slot")
    assert [len(world.commands(sim)) for sim in TARGETS] == [1, 1, 1]

    world.set_behaviour("device-0002", network="online")
    clear_and_run(dag)
    assert [len(world.commands(sim)) for sim in TARGETS] == commands


def test_a_rollout_does_not_fail_when_only_its_progress_cannot_be_recorded(world, new_dag, play, tmp_path, monkeypatch):
    write = ObjectStorageStore.set

    def write_all_but_progress(store, key, value):
        if key == PROGRESS_KEY:
            raise OSError("No space left on device")
        write(store, key, value)

    monkeypatch.setattr(ObjectStorageStore, "set", write_all_but_progress)
    with new_dag() as dag:
        SuperSimRolloutOperator(
            task_id="roll_out", targets=TARGETS, payload="x", device_port=4000, ledger_path=str(tmp_path)
        )
    played = play(dag)

    assert played.tasks["roll_out"].state == "success"
    assert played.lines("No space left on device [progress-not-recorded]")
    assert [len(world.commands(sim)) for sim in TARGETS] == [1, 1, 1]


@pytest.mark.skipif(airflow_is("3.0"), reason="a whole Airflow 3 is cleared in the tests of its processes")
def test_a_clear_while_the_task_runs_is_a_retry(world, new_dag, play, tmp_path):
    dag = cleared_dag(new_dag, tmp_path, "restart")
    play(dag)

    clear_and_run(dag, running=True)

    assert [len(world.commands(sim)) for sim in TARGETS] == [1, 1, 1]  # Airflow shows no difference to a retry


def test_a_relative_path_is_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = Storage("ledger_path", "ledgers")
    storage.make_folder(storage.path)

    assert (tmp_path / "ledgers").is_dir()


@pytest.mark.parametrize(
    ("on_clear", "words"), [("resume", "continues with every device"), ("restart", "sends to every device again")]
)
def test_a_halted_rollout_says_what_a_clear_does(world, new_dag, play, tmp_path, on_clear, words):
    world.set_behaviour(TARGETS, network="offline")
    with new_dag() as dag:
        SuperSimRolloutOperator(
            task_id="roll_out",
            targets=TARGETS,
            payload="x",
            device_port=4000,
            poll_interval=0.1,
            min_sample=1,
            ledger_path=str(tmp_path),
            on_clear=on_clear,
        )

    (said,) = play(dag).tasks["roll_out"].errors
    assert said.splitlines()[0].endswith("[rollout-halted]")
    assert words in said
