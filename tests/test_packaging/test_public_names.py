"""The names that users see, each with its signature. They change on purpose: here, and in the changelog."""

from __future__ import annotations

import importlib
import inspect
from typing import ParamSpec, TypeVar

import pytest

PUBLIC = {
    "airflow_provider_supersim": {
        "get_provider_info": "()",
    },
    "airflow_provider_supersim.hooks.supersim": {
        "SuperSimHook": "(supersim_conn_id='supersim_default')",
        "SuperSimHook.get_connection_form_widgets": "(cls)",
        "SuperSimHook.get_ui_field_behaviour": "(cls)",
        "SuperSimHook.account": "property",
        "SuperSimHook.aget_account": "(self)",
        "SuperSimHook.client": "(self)",
        "SuperSimHook.limit": "(self, *, max_concurrency=None, max_rate=None, share=1)",
        "SuperSimHook.get_conn": "(self)",
        "SuperSimHook.run": "(self, function, *args, **kwargs)",
        "SuperSimHook.raise_if_cancelled": "(self)",
        "SuperSimHook.close": "(self)",
        "SuperSimHook.cancel": "(self)",
        "SuperSimHook.send_ip_command": (
            "(self, sim, payload, device_port, *, payload_type=None, callback_url=None, callback_method=None)"
        ),
        "SuperSimHook.get_ip_command": "(self, sid)",
        "SuperSimHook.iter_ip_commands": "(self, *, sim=None, sim_iccid=None, status=None, direction=None)",
        "SuperSimHook.get_sim": "(self, sid_or_name)",
        "SuperSimHook.iter_sims": "(self, *, fleet=None, status=None)",
        "SuperSimHook.get_fleet": "(self, sid_or_name)",
        "SuperSimHook.iter_fleets": "(self)",
        "SuperSimHook.test_connection": "(self)",
    },
    "airflow_provider_supersim.operators.ip_command": {
        "SuperSimIpCommandOperator": (
            "(*, sim, payload, device_port, payload_type=None, callback_url=None, callback_method=None, "
            "wait_for_completion=True, deferrable=False, poll_interval=5, timeout=300, ledger_path=None, "
            "on_clear='restart', supersim_conn_id='supersim_default', **kwargs)"
        ),
        "SuperSimIpCommandOperator.render_template": "(self, content, context, jinja_env=None, seen_oids=None)",
        "SuperSimIpCommandOperator.execute": "(self, context)",
        "SuperSimIpCommandOperator.execute_complete": "(self, context, event)",
        "SuperSimIpCommandOperator.on_kill": "(self)",
    },
    "airflow_provider_supersim.operators.rollout": {
        "SuperSimRolloutOperator": (
            "(*, payload, device_port, fleet=None, targets=None, targets_path=None, shard=None, "
            "payload_type=None, waves=('100%',), max_failure_ratio=0.1, min_sample=20, attempts=1, "
            "attempt_delay=300, wave_timeout=900, window=None, on_empty='fail', max_concurrency=None, max_rate=None, "
            "ledger_path=None, on_clear='resume', report_path=None, deferrable=False, poll_interval=5, "
            "supersim_conn_id='supersim_default', **kwargs)"
        ),
        "SuperSimRolloutOperator.render_template": "(self, content, context, jinja_env=None, seen_oids=None)",
        "SuperSimRolloutOperator.execute": "(self, context)",
        "SuperSimRolloutOperator.execute_complete": "(self, context, event)",
        "SuperSimRolloutOperator.on_kill": "(self)",
        "SuperSimRolloutOperator.get_openlineage_facets_on_complete": "(self, task_instance)",
        "SuperSimRolloutOperator.get_openlineage_facets_on_failure": "(self, task_instance)",
    },
    "airflow_provider_supersim.sensors.ip_command": {
        "SuperSimIpCommandSensor": (
            "(*, ip_command_sid, deferrable=False, supersim_conn_id='supersim_default', **kwargs)"
        ),
        "SuperSimIpCommandSensor.execute": "(self, context)",
        "SuperSimIpCommandSensor.render_template": "(self, content, context, jinja_env=None, seen_oids=None)",
        "SuperSimIpCommandSensor.resume_execution": "(self, next_method, next_kwargs, context)",
        "SuperSimIpCommandSensor.poke": "(self, context)",
        "SuperSimIpCommandSensor.execute_complete": "(self, context, event)",
    },
    "airflow_provider_supersim.testing": {
        "supersim_simulator_process": "()",
        "supersim_simulator": "(supersim_simulator_process)",
    },
    "airflow_provider_supersim.triggers.ip_command": {
        "SuperSimIpCommandTrigger": (
            "(*, ip_command_sids, supersim_conn_id, poll_interval, deadline, with_commands=True)"
        ),
        "SuperSimIpCommandTrigger.serialize": "(self)",
        "SuperSimIpCommandTrigger.run": "(self)",
    },
}


def surface(module: str) -> dict[str, str]:
    """Return the public names that a module defines, and those of its classes that they define themselves."""
    found: dict[str, str] = {}
    for name, value in vars(importlib.import_module(module)).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module:
            continue
        if isinstance(value, TypeVar | ParamSpec):
            continue
        found[name] = parameters(value)
        if inspect.isclass(value):
            members = {f"{name}.{key}": member for key, member in vars(value).items() if not key.startswith("_")}
            found |= {key: parameters(member) for key, member in members.items() if not constant(member)}
    return found


def constant(member: object) -> bool:
    return not callable(member) and not hasattr(member, "__get__")


def parameters(value: object) -> str:
    """Return a signature without its annotations, which a test of its own checks; of a property its kind."""
    value = getattr(value, "__func__", value)
    value = getattr(value, "_get_wrapped_function", lambda: value)()  # a pytest fixture
    if isinstance(value, property):
        return "property"
    signature = inspect.signature(value)
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    return str(inspect.Signature(bare))


@pytest.mark.parametrize("module", PUBLIC)
def test_the_public_names_are_these(module):
    assert surface(module) == PUBLIC[module]


def test_the_simulator_for_tests_is_exported():
    from airflow_provider_supersim import testing

    exported = {"Simulator", "run_simulator", "supersim_simulator", "supersim_simulator_process"}
    assert set(testing.__all__) == exported
