"""Airflow's own UI in a real browser, beside a simulator.

The pictures of the documentation are taken on the way, if asked for::

    SUPERSIM_SCREENSHOTS=1 pytest tests/browser
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from airflow_ui import CHECKOUT, PASSWORD, SCREENSHOTS, SECRETS, Ui, run_ui
from features import airflow_is
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from airflow_provider_supersim.testing import Simulator, run_simulator

WIDTH, HEIGHT = 1080, 560  # pixels: wide enough for a row of the connections, and for the grid beside a run
SEEN_WITHIN = 600_000.0  # milliseconds; the first page takes five seconds on a quiet machine

# Chromium has no sandbox as root or in a container. It must load nothing but the page under test.
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with run_simulator(settle=0.1, auth_token=SECRETS["twilio"], client_secret=SECRETS["kore"]) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def ui(simulator: Simulator, migrated_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    with run_ui(tmp_path_factory.mktemp("airflow_ui"), migrated_db, simulator) as ui:
        yield ui


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None:
        pytest.skip("No Chromium is installed here (Debian's package: chromium), and these tests need one.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(browser: Browser, ui: Ui) -> Page:
    """Return a page whose user may do all."""
    expect.set_options(timeout=SEEN_WITHIN)
    page = browser.new_page(base_url=ui.url, viewport={"width": WIDTH, "height": HEIGHT}, locale="en-GB")
    page.set_default_timeout(SEEN_WITHIN)
    page.add_init_script(
        "localStorage.setItem('react-resizable-panels:grid-ltr',"
        """ '{"details-panel,main-panel":{"expandToSizes":{},"layout":[33,67]}}')"""
    )
    page.goto("/")
    if airflow_is("3.0"):  # Airflow 2 is set up to ask no one
        page.get_by_label("Username").fill("admin")
        page.locator("input[type=password]").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name=re.compile("^dags$", re.IGNORECASE))).to_be_visible()
    return page


@pytest.fixture(scope="module")
def picture(page: Page) -> Callable[..., None]:
    """Return a function that saves a picture for the documentation, if asked for."""

    def take(name: str, of: Page | Locator = page, *, height: int = HEIGHT) -> None:
        if SCREENSHOTS:
            page.set_viewport_size({"width": WIDTH, "height": height})
            of.screenshot(path=CHECKOUT / "docs" / "images" / f"{name}.png", animations="disabled")
            page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    return take
