"""Writes into a ledger's folder while it is killed again and again; reads after each death.

python killed_writer.py FOLDER DEATHS
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from types import SimpleNamespace

from airflow_provider_supersim.runs.stores import ObjectStorageStore

KEY = "supersim_ledger_0_0"
FILLER = 300_000  # characters: a write takes some milliseconds, so that deaths hit it


def main(folder: str, deaths: int) -> None:
    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1)
    store = ObjectStorageStore(folder, {"ti": ti})
    store.set(KEY, {"number": 0, "filler": "x" * FILLER})
    chance = random.Random(1)
    last = 0
    for _ in range(deaths):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            for number in range(last + 1, sys.maxsize):
                store.set(KEY, {"number": number, "filler": "x" * FILLER})
                os.write(writer, b".")
        done = last + len(os.read(reader, 1))  # a death hits the second write, or one after it
        time.sleep(chance.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(writer)
        done += len(os.read(reader, 1_000))
        os.close(reader)
        found = store.get(KEY)
        if len(found["filler"]) != FILLER or found["number"] < done:
            raise SystemExit(f"after {done} came {found['number']}, of {len(found['filler'])} characters")
        last = found["number"]
    sys.stdout.write(str(last))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
