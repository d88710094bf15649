"""The connection form as people use it: the one of Airflow 3, and the one of Airflow 2."""

from __future__ import annotations

import re
from typing import Any

from features import airflow_is
from playwright.sync_api import Locator, Page, expect

from airflow_provider_supersim.hooks.connection_form import EXTRA_FIELDS, FORM_PREFIX, RELABELING

VENDORS = {"twilio": "Twilio", "kore": "KORE"}


class Form:
    """The form of one connection in Airflow 3, open in the page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.whole = page.get_by_role("dialog")

    def field(self, name: str) -> Locator:
        if name in EXTRA_FIELDS:
            return self.whole.locator(f"[name=element_{name}]")
        if name == "port":
            return self.whole.locator("[name=port]")  # the label is "Port" or "port"
        return self.whole.get_by_label(RELABELING.get(name, name.title()), exact=True)

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            if name in EXTRA_FIELDS:
                self.open_section("Extra Fields")
            if name == "vendor" and airflow_is("3.2"):
                self.choose("Vendor", VENDORS[value])
            else:
                self.field(name).fill(value)

    def expect_filled(self, **values: str) -> None:
        for name, value in values.items():
            if name in EXTRA_FIELDS:
                self.open_section("Extra Fields")
            if name == "vendor" and airflow_is("3.2"):
                expect(self.whole.get_by_text(VENDORS[value], exact=True)).to_be_visible()
            else:
                expect(self.field(name)).to_have_value(value)

    def open_section(self, name: str) -> None:
        heading = self.whole.get_by_role("button", name=name, exact=True)
        if heading.get_attribute("aria-expanded") != "true":
            heading.click()
        expect(heading).to_have_attribute("aria-expanded", "true")

    def choose(self, name: str, option: str) -> None:
        box = self.whole.get_by_role("combobox", name=name)
        box.fill(option)
        self.page.get_by_role("option", name=option, exact=True).click()

    def save(self) -> None:
        self.whole.get_by_role("button", name="Save").click()
        expect(self.whole).to_be_hidden()


class Connections:
    """The page of all connections in Airflow 3."""

    HIDDEN_PASSWORD = "***"

    def __init__(self, page: Page) -> None:
        self.page = page

    def add(self, conn_id: str) -> Form:
        self.page.goto("/connections")
        self.page.get_by_role("button", name="Add Connection").click()
        form = Form(self.page)
        form.whole.get_by_label("Connection ID").fill(conn_id)
        form.choose("Connection Type", "Super SIM")
        return form

    def reopen(self, conn_id: str) -> Form:
        self.page.goto("/connections")
        self._row(conn_id).get_by_role("button", name="Edit Connection").click()
        return Form(self.page)

    def test(self, conn_id: str, password: str) -> dict[str, Any]:
        """Press the connection's Test button, and return what the server answered, which must be shown too.

        :param password: for Airflow 2, whose form does not keep it
        """
        self.page.goto("/connections")  # without what was said of the last step
        with self.page.expect_response(re.compile("/connections/test$")) as answered:
            self._row(conn_id).get_by_role("button", name="Test Connection").click()
        answer = answered.value.json()
        shown = self.page.get_by_role("status")
        if answer["status"]:
            expect(shown.filter(has_text="Test Connection Successful")).to_be_visible()
        else:
            expect(shown.filter(has_text="Test Connection Failed")).to_contain_text(answer["message"])
        return answer

    def _row(self, conn_id: str) -> Locator:
        cell = self.page.get_by_role("cell", name=conn_id, exact=True)
        return self.page.get_by_role("row").filter(has=cell)


class OlderForm:
    """The form of one connection in Airflow 2, which is a page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.whole = page.locator("#model_form")

    def field(self, name: str) -> Locator:
        return self.whole.locator(f"#{FORM_PREFIX if name in EXTRA_FIELDS else ''}{name}")

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.field(name).fill(value)

    def expect_filled(self, **values: str) -> None:
        for name, value in values.items():
            expect(self.field(name)).to_have_value(value)

    def save(self) -> None:
        """Save, and see that Airflow leads on to another page: it shows a form with an error again.

        It may lead to the last form, whose script writes over "Added Row" as soon as the page is read. So that is no
        sign to wait for.
        """
        with self.page.expect_navigation() as shown:
            self.whole.locator("button[type=submit]").click()
        assert shown.value.request.redirected_from

    def test(self) -> dict[str, Any]:
        with self.page.expect_response(re.compile("/connections/test$")) as answered:
            self.page.locator("#test-connection").click()
        answer = answered.value.json()
        expect(self.page.locator(".alert").first).to_contain_text(answer["message"])
        return answer


class OlderConnections:
    """The page of all connections in Airflow 2."""

    HIDDEN_PASSWORD = ""

    def __init__(self, page: Page) -> None:
        self.page = page

    def add(self, conn_id: str) -> OlderForm:
        self.page.goto("/connection/add")
        form = OlderForm(self.page)
        form.fill(conn_id=conn_id)
        self.page.locator("[aria-labelledby=select2-conn_type-container]").click()
        self.page.locator(".select2-results__option", has_text="Super SIM").click()
        return form

    def reopen(self, conn_id: str) -> OlderForm:
        self.page.goto("/connection/list/")
        self.page.get_by_role("row").filter(has_text=conn_id).locator("a[href*='/connection/edit/']").click()
        return OlderForm(self.page)

    def test(self, conn_id: str, password: str) -> dict[str, Any]:
        form = self.reopen(conn_id)
        form.fill(password=password)
        return form.test()
