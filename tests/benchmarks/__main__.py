"""Run every measurement, print one table, and write it to docs/benchmarks.md with the machine and the date."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import end_to_end, hidden_limit, scale, start_up, throughput, triggerer
from tests.benchmarks.table import Line, as_text

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = {
    "throughput": throughput.measure,
    "hidden_limit": hidden_limit.measure,
    "triggerer": triggerer.measure,
    "start_up": start_up.measure,
    "end_to_end": end_to_end.measure,
    "scale": scale.measure,
}

HEAD = """# Benchmarks

Written by `make bench`, which takes half an hour. Peers run in turn, in the same run, against the same simulator on the
other core; figures of different runs are not comparable. What each line wants is what the project holds itself to.

The simulator is not what limits: it takes 7,800 to 12,700 commands a second, eight times and more of what is asked of
it here. "CPU" is that of the measured process for each command, with all that it does: ours checks, keeps a pace,
writes ahead and records; the peers send and read.

{date}, {machine}

"""

TAIL = """
```{image} pictures/scale.svg
:alt: CPU for each device and most memory resident, for rollouts to a thousand and up to a million devices
```
"""


def main(names: list[str]) -> int:
    """Run the parts named, or all; the file is written when all were run."""
    lines: list[Line] = []
    for name in names or PARTS:
        lines += PARTS[name]()
        print(as_text(lines), flush=True)
    if not names:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux, Python {platform.python_version()}"
        head = HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine)
        TARGET.write_text(head + as_text(lines) + TAIL)
    missed = [line for line in lines if not line.holds]
    for line in missed:
        print(f"missed: {line.what}: {line.ours}, wanted {line.wanted}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
