"""Tells Airflow which words its logs and its UI must not show, beside the password of the connection."""

from __future__ import annotations

from threading import Lock
from urllib.parse import unquote, urlsplit

from airflow.providers.common.compat.sdk import mask_secret

#: Under ``dag.test()`` Airflow answers in this process, and two threads must not ask at once.
ONE_AT_A_TIME = Lock()


def mask(secret: str) -> None:
    """Let Airflow write ``***`` in place of a secret."""
    with ONE_AT_A_TIME:
        mask_secret(secret)


def mask_password(url: object) -> None:
    """Let Airflow write ``***`` in place of a URL's password, if it has one.

    :param url: anything; what is no URL has no password
    """
    try:
        password = urlsplit(url).password if isinstance(url, str) else None
    except ValueError:
        return
    for secret in {password, unquote(password)} if password else ():
        mask(secret)
