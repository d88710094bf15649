"""What people see in Airflow's UI: the connection form and its Test button, the grid of a rollout, its link."""

import re
from urllib.parse import quote

import pytest
from airflow_ui import SCREENSHOTS, SECRETS
from features import airflow_is
from playwright.sync_api import expect

from airflow_provider_supersim.hooks.connection_form import EXTRA_FIELDS, PLACEHOLDERS, RELABELING

pytestmark = pytest.mark.skipif(not airflow_is("3.3"), reason="The UI of Airflow before 3.3 is another one.")

FORM_HEIGHT = 1400  # pixels: all of it
VENDORS = {"twilio": "Twilio", "kore": "KORE"}


class Form:
    """The form of one connection, open in the page."""

    def __init__(self, page):
        self.page = page
        self.dialog = page.get_by_role("dialog")

    def field(self, name):
        if name in EXTRA_FIELDS:
            return self.dialog.locator(f"[name=element_{name}]")
        return self.dialog.get_by_label(RELABELING.get(name, name.title()), exact=True)

    def open_section(self, name):
        heading = self.dialog.get_by_role("button", name=name, exact=True)
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        expect(heading).to_have_attribute("aria-expanded", "true")

    def choose(self, name, option):
        box = self.dialog.get_by_role("combobox", name=name)
        box.fill(option)
        self.page.get_by_role("option", name=option, exact=True).click()

    def save(self):
        self.dialog.get_by_role("button", name="Save").click()
        expect(self.dialog).to_be_hidden()


def add(page, conn_id):
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = Form(page)
    form.dialog.get_by_label("Connection ID").fill(conn_id)
    form.choose("Connection Type", "Super SIM")
    return form


def add_filled(page, conn_id, fields):
    form = add(page, conn_id)
    for name in ("host", "login", "password"):
        form.field(name).fill(fields[name])
    form.field("port").fill(fields["host"].rpartition(":")[2])
    form.open_section("Extra Fields")
    form.choose("Vendor", VENDORS[fields["extra"]["vendor"]])
    if "auth_url" in fields["extra"]:
        form.field("auth_url").fill(fields["extra"]["auth_url"])
    return form


def reopen(page, conn_id):
    row(page, conn_id).get_by_role("button", name="Edit Connection").click()
    return Form(page)


def row(page, conn_id):
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=conn_id, exact=True))


def press_test(page, conn_id):
    """Press the connection's Test button, and return what the server answered."""
    page.goto("/connections")  # without what was said of the last step
    with page.expect_response(re.compile("/connections/test$")) as answered:
        row(page, conn_id).get_by_role("button", name="Test Connection").click()
    return answered.value.json()


def test_the_form_says_what_to_fill_in(page, picture):
    form = add(page, "supersim_default")

    for name in ("host", "login", "password", "port"):
        expect(form.field(name)).to_have_attribute("placeholder", PLACEHOLDERS[name])
    expect(form.field("password")).to_have_attribute("type", "password")
    expect(form.dialog.get_by_label("Schema", exact=True)).to_have_count(0)
    picture("connection_form", form.dialog, height=FORM_HEIGHT)
    form.open_section("Extra Fields")
    for field in EXTRA_FIELDS.values():
        expect(form.dialog.get_by_text(field.label, exact=True)).to_be_visible()
        expect(form.dialog.get_by_text(field.help, exact=True)).to_be_visible()
    expect(form.dialog.get_by_text("From host or login", exact=True)).to_be_visible()
    expect(form.dialog.get_by_text("null", exact=True)).to_have_count(0)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_connection_is_added_changed_and_tested(page, simulator, picture, vendor):
    fields = simulator.connection(vendor)
    conn_id = f"supersim_{vendor}"
    form = add_filled(page, conn_id, fields)
    if vendor == "kore":
        picture("connection_form_extra", form.dialog, height=FORM_HEIGHT)
        form.open_section("Standard Fields")
        picture("connection_form_kore", form.dialog, height=FORM_HEIGHT)
    form.save()

    form = reopen(page, conn_id)
    for name in ("host", "login"):
        expect(form.field(name)).to_have_value(fields[name])
    expect(form.field("password")).to_have_value("***")
    form.open_section("Extra Fields")
    expect(form.dialog.get_by_text(VENDORS[vendor], exact=True)).to_be_visible()
    form.field("max_concurrency").fill("20")
    form.save()
    assert SECRETS[vendor] not in page.content()

    simulator.forget_requests()
    answer = press_test(page, conn_id)

    assert answer["status"] is True  # with the secret, and KORE's auth_url, that the change has left alone
    assert answer["message"].startswith(f"GET /v1/Fleets at {simulator.url} as {fields['login']} ({vendor}) succeeded")
    expect(page.get_by_role("status").filter(has_text="Test Connection Successful")).to_be_visible()
    if vendor == "kore":
        picture("connection_test")
    assert ("GET", "/v1/Fleets") in {(one["method"], one["path"]) for one in simulator.requests()["recent"]}
    extra = reopen(page, conn_id)
    extra.open_section("Extra Fields")
    expect(extra.field("max_concurrency")).to_have_value("20")


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        ("twilio", "GET /v1/Fleets answered 401 (code 20003): Authenticate"),
        ("kore", "POST /api-services/v1/auth/token answered 401"),
    ],
)
def test_a_wrong_secret_is_refused_in_the_vendors_words(page, simulator, picture, vendor, words):
    add_filled(page, f"wrong_{vendor}", simulator.connection(vendor) | {"password": "wr0ng"}).save()

    assert press_test(page, f"wrong_{vendor}")["status"] is False
    expect(page.get_by_role("status").filter(has_text="Test Connection Failed")).to_contain_text(words)
    if vendor == "twilio":
        picture("connection_test_refused")


@pytest.fixture(scope="module")
def run_id(ui, simulator):
    """Run the example, and return the last run; for a picture, with a night on which no device was in reach before."""
    if SCREENSHOTS:
        ui.test_dag("nightly_reconfiguration", report_every=600)
        simulator.set_behaviour("all", network="offline")
        ui.test_dag("nightly_reconfiguration", attempt_delay=0)
        simulator.set_behaviour("all", network="online")
    ui.test_dag("nightly_reconfiguration")
    last = ui.get("dags/nightly_reconfiguration/dagRuns?order_by=-run_after")["dag_runs"][0]
    assert last["state"] == "success"
    return last["dag_run_id"]


def test_airflows_api_has_the_rollouts_link(ui, simulator, run_id):
    found = ui.get(f"dags/nightly_reconfiguration/dagRuns/{quote(run_id)}/taskInstances/rollout/links")

    assert found["extra_links"] == {"IP Commands (API)": f"{simulator.url}/v1/IpCommands"}


def test_a_rollout_is_seen_in_the_grid_with_its_link_and_its_payload(page, simulator, run_id, picture):
    run = f"/dags/nightly_reconfiguration/runs/{quote(run_id)}"

    page.goto(run)
    for task in ("rollout", "summary"):
        line = page.get_by_role("row").filter(has=page.get_by_role("link", name=task, exact=True))
        expect(line).to_contain_text("Success")
    picture("rollout_grid")
    page.goto(f"{run}/tasks/rollout/details")
    link = page.get_by_role("link", name="IP Commands (API)")
    expect(link).to_have_attribute("href", f"{simulator.url}/v1/IpCommands")
    page.goto(f"{run}/tasks/rollout/rendered_templates")
    expect(page.locator("code").filter(has_text='"report_every"')).to_be_visible()
