"""A process is killed at any point: the next try goes on, and each device gets one command."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import killed_rollout
from support import commands_by_device, devices, once_each

from airflow_provider_supersim.testing import Simulator

STORIES = 2
SMALL_WAVES = [20 * number for number in range(1, 11)]
DEVICES = 500  # of each story: after the small waves one of more than one chunk
LIST_LAG = 0.2  # seconds
POINTS = {
    "before a POST": 15,
    "between a POST and its record": 15,
    "before a write": 4,
    "in a write": 4,
    "after a write": 4,
    "looking up": 1,
    "reading what was found": 2,
    "deferred": 1,
}  # and how often a process may pass each before it is killed there: a wave is enough
IN_THE_LAST_WAVE = ("between a POST and its record", 150)


def deaths(seed: int) -> list[tuple[str, float]]:
    chance = random.Random(seed)
    fates = [(point, chance.randint(1, most)) for point, most in POINTS.items()]
    return [*fates, (killed_rollout.BY_THE_CLOCK, chance.uniform(0.05, 0.3)), IN_THE_LAST_WAVE]


def test_a_process_may_be_killed_anywhere(simulator: Simulator, tmp_path: Path) -> None:
    simulator.reset(sims=STORIES * DEVICES, list_lag=LIST_LAG, settle=0.2)
    simulator.faults(
        {"kind": "drop_after", "ratio": 0.04, "method": "POST"},
        {"kind": "error_before", "ratio": 0.04, "method": "POST", "status": 503},
    )
    targets = devices(STORIES * DEVICES)
    processes = []
    for number in range(STORIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        sims = [one.sim for one in targets[number::STORIES]]
        story = {"url": simulator.url, "sims": sims, "lag": LIST_LAG + 0.2}
        story |= {"waves": [*SMALL_WAVES, "100%"], "deaths": deaths(number)}
        (folder / "story.json").write_text(json.dumps(story))
        command = [sys.executable, killed_rollout.__file__, str(folder / "story.json")]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said

    died = [
        death for number in range(STORIES) for death in json.loads((tmp_path / f"{number}/deaths.json").read_text())
    ]
    assert len(died) >= 8 * STORIES
    assert {point for point, _ in died} >= {*POINTS}  # a fast process may end before the clock kills it
    assert commands_by_device(simulator) == once_each(targets)
    accepted = {(command["sim_name"], command["sid"], "sent") for command in simulator.commands()}
    rows = [
        json.loads(line)
        for number in range(STORIES)
        for line in (tmp_path / f"{number}/report.jsonl").read_text().splitlines()
    ]
    assert {(row["sim"], row["sid"], row["status"]) for row in rows} == accepted
    assert all(row["attempt"] == 1 and row["sent_at"] and row["settled_at"] for row in rows)
    for number in range(STORIES):
        summary = json.loads((tmp_path / f"{number}/summary.json").read_text())
        assert (summary["devices"], summary["sent"], summary["commands"]) == (DEVICES, DEVICES, DEVICES)
