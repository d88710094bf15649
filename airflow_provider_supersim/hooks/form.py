"""The connection form, described once for both ways in which Airflow reads it.

Airflow 3.2+ takes it from the provider info and never imports the hook; 2.11 to 3.1 call the hook's methods. Nothing
heavy is imported here: the provider info is read at every start of every Airflow process.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ExtraField(NamedTuple):
    """A field of the connection's *extra*."""

    label: str
    help: str
    type: str
    placeholder: str
    enum: list[str] | None = None


EXTRA_FIELDS: dict[str, ExtraField] = {
    "vendor": ExtraField(
        "Vendor",
        "twilio or kore. Empty: told from the host, then from a login that begins with AC or SK.",
        "string",
        "twilio",
        ["twilio", "kore"],
    ),
    "token_url": ExtraField(
        "Token URL",
        "Only for KORE: where access tokens come from. Empty: KORE's own.",
        "string",
        "https://api.korewireless.com/api-services/v1/auth/token",
    ),
    "timeout": ExtraField("Timeout (s)", "Seconds to wait for a connection, and again for the reply.", "number", "30"),
    "max_concurrency": ExtraField(
        "Requests at once",
        "Most requests under way at once in one process. It adapts downwards when the vendor answers 429.",
        "integer",
        "100",
    ),
    "max_rate": ExtraField(
        "Commands a second", "Most IP Commands sent in a second by one process. Empty: no ceiling.", "number", "50"
    ),
    "verify": ExtraField(
        "CA bundle",
        "Path of a CA bundle to check the host's certificate with. Empty: the system's. It cannot be switched off.",
        "string",
        "/etc/ssl/certs/ca-certificates.crt",
    ),
}

HIDDEN_FIELDS = ["schema", "port"]

RELABELING = {"host": "Host", "login": "Account SID, API Key SID or client id", "password": "Auth Token or secret"}

PLACEHOLDERS = {
    "host": "Empty for the vendor's own; or a URL such as http://127.0.0.1:8025 for a simulator",
    "login": "Twilio: AC… or SK…   KORE: the client id",
    "password": "Twilio: the Auth Token or the API Key's secret   KORE: the client secret",
    **{name: field.placeholder for name, field in EXTRA_FIELDS.items()},
}


def conn_fields() -> dict[str, Any]:
    """Return ``conn-fields`` of the provider info (Airflow 3.2+)."""
    return {
        name: {
            "label": field.label,
            "description": field.help,
            "schema": {
                "type": [field.type, "null"],
                **({"enum": [*field.enum, None]} if field.enum else {}),
            },
        }
        for name, field in EXTRA_FIELDS.items()
    }


def ui_field_behaviour() -> dict[str, Any]:
    """Return ``ui-field-behaviour`` of the provider info (Airflow 3.2+)."""
    return {"hidden-fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


def widgets() -> dict[str, Any]:
    """Return the same fields as WTForms widgets (Airflow 2.11 to 3.1). All are text fields: empty must be possible."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import StringField

    return {
        name: StringField(field.label, description=field.help, widget=BS3TextFieldWidget())
        for name, field in EXTRA_FIELDS.items()
    }
