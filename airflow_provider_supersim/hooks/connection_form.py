"""The connection form, described once for both ways in which Airflow reads it.

Airflow 3.2+ takes it from the provider info and never imports the hook; 2.11 to 3.1 call the hook's methods. Nothing
heavy is imported here: the provider info is read at every start of every Airflow process.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ExtraField(NamedTuple):
    """A field of the connection's *extra*.

    :ivar help: what Airflow 3.2+ shows below the field; it shows no placeholder, so this says what empty means
    :ivar choices: what may be chosen, and how it is shown; ``null`` is the empty choice, else shown as "null"
    """

    label: str
    help: str
    type: str
    placeholder: str
    choices: dict[str, str] | None = None


EXTRA_FIELDS: dict[str, ExtraField] = {
    "vendor": ExtraField(
        "Vendor",
        "twilio or kore. Empty: told from the host, then from a login that begins with AC or SK.",
        "string",
        "twilio",
        {"twilio": "Twilio", "kore": "KORE", "null": "Told from host or login"},
    ),
    "auth_url": ExtraField(
        "Sign-in URL",
        "Only for KORE: where access tokens come from. Empty: KORE's own.",
        "string",
        "https://api.korewireless.com/api-services/v1/auth/token",
    ),
    "timeout": ExtraField(
        "Timeout (s)", "Seconds to wait for a connection, and again for the reply. Empty: 30.", "number", "30"
    ),
    "max_concurrency": ExtraField(
        "Requests at once",
        "Most requests under way at once in one process. Fewer when the vendor answers 429. Empty: 100.",
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

HIDDEN_FIELDS = ["schema"]

# Longer ones break into two lines, and push their field out of the column.
RELABELING = {"host": "Host", "login": "SID or client id", "password": "Auth Token or secret"}

# Cut off where the field ends: about 60 characters.
PLACEHOLDERS = {
    "host": "Empty for the vendor's own; simulator: http://127.0.0.1:8025",
    # Not hidden, for there the Test button refuses a connection without a port: github.com/apache/airflow/pull/73298.
    "port": "443; needed for Test in Airflow 3.3.1 and 3.3.2 alone",
    "login": "Twilio: Account SID AC… or API Key SK…; KORE: client id",
    "password": "Twilio: Auth Token or API Key secret; KORE: client secret",
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
                **(_choice(field.choices) if field.choices else {}),
            },
        }
        for name, field in EXTRA_FIELDS.items()
    }


def _choice(choices: dict[str, str]) -> dict[str, Any]:
    return {"enum": [None if value == "null" else value for value in choices], "values_display": choices}


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
