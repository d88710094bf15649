"""What the hook returns, in tasks that hand it on to other tasks."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle

import pytest

from airflow_provider_supersim.hooks.supersim import SuperSimHook


def test_a_task_can_return_what_the_hook_returned_and_the_next_one_reads_it(world, new_dag, play):
    """Otherwise the task that has just sent fails when it returns, and its retry sends again."""
    from airflow.providers.common.compat.sdk import task

    with new_dag(default_args={"retries": 1}) as dag:

        @task
        def send():
            return SuperSimHook().send_ip_command("device-0001", "reboot", 4000)

        @task
        def several(command):
            hook = SuperSimHook()
            return {
                "again": [hook.get_ip_command(command["sid"])],
                "sim": hook.get_sim("device-0001"),
                "fleet": hook.get_fleet("lab"),
                "sims": list(hook.iter_sims(fleet="lab")),
                "fleets": list(hook.iter_fleets()),
                "commands": list(hook.iter_ip_commands()),
            }

        @task
        def read(command, found):
            assert (command["sid"], found["sim"]["unique_name"]) == (found["again"][0]["sid"], "device-0001")
            assert {sim["fleet_sid"] for sim in found["sims"]} == {found["fleet"]["sid"]}
            return [command["status"], command["date_created"]]

        command = send()
        read(command, several(command))
    ended = play(dag).tasks
    assert {name: (one.state, one.tries, one.errors) for name, one in ended.items()} == {
        name: ("success", 1, []) for name in ("send", "several", "read")
    }
    (sent,) = world.commands("device-0001")
    pushed = ended["send"].xcom["return_value"]
    assert json.loads(json.dumps(pushed)) == pushed
    assert (pushed["sid"], pushed["status"]) == (sent["sid"], "queued")
    assert ended["read"].xcom["return_value"] == ["queued", pushed["date_created"]]


def test_a_task_can_return_what_a_coroutine_of_the_client_returned(world, new_dag, play):
    from airflow.providers.common.compat.sdk import task

    with new_dag(default_args={"retries": 1}) as dag:

        @task
        def send():
            async def with_client():
                async with SuperSimHook().client() as client:
                    command = await client.send_ip_command("device-0001", "reboot", 4000)
                    return {
                        "command": command,
                        "again": await client.get_ip_command(command.sid),
                        "sim": await client.get_sim("device-0001"),
                        "fleet": await client.get_fleet("lab"),
                        "sims": [sim async for sim in client.iter_sims(fleet="lab")],
                        "fleets": [fleet async for fleet in client.iter_fleets()],
                        "commands": [command async for command in client.iter_ip_commands()],
                    }

            return asyncio.run(with_client())

        @task
        def read(found):
            return [found["command"]["sid"], found["again"]["sid"], found["commands"][0]["sid"], len(found["sims"])]

        read(send())
    ended = play(dag).tasks
    assert {name: (one.state, one.tries, one.errors) for name, one in ended.items()} == {
        name: ("success", 1, []) for name in ("send", "read")
    }
    (sent,) = world.commands("device-0001")
    assert ended["read"].xcom["return_value"] == [*[sent["sid"]] * 3, len(world.sims(fleet="lab"))]


@pytest.mark.usefixtures("world")
def test_a_result_is_a_dict_with_the_fields_as_attributes():
    hook = SuperSimHook()
    command = hook.send_ip_command("device-0001", "reboot", 4000)
    assert isinstance(command, dict)
    assert command == command.to_dict() == json.loads(json.dumps(command))
    assert (command.sid, command.status.settled) == (command["sid"], False)
    assert command.date_created.isoformat() == command["date_created"]
    with pytest.raises(AttributeError, match="stat"):
        command.stat  # noqa: B018
    for again in (pickle.loads(pickle.dumps(command)), copy.deepcopy(command)):
        assert (again, again.date_created) == (command, command.date_created)
    hook.close()
