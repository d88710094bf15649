"""A rollout whose process is killed again and again, and retried each time, as Airflow does.

    python killed_rollout.py STORY.json

The story names the simulator, the devices and the deaths: each a point, and how often a process passes it before it is
killed there; or ``by the clock`` and seconds. Each death kills one process, the first that comes to it. Like a task,
each process is a fork. It ends when the rollout has to wait, and another goes on after the wait. At the end the report
and the deaths are written beside the ledger.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
from support import FileStore, KillableClient, device, open_client, rollout, rules

from airflow_provider_supersim.delivery.once.ledger import Ledger
from airflow_provider_supersim.delivery.rollout.report import write_report
from airflow_provider_supersim.delivery.rollout.steps import Wait

BY_THE_CLOCK = "by the clock"
DEFERRED = 75
AWAY = 0.1  # seconds that a wait in the triggerer takes


class Killer:
    """Kills this process at the points where it is to die, and leaves a note of it.

    :param fates: points, each with how often it is passed
    """

    def __init__(self, fates: list[list[Any]], note: Path) -> None:
        self._fates = fates
        self._note = note
        self._passed: Counter[str] = Counter()

    def at_point(self, point: str) -> None:
        self._passed[point] += 1
        if (fate := [point, self._passed[point]]) in self._fates:
            self._note.write_text(json.dumps(fate))
            os.kill(os.getpid(), signal.SIGKILL)


async def one_process(story: dict[str, Any], folder: Path, killer: Killer, *, fresh: bool) -> int:
    targets = [device(sim) for sim in story["sims"]]
    how = rules(waves=story["waves"], wave_timeout=600.0)
    ledger = await Ledger.open(FileStore(folder, killer.at_point), clears=0, restart=False)
    client = open_client(story["url"], kind=KillableClient)
    client.at_point = killer.at_point
    async with client:
        one = rollout(client, ledger, targets, how, fresh=fresh, lag=story["lag"], concurrency=20)
        if isinstance(step := await one.advance(), Wait):
            killer.at_point("deferred")
            return DEFERRED
    with (folder / "report.jsonl").open("wb") as stream:
        write_report(one.overview.rows(), stream, ".jsonl")
    (folder / "summary.json").write_text(json.dumps(step.summary))
    return 0


def in_a_fork(story: dict[str, Any], folder: Path, killer: Killer, seconds: float | None, *, fresh: bool) -> int:
    """Return the exit code; below zero, the signal that killed it.

    :param seconds: after which it is killed, wherever it is
    """
    child = os.fork()
    if not child:
        try:
            code = anyio.run(lambda: one_process(story, folder, killer, fresh=fresh))
        except BaseException:  # noqa: BLE001  # a fork must not run on as its parent would
            sys.excepthook(*sys.exc_info())
            code = 1
        os._exit(code)
    if seconds and not signal.sigtimedwait([signal.SIGCHLD], seconds):
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(path: Path) -> None:
    story, folder = json.loads(path.read_text()), path.parent
    fates, died, fresh, code = story["deaths"], [], True, DEFERRED
    note = folder / "note"
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while code:
        clocks = [fate for fate in fates if fate[0] == BY_THE_CLOCK] if len(died) % 3 == 0 else []
        code = in_a_fork(story, folder, Killer(fates, note), clocks[0][1] if clocks else None, fresh=fresh)
        if code == -signal.SIGKILL:
            died.append(json.loads(note.read_text()) if note.exists() else clocks[0])
            fates.remove(died[-1])
            note.unlink(missing_ok=True)
        elif code == DEFERRED:
            time.sleep(AWAY)
        elif code:
            raise SystemExit(f"the rollout ended with {code}")
        fresh = code != DEFERRED
    (folder / "deaths.json").write_text(json.dumps(died))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
