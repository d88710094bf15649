"""Run the measurements that are named, or all, and write what they found to docs/benchmarks.md, a section for each."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import end_to_end, hidden_limit, scale, start_up, throughput, triggerer
from tests.benchmarks.table import as_text

TARGET = Path(__file__).parents[2] / "docs" / "benchmarks.md"
PARTS = {
    "throughput": ("Throughput", throughput.measure),
    "hidden_limit": ("A limit that nobody knows", hidden_limit.measure),
    "triggerer": ("Waiting", triggerer.measure),
    "start_up": ("Start-up", start_up.measure),
    "end_to_end": ("Through Airflow", end_to_end.measure),
    "scale": ("From a thousand devices to a million", scale.measure),
}

HEAD = """# Benchmarks

Written by `make bench`, which takes 35 minutes. Each section is one run, in which ours and its peers take turns
against the same simulator on the other core; figures of different runs are not comparable. What each line wants is what
the project holds itself to.

The simulator is not what limits: it takes 7,800 to 12,700 commands a second, eight times and more of what is asked of
it here. "CPU" is that of the measured process for each command, with all that it does: ours checks, keeps a pace,
writes ahead and records; the peers send and read.
"""

PICTURE = """
```{image} pictures/scale.svg
:alt: CPU for each device and most memory resident, for rollouts to a thousand and up to a million devices
```
"""


def main(names: list[str]) -> int:
    """Measure, print and write part by part."""
    missed = 0
    for name in names or PARTS:
        title, measure = PARTS[name]
        lines = measure()
        print(as_text(lines), flush=True)
        write(title, as_text(lines) + (PICTURE if name == "scale" else ""))
        for line in lines:
            if not line.holds:
                missed += 1
                print(f"missed: {line.what}: {line.ours}, wanted {line.wanted}")
    return min(missed, 1)


def write(title: str, text: str) -> None:
    """Put a section in the place of the one with the same title."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Linux, Python {platform.python_version()}"
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TARGET.read_text(), re.DOTALL | re.MULTILINE))
    sections[title] = f"\n{datetime.now(UTC):%Y-%m-%d}, {machine}\n\n{text}"
    titles = [title for title, _ in PARTS.values() if title in sections]
    TARGET.write_text(HEAD + "".join(f"\n## {title}\n\n{sections[title].strip()}\n" for title in titles))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
