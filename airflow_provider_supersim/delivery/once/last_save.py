"""The last write of a try."""

from __future__ import annotations

import logging

from airflow_provider_supersim.delivery.once.held_journal import LedgerTakenError
from airflow_provider_supersim.delivery.once.ledger import Ledger

log = logging.getLogger(__name__)


async def save_last(ledger: Ledger, after: BaseException | None) -> None:
    """Write what has changed.

    :param after: what has ended the try, if anything has. Storage trouble is then only logged, because it must not hide
        the cause; the next try looks up what was not written
    :raises LedgerTakenError: a later try has taken over
    """
    try:
        await ledger.save_changed()
    except LedgerTakenError:
        raise
    except Exception as error:  # whatever a store raises
        if after is None:
            raise
        log.error(  # noqa: TRY400  # the task fails for the other one, and Airflow logs its traceback
            "The end of this try is not in the ledger: %s. The next try looks up what was sent [ledger-not-written]",
            str(error).partition("\n")[0],
        )
