"""Run every measurement, print one table, and write it to docs/benchmarks.md with the machine and the date."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import end_to_end, scale, throughput
from tests.benchmarks.table import Line, as_text

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = {"throughput": throughput.measure, "scale": scale.measure, "end_to_end": end_to_end.measure}

HEAD = """# Benchmarks

Written by `make bench`. Peers run one after the other, against the same simulator on the other core; figures of
different runs are not comparable. What each line wants is what the project holds itself to.

{date}, {machine}

"""


def main(names: list[str]) -> int:
    """Run the parts named, or all; the file is written when all were run."""
    lines: list[Line] = []
    for name in names or PARTS:
        lines += PARTS[name]()
        print(as_text(lines), flush=True)
    if not names:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux, Python {platform.python_version()}"
        TARGET.write_text(HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}", machine=machine) + as_text(lines))
    missed = [line for line in lines if not line.holds]
    for line in missed:
        print(f"missed: {line.what}: {line.ours}, wanted {line.wanted}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
