"""What users may get wrong. Each line that says so must be an error to mypy and to pyright; nothing else may be one."""

from __future__ import annotations

from airflow_provider_supersim.api.models import Sim
from airflow_provider_supersim.hooks.supersim import SuperSimHook
from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator
from airflow_provider_supersim.sensors.ip_command import SuperSimIpCommandSensor
from airflow_provider_supersim.triggers.ip_command import SuperSimIpCommandTrigger

hook = SuperSimHook(7)  # wrong
hook.send_ip_command("device-0001", 3.5, 4000)  # wrong
hook.send_ip_command("device-0001", "x")  # wrong
hook.get_ip_command(None)  # wrong
sim: Sim = hook.get_fleet("field-devices")  # wrong
print(hook.get_sim("device-0001").uniqe_name)  # wrong

SuperSimIpCommandOperator(task_id="sim", sim=7, payload="x", device_port=4000)  # wrong
SuperSimIpCommandOperator(task_id="payload", sim="x", payload=object(), device_port=4000)  # wrong
SuperSimIpCommandOperator(task_id="timeout", sim="x", payload="x", device_port=4000, timeout="long")  # wrong
SuperSimRolloutOperator(task_id="waves", fleet="x", payload="x", device_port=4000, waves=7)  # wrong
SuperSimRolloutOperator(task_id="port", fleet="x", payload="x")  # wrong
SuperSimIpCommandSensor(task_id="sid", ip_command_sid=7)  # wrong
SuperSimIpCommandTrigger(ip_command_sids=["HG0"])  # wrong
