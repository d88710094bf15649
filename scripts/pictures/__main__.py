"""``python -m scripts.pictures``: draw all pictures into ``docs/pictures``."""

from __future__ import annotations

from pathlib import Path

from airflow_provider_supersim.testing import run_simulator
from scripts.pictures import command, rollout

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def main() -> None:
    """Write both pictures."""
    with run_simulator() as simulator:
        (PICTURES / "command.svg").write_text(command.draw(command.trace(simulator)))
        (PICTURES / "rollout.svg").write_text(rollout.draw(rollout.trace(simulator)))


if __name__ == "__main__":
    main()
