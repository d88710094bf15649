"""Both dialects against their OpenAPI documents: requests that fit them, and requests that do not."""

from __future__ import annotations

from collections import Counter
from urllib.parse import parse_qs

import pytest
import requests
import schemathesis
import vendor_documents
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from vendor_api import COMMANDS, TOKEN

from airflow_provider_supersim.simulator.api.operations import OPERATIONS

EXAMPLES = 10
"""Requests of each kind to each operation."""

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(params=["twilio", "kore"])
def vendor(request):
    return request.param


@pytest.fixture
def client(request, vendor):
    return request.getfixturevalue(vendor)


@pytest.fixture
def schema(simulator, client, vendor, port):
    """The vendor's document, for a world with commands in every status and direction."""
    simulator.set_behaviour("all", answer="echo")
    simulator.set_behaviour("device-0010", network="offline")
    sids = [client.sent(f"device-00{number}", port=port) for number in range(10, 14)]
    simulator.advance(1)
    sids += [client.sent("device-0011", port=port)]
    sids += [command["sid"] for command in simulator.commands(direction="from_sim")]
    return schemathesis.openapi.from_dict(vendor_documents.document(vendor, sids))


@pytest.fixture
def session():
    with requests.Session() as session:
        session.trust_env = False
        yield session


def operations(schema):
    return [result.ok() for result in schema.get_all_operations()]


def exercise(operation, mode, url, session, headers, judge, examples=EXAMPLES):
    """Send the same requests each time, and check each reply against the document."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case):
        response = case.call(base_url=url, session=session, headers=headers)
        case.validate_response(response, checks=CHECKS)
        judge(case, response)

    one()


def is_in_order(body):
    """Tell whether a form is a command that the API takes. The document allows less, such as shorter payloads."""
    form = parse_qs(body.decode() if isinstance(body, bytes) else body or "", keep_blank_values=True)
    values = {name: value for name, (value, *others) in form.items() if not others}
    size = len(values.get("Payload", "").encode())
    return (
        len(values) == len(form)
        and values.keys() <= {*vendor_documents.COMMAND_FORM["oneOf"][0]["properties"]}
        and values.get("Sim", "").startswith(("device-", "HS"))
        and 0 < size <= (1300 if values.get("PayloadType") == "text" else 1736)
        and 0 < int(values.get("DevicePort", 0)) < 65536
    )


def test_requests_that_fit_are_done_as_documented(simulator, client, schema, session):
    before = len(simulator.commands())
    done = Counter()

    def judge(case, response):
        if response.status_code < 300:
            done[case.method, case.path] += 1
        else:
            assert "PageToken" in case.query, response.text  # the document cannot tell which ones the API gives

    headers = {"Authorization": client.authorization}
    for operation in operations(schema):
        exercise(operation, GenerationMode.POSITIVE, simulator.url, session, headers, judge)
    assert set(done) == {(operation.method.upper(), operation.path) for operation in operations(schema)}
    assert len(simulator.commands()) - before == done["POST", COMMANDS]


def test_requests_that_do_not_fit_are_refused_as_documented(simulator, client, schema, session):
    before = len(simulator.commands())
    in_order = 0

    def judge(case, response):
        nonlocal in_order
        if case.path == TOKEN:
            return  # OAuth has unknown parameters ignored (RFC 6749, 3.2).
        if response.status_code < 400:
            in_order += 1
            assert is_in_order(response.request.body), (response.request.url, response.request.body)

    headers = {"Authorization": client.authorization}
    for operation in operations(schema):
        exercise(operation, GenerationMode.NEGATIVE, simulator.url, session, headers, judge)
    assert len(simulator.commands()) == before + in_order


@pytest.mark.parametrize("word", ["", "Basic", "Bearer", "Digest"])
def test_strangers_are_refused_as_documented(simulator, vendor, schema, session, word):
    simulator.reset(vendor=vendor)
    for operation in operations(schema):
        if operation.path != TOKEN:
            exercise(
                operation,
                GenerationMode.POSITIVE,
                simulator.url,
                session,
                {"Authorization": f"{word} stranger".strip()},
                lambda _case, response: response.status_code in (401, 403) or pytest.fail(response.text),
                examples=1,
            )


def test_the_documents_and_the_simulator_have_the_same_paths(schema):
    assert {operation.path for operation in operations(schema)} - {TOKEN} == set(OPERATIONS)
