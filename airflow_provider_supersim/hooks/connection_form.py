"""The connection form, described once for both ways in which Airflow reads it.

Airflow 3.2+ reads it from the provider info and never imports the hook. Airflow 2.11 to 3.1 call the hook's methods.
This module imports nothing heavy, because every Airflow process reads the provider info when it starts.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class ExtraField(NamedTuple):
    """A field of the connection's *extra*.

    :ivar help: what Airflow 3.2+ shows below the field; it shows no placeholder, so the help says what empty means
    :ivar type: JSON type of the value
    :ivar choices: values and how the form shows them; ``null`` is the empty choice; default: any value
    """

    label: str
    help: str
    type: str
    placeholder: str
    choices: dict[str, str] | None = None


EXTRA_FIELDS: dict[str, ExtraField] = {
    "vendor": ExtraField(
        "Vendor",
        "twilio or kore. Empty: taken from the host, then from a login that begins with AC or SK.",
        "string",
        "twilio",
        {"twilio": "Twilio", "kore": "KORE", "null": "From host or login"},
    ),
    "auth_url": ExtraField(
        "Sign-in URL",
        "Only for KORE: URL of the token endpoint. Empty: KORE's own.",
        "string",
        "https://api.korewireless.com/api-services/v1/auth/token",
    ),
    "timeout": ExtraField(
        "Timeout (s)", "Seconds for a request in all, the whole reply included. Empty: 30.", "number", "30"
    ),
    "max_concurrency": ExtraField(
        "Requests at once",
        "Requests at once, in one process. Fewer while the vendor answers 429. Empty: 100.",
        "integer",
        "100",
    ),
    "max_rate": ExtraField(
        "Commands a second", "IP Commands sent each second, in one process. Empty: no ceiling.", "number", "50"
    ),
    "verify": ExtraField(
        "CA bundle",
        "Path of the CA bundle that checks the host's certificate. Empty: the system's. It cannot be switched off.",
        "string",
        "/etc/ssl/certs/ca-certificates.crt",
    ),
}

#: What the form of Airflow 2 puts before the name of a field of *extra*.
FORM_PREFIX = "extra__supersim__"

HIDDEN_FIELDS = ["schema"]

# A longer label breaks into two lines and moves its field out of the column.
RELABELING = {"host": "Host", "login": "SID or client id", "password": "Auth Token or secret"}

# The form cuts a placeholder off after about 60 characters.
PLACEHOLDERS = {
    "host": "Empty for the vendor's own; simulator: http://127.0.0.1:8025",
    # Shown because the Test button of 3.3.1 and 3.3.2 needs it: https://github.com/apache/airflow/pull/73298.
    "port": "443; only needed for Test in Airflow 3.3.1 and 3.3.2",
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


def older_ui_field_behaviour() -> dict[str, Any]:
    """Return the same for Airflow 2.11 to 3.1, whose Test button does not need the port."""
    return {
        "hidden_fields": HIDDEN_FIELDS,
        "relabeling": RELABELING,
        "placeholders": PLACEHOLDERS | {"port": "443"},
    }


def ui_field_behaviour() -> dict[str, Any]:
    """Return ``ui-field-behaviour`` of the provider info (Airflow 3.2+)."""
    return {"hidden-fields": HIDDEN_FIELDS, "relabeling": RELABELING, "placeholders": PLACEHOLDERS}


def widgets() -> dict[str, Any]:
    """Return the same fields as WTForms widgets (Airflow 2.11 to 3.1). All are text fields: each can be empty."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import StringField

    return {
        name: StringField(field.label, description=field.help, widget=BS3TextFieldWidget())
        for name, field in EXTRA_FIELDS.items()
    }
