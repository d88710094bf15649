"""What the vendors document of the API, as OpenAPI: one document for each dialect.

Sources: https://www.twilio.com/docs/iot/supersim/api, and ``kore-supersim-v1`` with ``kore_token_api_v1`` of
https://github.com/korewireless/kore-openapi. Two things differ from the vendors' own: the refusals are described too,
and every field is required, because the simulator writes them all. A path names what is in the simulator's world, and a
filter often does.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NULLABLE_TEXT: Schema = {"type": "string", "nullable": True}
BOOLEAN: Schema = {"type": "boolean"}
INTEGER: Schema = {"type": "integer"}
DATE: Schema = {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"}
METHOD: Schema = {"type": "string", "enum": ["GET", "POST"]}
URI: Schema = {"type": "string", "format": "uri"}
STATUS: Schema = {"type": "string", "enum": ["queued", "sent", "received", "failed"]}
DIRECTION: Schema = {"type": "string", "enum": ["to_sim", "from_sim"]}
SIM_STATUS: Schema = {"type": "string", "enum": ["new", "ready", "active", "inactive", "scheduled"]}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}

#: Names of SIMs that take commands, and of Fleets.
SIM_NAME: Schema = {"type": "string", "pattern": "^device-(00[1-9][0-9]|01[0-9]{2})$"}
FLEET_NAME: Schema = {"type": "string", "enum": ["field-devices", "lab", "data-disabled"]}


def sid(prefix: str) -> Schema:
    return {"type": "string", "pattern": f"^{prefix}[0-9a-fA-F]{{32}}$"}


def nullable(schema: Schema) -> Schema:
    return {**schema, "nullable": True}


def fields(properties: dict[str, Schema]) -> Schema:
    """An object with all of these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


DATED = {"date_created": DATE, "date_updated": DATE, "url": URI}
COMMAND = fields(
    {
        "sid": sid("HG"),
        "account_sid": sid("AC"),
        "sim_sid": sid("HS"),
        "sim_iccid": TEXT,
        "status": STATUS,
        "direction": DIRECTION,
        "device_ip": NULLABLE_TEXT,
        "device_port": PORT,
        "payload_type": {"type": "string", "enum": ["text", "binary"]},
        "payload": TEXT,
        **DATED,
    }
)
SIM = fields(
    {
        "sid": sid("HS"),
        "unique_name": NULLABLE_TEXT,
        "account_sid": sid("AC"),
        "iccid": TEXT,
        "status": SIM_STATUS,
        "fleet_sid": nullable(sid("HF")),
        "links": fields({"billing_periods": URI, "sim_ip_addresses": URI}),
        **DATED,
    }
)
FLEET = fields(
    {
        "sid": sid("HF"),
        "unique_name": NULLABLE_TEXT,
        "account_sid": sid("AC"),
        "data_enabled": BOOLEAN,
        "data_limit": INTEGER,
        "data_metering": {"type": "string", "enum": ["payg"]},
        "ip_commands_url": nullable(URI),
        "ip_commands_method": METHOD,
        "sms_commands_enabled": BOOLEAN,
        "sms_commands_url": nullable(URI),
        "sms_commands_method": METHOD,
        "network_access_profile_sid": sid("HA"),
        **DATED,
    }
)
ADDRESS = fields({"ip_address": TEXT, "ip_address_version": {"type": "string", "enum": ["IPv4", "IPv6"]}})
BILLING_PERIOD = fields(
    {
        "sid": sid("HB"),
        "account_sid": sid("AC"),
        "sim_sid": sid("HS"),
        "start_time": DATE,
        "end_time": nullable(DATE),
        "period_type": {"type": "string", "enum": ["ready", "active"]},
        "date_created": DATE,
        "date_updated": DATE,
    }
)
REFUSAL = fields({"code": INTEGER, "message": TEXT, "more_info": URI, "status": INTEGER})

#: A form for each way to write a payload. At most 1300 bytes reach the device.
COMMAND_FORM: Schema = {
    "oneOf": [
        {
            "type": "object",
            "properties": {
                "Sim": SIM_NAME,
                "Payload": payload,
                "DevicePort": PORT,
                "PayloadType": {"type": "string", "enum": [payload_type]},
                "CallbackUrl": {"type": "string", "pattern": "^http://127[.]0[.]0[.]1:9/[a-z?=%2F]{0,20}$"},
                "CallbackMethod": METHOD,
            },
            "required": ["Sim", "Payload", "DevicePort", "PayloadType"],
            "additionalProperties": False,
        }
        for payload_type, payload in (
            ("text", {"type": "string", "minLength": 1, "maxLength": 325}),
            ("binary", {"type": "string", "pattern": "^([A-Za-z0-9+/]{4}){1,100}$"}),
        )
    ]
}


def document(vendor: str, commands: list[str]) -> Schema:
    """Return a vendor's document.

    :param commands: sids of commands that are there.
    """
    paths = {
        "/v1/IpCommands": {
            "get": listing(
                "ip_commands",
                COMMAND,
                100 if vendor == "kore" else 1000,
                {"Sim": either(SIM_NAME), "SimIccid": TEXT, "Status": STATUS, "Direction": DIRECTION},
            ),
            "post": {
                "requestBody": form(COMMAND_FORM),
                "responses": {"201": answer(COMMAND), "400": answer(REFUSAL), "404": answer(REFUSAL)},
            },
        },
        "/v1/IpCommands/{Sid}": {"get": single(COMMAND, {"type": "string", "enum": commands})},
        "/v1/Sims": {
            "get": listing("sims", SIM, 1000, {"Status": SIM_STATUS, "Fleet": either(FLEET_NAME), "Iccid": TEXT})
        },
        "/v1/Sims/{Sid}": {"get": single(SIM, SIM_NAME)},
        "/v1/Sims/{Sid}/BillingPeriods": {"get": listing("billing_periods", BILLING_PERIOD, 1000, {}, of=SIM_NAME)},
        "/v1/Sims/{Sid}/IpAddresses": {"get": listing("ip_addresses", ADDRESS, 1000, {}, of=SIM_NAME)},
        "/v1/Fleets": {"get": listing("fleets", FLEET, 1000, {"NetworkAccessProfile": either(sid("HA"))})},
        "/v1/Fleets/{Sid}": {"get": single(FLEET, FLEET_NAME)},
    }
    stranger, refusal = {
        "twilio": ("401", REFUSAL),
        "kore": ("403", fields({"message": TEXT, "error": TEXT})),
    }[vendor]
    for operations in paths.values():
        for operation in operations.values():
            operation["responses"][stranger] = answer(refusal)
    if vendor == "kore":
        paths["/api-services/v1/auth/token"] = {"post": token()}
    return {"openapi": "3.0.3", "info": {"title": f"Super SIM of {vendor}", "version": "1"}, "paths": paths}


def token() -> Schema:
    granted = fields({"access_token": TEXT, "expires_in": INTEGER, "token_type": {"enum": ["Bearer"]}, "scope": TEXT})
    properties = {
        name: {"type": "string", "enum": [value]}
        for name, value in (
            ("grant_type", "client_credentials"),
            ("client_id", "simulator"),
            ("client_secret", "simulator"),
        )
    }
    refused = {"code": INTEGER, "message": TEXT}
    return {
        "requestBody": form(fields(properties)),
        "responses": {
            "200": answer(granted),
            "400": answer({"type": "object", "properties": refused, "required": list(refused)}),
            "401": answer(fields({"error": TEXT, "error_description": TEXT})),
        },
    }


def listing(key: str, item: Schema, largest: int, filters: dict[str, Schema], *, of: Schema | None = None) -> Schema:
    meta = {
        "key": {"type": "string", "enum": [key]},
        "page": INTEGER,
        "page_size": {"type": "integer", "minimum": 1, "maximum": largest},
        "url": URI,
        "first_page_url": URI,
        "previous_page_url": nullable(URI),
        "next_page_url": nullable(URI),
    }
    query = {
        **filters,
        "PageSize": {"type": "integer", "minimum": 1, "maximum": largest},
        "Page": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "PageToken": {"type": "string"},
    }
    page = fields({key: {"type": "array", "items": item, "maxItems": largest}, "meta": fields(meta)})
    found = {"404": answer(REFUSAL)} if of else {}
    return {
        "parameters": [
            *([in_path(of)] if of else []),
            *({"name": name, "in": "query", "schema": schema} for name, schema in query.items()),
        ],
        "responses": {"200": answer(page), "400": answer(REFUSAL), **found},
    }


def single(resource: Schema, key: Schema) -> Schema:
    responses = {"200": answer(resource), "400": answer(REFUSAL), "404": answer(REFUSAL)}
    return {"parameters": [in_path(key)], "responses": responses}


def in_path(schema: Schema) -> Schema:
    return {"name": "Sid", "in": "path", "required": True, "schema": schema}


def either(likely: Schema) -> Schema:
    return {"anyOf": [likely, TEXT]}


def form(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/x-www-form-urlencoded": {"schema": schema}}}


def answer(schema: Schema) -> Schema:
    return {"description": "", "content": {"application/json": {"schema": schema}}}
