"""The links that the UI shows with a task: to the API's own addresses of what was sent, in real task instances.

``tests/browser`` sees them in the UI, and asks Airflow's API for them.
"""

import importlib

import pytest
from features import airflow_is

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.runs.links import IP_COMMAND_URL, IpCommandLink

WAITING = pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])
SOON = {"device_port": 4000, "poll_interval": 0.1}


def link_of(task, ended):
    """Return the address that the UI gets: from XCom, or on Airflow 2 from the link itself."""
    (link,) = task.operator_extra_links
    if airflow_is("3.0"):
        return ended[task.task_id].xcom[link.xcom_key]
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.serialization.serialized_objects import SerializedDAG

    (run,) = DagRun.find(dag_id=task.dag_id)
    operator = SerializedDAG.from_dict(SerializedDAG.to_dict(task.dag)).get_task(task.task_id)  # the webserver's
    return link.get_link(operator, ti_key=TaskInstanceKey(task.dag_id, task.task_id, run.run_id))


@WAITING
def test_a_command_is_linked_at_the_address_that_the_api_gave_it(world, new_dag, play, deferrable):
    with new_dag() as dag:
        task = SuperSimIpCommandOperator(task_id="send", sim="device-0001", payload="x", deferrable=deferrable, **SOON)

    ended = play(dag).tasks

    (command,) = world.commands("device-0001")
    assert link_of(task, ended) == f"{world.url}/v1/IpCommands/{command['sid']}" == ended["send"].xcom[IP_COMMAND_URL]


def test_a_rollout_is_linked_with_the_list_of_commands(world, new_dag, play):
    with new_dag() as dag:
        task = SuperSimRolloutOperator(task_id="roll_out", targets=["device-0001"], payload="x", **SOON)

    assert link_of(task, play(dag).tasks) == f"{world.url}/v1/IpCommands"


def test_a_refused_command_has_no_link(world, new_dag, play):
    with new_dag() as dag:
        task = SuperSimIpCommandOperator(task_id="send", sim="nobody", payload="x", **SOON)

    ended = play(dag).tasks

    assert ended["send"].state == "failed"
    assert link_of(task, ended) == ""


def test_a_value_that_is_no_web_address_is_no_link(world, new_dag, play):
    from airflow.providers.common.compat.sdk import BaseOperator

    class Misled(BaseOperator):
        operator_extra_links = (IpCommandLink(),)

        def execute(self, context):
            context["ti"].xcom_push(key=IP_COMMAND_URL, value="javascript:alert(1)")

    with new_dag() as dag:
        task = Misled(task_id="misled")

    assert link_of(task, play(dag).tasks) == ""


def test_airflow_knows_the_links_of_each_operator():
    from airflow.providers_manager import ProvidersManager

    known = ProvidersManager().extra_links_class_names
    for operator in (SuperSimIpCommandOperator, SuperSimRolloutOperator):
        for link in operator.operator_extra_links:
            name = f"{type(link).__module__}.{type(link).__name__}"
            assert name in known
            assert getattr(importlib.import_module(type(link).__module__), type(link).__name__)().name == link.name


def test_the_ui_shows_a_payload_of_dicts_and_lists_as_json(world, new_dag, play):
    with new_dag() as dag:
        SuperSimRolloutOperator(
            task_id="roll_out", targets=["device-0001"], payload={"name": "{{ device.sim }}", "on": True}, **SOON
        )

    assert play(dag).tasks["roll_out"].rendered["payload"] == '{"name": "{{ device.sim }}", "on": true}'


@pytest.mark.parametrize("operator", [SuperSimIpCommandOperator, SuperSimRolloutOperator])
def test_what_is_rendered_as_json_is_templated(operator):
    assert set(operator.template_fields_renderers) <= set(operator.template_fields)
