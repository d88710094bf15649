"""The connection form in the UI of each Airflow: add, save, reopen and test a connection."""

from __future__ import annotations

import pytest
from airflow_ui import SECRETS
from features import airflow_is
from forms import VENDORS, Connections, OlderConnections
from playwright.sync_api import expect

from airflow_provider_supersim.hooks.connection_form import EXTRA_FIELDS, PLACEHOLDERS, older_ui_field_behaviour

FORM_HEIGHT = 1400  # pixels: all of it


@pytest.fixture(scope="module")
def connections(page):
    return Connections(page) if airflow_is("3.0") else OlderConnections(page)


def port_of(fields):
    return fields["host"].rpartition(":")[2]


def add_filled(connections, conn_id, fields):
    form = connections.add(conn_id)
    form.fill(**{name: fields[name] for name in ("host", "login", "password")}, port=port_of(fields), **fields["extra"])
    return form


def test_the_form_says_what_to_fill_in(connections, picture):
    placeholders = PLACEHOLDERS if airflow_is("3.2") else older_ui_field_behaviour()["placeholders"]
    form = connections.add("supersim_default")

    for name in ("host", "login", "password", "port"):
        expect(form.field(name)).to_have_attribute("placeholder", placeholders[name])
    expect(form.field("password")).to_have_attribute("type", "password")
    expect(form.whole.get_by_label("Schema", exact=True).filter(visible=True)).to_have_count(0)
    picture("connection_form", form.whole, height=FORM_HEIGHT)
    if airflow_is("3.0"):
        form.open_section("Extra Fields")
    for name, field in EXTRA_FIELDS.items():
        expect(form.whole.get_by_text(field.label, exact=True)).to_be_visible()
        expect(form.whole.get_by_text(field.help, exact=True)).to_be_visible()
        if not airflow_is("3.0"):
            expect(form.field(name)).to_have_attribute("placeholder", placeholders[name])
    if airflow_is("3.2"):
        expect(form.whole.get_by_text("From host or login", exact=True)).to_be_visible()
    # Before 3.2, the editor of the whole extra, which is folded up, has null for each field that is empty.
    expect(form.whole.get_by_text("null", exact=True).filter(visible=True)).to_have_count(0)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_connection_is_added_changed_and_tested(page, connections, simulator, picture, vendor):
    fields = simulator.connection(vendor)
    conn_id = f"supersim_{vendor}"
    form = add_filled(connections, conn_id, fields)
    if vendor == "kore" and airflow_is("3.3"):
        picture("connection_form_extra", form.whole, height=FORM_HEIGHT)
        form.open_section("Standard Fields")
        picture("connection_form_kore", form.whole, height=FORM_HEIGHT)
    form.save()

    form = connections.reopen(conn_id)
    form.expect_filled(host=fields["host"], login=fields["login"], password=connections.HIDDEN_PASSWORD)
    form.expect_filled(**fields["extra"])
    form.fill(max_concurrency="20")
    form.save()
    assert SECRETS[vendor] not in page.content()

    simulator.forget_requests()
    answer = connections.test(conn_id, fields["password"])

    assert answer["status"] is True, answer  # with the secret, and KORE's auth_url, that the change has left alone
    assert answer["message"].startswith(f"GET /v1/Fleets at {simulator.url} as {fields['login']} ({vendor}) succeeded")
    if vendor == "kore":
        picture("connection_test")
    assert ("GET", "/v1/Fleets") in {(one["method"], one["path"]) for one in simulator.requests()["recent"]}
    connections.reopen(conn_id).expect_filled(max_concurrency="20", **fields["extra"])


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        ("twilio", "GET /v1/Fleets answered 401 (code 20003): Authenticate"),
        ("kore", "POST /api-services/v1/auth/token answered 401"),
    ],
)
def test_a_wrong_secret_is_refused_in_the_vendors_words(connections, simulator, picture, vendor, words):
    conn_id, wrong = f"wrong_{vendor}", "wr0ng"
    add_filled(connections, conn_id, simulator.connection(vendor) | {"password": wrong}).save()

    answer = connections.test(conn_id, wrong)

    assert answer["status"] is False
    assert words in answer["message"]
    if vendor == "twilio":
        picture("connection_test_refused")
