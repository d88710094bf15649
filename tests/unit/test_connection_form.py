"""The connection form says the same in both of Airflow's ways, and has a field for all that is read."""

from __future__ import annotations

import importlib.util

import pytest

from airflow_provider_supersim import get_provider_info
from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.hooks.connection import Account
from airflow_provider_supersim.hooks.connection_form import EXTRA_FIELDS, PLACEHOLDERS
from airflow_provider_supersim.hooks.supersim import SuperSimHook

(CONNECTION_TYPE,) = get_provider_info()["connection-types"]
EXAMPLES = {"vendor": "kore", "auth_url": "https://x.example/token", "timeout": 5, "max_concurrency": 7, "max_rate": 2}


def test_the_connection_type_is_the_hooks():
    assert CONNECTION_TYPE["connection-type"] == SuperSimHook.conn_type
    assert CONNECTION_TYPE["hook-name"] == SuperSimHook.hook_name
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is SuperSimHook


def test_all_that_is_read_from_extra_has_a_field_and_the_other_way_round():
    class Fields:
        conn_id, host, login, password, port, schema = "c", None, "client", "secret", None, None

    account = Account.read(Fields(), EXAMPLES)
    assert account.max_rate == 2
    assert {*EXAMPLES, "verify"} == set(EXTRA_FIELDS)


@pytest.mark.parametrize("field", EXTRA_FIELDS)
def test_each_field_has_label_help_type_and_placeholder(field):
    shown = CONNECTION_TYPE["conn-fields"][field]
    assert shown["label"]
    assert shown["description"].endswith(".")
    assert shown["schema"]["type"][1] == "null"  # every one may be left empty
    assert PLACEHOLDERS[field]


def test_a_choice_may_be_left_empty():
    schema = CONNECTION_TYPE["conn-fields"]["vendor"]["schema"]
    assert (schema["type"], schema["enum"]) == (["string", "null"], ["twilio", "kore", None])
    assert schema["values_display"]["null"] == "From host or login"  # else the form says "null"


def test_the_older_forms_methods_say_the_same():
    shown = CONNECTION_TYPE["ui-field-behaviour"]
    assert SuperSimHook.get_ui_field_behaviour() == {
        "hidden_fields": shown["hidden-fields"],
        "relabeling": shown["relabeling"],
        "placeholders": shown["placeholders"] | {"port": "443"},
    }


def test_the_port_has_a_field():
    # Airflow 3.3.1 and 3.3.2 have the Test button send port 0 for none, and refuse it as another connection's.
    assert "port" not in CONNECTION_TYPE["ui-field-behaviour"]["hidden-fields"]


def test_the_secret_is_in_password_which_airflow_masks():
    assert CONNECTION_TYPE["ui-field-behaviour"]["relabeling"]["password"] == "Auth Token or secret"
    assert not any("secret" in name or name == "token" for name in EXTRA_FIELDS)


@pytest.mark.skipif(importlib.util.find_spec("flask_appbuilder") is None, reason="Airflow before 3.2 alone has it")
def test_the_older_forms_widgets_are_the_same_fields():
    assert set(SuperSimHook.get_connection_form_widgets()) == set(EXTRA_FIELDS)


def account_of(extra):
    class Fields:
        conn_id, host, login, password, port, schema = "c", None, "client", "secret", None, None

    return Account.read(Fields(), extra)


def test_a_field_that_the_older_form_posts_twice_counts_once():
    twice = EXAMPLES | {f"extra__supersim__{name}": str(value) for name, value in EXAMPLES.items()}
    assert account_of(twice) == account_of(EXAMPLES)


def test_a_field_that_the_older_form_posts_under_its_long_name_is_read():
    assert account_of({"extra__supersim__vendor": "kore", "extra__supersim__timeout": ""}) == account_of(
        {"vendor": "kore"}
    )


def test_an_unknown_field_is_refused_under_its_long_name_too():
    with pytest.raises(BadInputError, match="venndor"):
        account_of({"vendor": "kore", "extra__supersim__venndor": "kore"})


def test_only_the_versions_that_need_the_port_are_told_so():
    assert "3.3.1" in CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]["port"]
    assert "3.3" not in SuperSimHook.get_ui_field_behaviour()["placeholders"]["port"]
