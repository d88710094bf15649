"""What people see of a rollout in Airflow's UI: the grid, its link, its payload."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from airflow_ui import SCREENSHOTS
from features import airflow_is
from playwright.sync_api import expect

pytestmark = pytest.mark.skipif(not airflow_is("3.3"), reason="The UI of Airflow before 3.3 is another one.")


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
