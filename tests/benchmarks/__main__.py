"""Run all benchmarks, print one table, and write it to docs/benchmarks.md.

Benchmarks that are named on the command line are printed only: the page shows whole runs.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import crowded, end_to_end, hidden_limit, scale, shared_account, start_up, throughput, triggerer
from tests.benchmarks.table import as_text

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = {
    "throughput": ("Throughput", throughput.measure),
    "hidden_limit": ("A limit that nobody knows", hidden_limit.measure),
    "shared_account": ("Rollouts that share an account", shared_account.measure),
    "triggerer": ("Waiting", triggerer.measure),
    "crowded": ("Waiting in a crowded account", crowded.measure),
    "start_up": ("Start-up", start_up.measure),
    "end_to_end": ("Through Airflow", end_to_end.measure),
    "scale": ("From a thousand devices to a million", scale.measure),
}

PAGE = """# Benchmarks

Written by `make bench` in one run of {minutes:.0f} minutes, on {day:%Y-%m-%d}: {machine}.
Ours and its peers take turns against the same simulator on the other core. What each line wants is what the project
holds itself to.

"CPU" is that of the measured process for each command, with all that it does: ours checks, keeps a pace, writes ahead
and records; the peers send and read. Ours runs on uvloop, as it does wherever that is installed; the peers, and ours
where the line says so, on asyncio's own loop.

{table}
```{{image}} pictures/scale.svg
:alt: CPU for each device and most memory resident, for rollouts to a thousand and up to a million devices
```
"""


def main(names: list[str]) -> int:
    """Run each benchmark, and print its result at once."""
    began, found, missed = time.monotonic(), {}, 0
    for name in names or PARTS:
        title, measure = PARTS[name]
        found[title] = lines = measure()
        misses = [line for line in lines if not line.holds]
        missed += len(misses)
        print(f"{title}: {len(lines) - len(misses)} of {len(lines)} as wanted", file=sys.stderr, flush=True)
        for line in misses:
            print(f"missed: {line.what}: {line.ours}, wanted {line.wanted}", file=sys.stderr, flush=True)
    table = as_text(found)
    print(table)
    if not names:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux, Python {platform.python_version()}"
        minutes = (time.monotonic() - began) / 60
        TARGET.write_text(PAGE.format(minutes=minutes, day=datetime.now(UTC), machine=machine, table=table))
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
