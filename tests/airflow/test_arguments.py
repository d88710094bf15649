"""Arguments are read in every form in which a DAG has them, or refused before anything leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator


def send(task_id, **options):
    defaults = {"sim": "device-0001", "payload": "x", "device_port": 4000, "poll_interval": 0.1}
    return SuperSimIpCommandOperator(task_id=task_id, **defaults | options)


def roll_out(task_id, **options):
    defaults = {"payload": "x", "device_port": 4000, "poll_interval": 0.1}
    return SuperSimRolloutOperator(task_id=task_id, **defaults | options)


def test_every_wrong_argument_is_found_before_anything_leaves(world, new_dag, play, tmp_path):
    from airflow.providers.common.compat.sdk import task

    (tmp_path / "rows.csv").write_text("sim\n")
    world.seed(fleets=[{"unique_name": "empty"}])
    with new_dag(default_args={"retries": 1}, params={"rate": 0}) as dag:

        @task
        def nothing():
            return None

        none = nothing()
        send("timeout_none", timeout=None)
        send("timeout_word", timeout="long")
        send("timeout_past", timeout=timedelta(seconds=-1))
        send("poll_interval", poll_interval=0)
        send("deferrable", deferrable="yes")
        send("wait_for_completion", wait_for_completion=None)
        roll_out("max_rate", fleet="lab", max_rate=0)
        roll_out("max_rate_templated", fleet="lab", max_rate="{{ params.rate }}")
        roll_out("max_concurrency", fleet="lab", max_concurrency=0)
        roll_out("device_port", targets=["device-0001", "device-0002"], device_port=70000)
        roll_out("payload_type", targets=["device-0001", "device-0002"], payload_type="hex")
        roll_out("payload", targets=["device-0001", "device-0002"], payload="x" * 1301)
        roll_out("on_empty", fleet="lab", on_empty="no")
        roll_out("targets", targets=none)
        roll_out("fleet", fleet=none)
        roll_out("simm", targets=[{"simm": 1}])
        roll_out("empty_list", targets=[])
        roll_out("empty_fleet", fleet="empty")
        roll_out("empty_file", targets_path=f"{tmp_path}/rows.csv")
    ended = play(dag).tasks
    del ended["nothing"]
    assert {name: (one.state, one.tries) for name, one in ended.items()} == dict.fromkeys(ended, ("failed", 1))
    said = {name: one.errors[0].partition("\n")[0] for name, one in ended.items()}
    words = {name: name for name in ended} | {
        "timeout_none": "timeout must be a number, 0 or more, got None",
        "timeout_word": "timeout must be a number, 0 or more, got 'long'",
        "timeout_past": "timeout must be a number, 0 or more, got -1.0",
        "max_rate_templated": "max_rate must be a number above 0, got '0'",
        "device_port": "device_port must be a whole number from 1 to 65535, got 70000",
        "targets": "targets came as None",
        "fleet": "fleet came as None",
        "simm": "has only 'simm'",
        "empty_list": "targets is an empty list",
        "empty_fleet": "fleet empty has no active or ready SIM",
        "empty_file": "rows.csv has no rows",
    }
    assert {name: said[name] for name in ended if words[name] not in said[name]} == {}
    codes = {name: line.rpartition(" ")[2] for name, line in said.items()}
    others = {name: "[no-targets]" for name in ended if name.startswith("empty")} | {"simm": "[targets-invalid]"}
    assert codes == dict.fromkeys(ended, "[bad-argument]") | others
    assert world.commands() == []


@pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])
def test_numbers_may_be_text_and_seconds_a_timedelta(world, new_dag, play, deferrable):
    world.set_behaviour("device-0009", network="never")
    second = timedelta(seconds=0.2)
    with new_dag(default_args={"deferrable": deferrable}, params={"rate": 50}) as dag:
        send("text", timeout="300", poll_interval="0.1")
        send("overdue", sim="device-0009", timeout=second, poll_interval=second)
        roll_out(
            "rollout",
            fleet="lab",
            max_rate="{{ params.rate }}",
            max_concurrency="10",
            attempt_delay=second,
            wave_timeout=timedelta(minutes=5),
            poll_interval=second,
        )
        roll_out("skipped", targets=[], on_empty="skip")
        roll_out("succeeded", targets=[], on_empty="succeed")
    ended = play(dag).tasks
    assert {name: one.state for name, one in ended.items()} == {
        "text": "success",
        "overdue": "failed",
        "rollout": "success",
        "skipped": "skipped",
        "succeeded": "success",
    }
    assert ended["overdue"].errors[0].splitlines()[0].endswith("[not-settled]")
    assert ended["succeeded"].xcom["return_value"]["devices"] == 0
