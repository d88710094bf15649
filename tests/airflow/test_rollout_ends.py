"""Every end of a rollout: what it leaves behind, and what it says, in real task instances."""

import csv
from datetime import timedelta

import pytest
from features import needs_task_state_store

from airflow_provider_supersim.operators.ip_command import SuperSimIpCommandOperator
from airflow_provider_supersim.operators.rollout import SuperSimRolloutOperator

POST = {"method": "POST", "path": "/v1/IpCommands"}
READ = 90  # characters of a line that Airflow's log view shows
DEVICES = 40


@pytest.fixture
def fleet(world):
    world.seed(fleets=[{"unique_name": "ships"}], sims=[{"prefix": "ship", "count": DEVICES, "fleet": "ships"}])
    world.set_behaviour([sim["unique_name"] for sim in world.sims(fleet="ships")], settle=0)
    return world


@pytest.fixture
def roll_out(fleet, new_dag, play, tmp_path, memory):
    """Return a function that rolls out to the ships, one command after the other, and returns what was played."""

    def run(*, retries=0, **options):
        defaults = {"fleet": "ships", "payload": "x", "device_port": 4000, "poll_interval": 0.1, "max_concurrency": 1}
        with new_dag(default_args={"retries": retries}) as dag:
            SuperSimRolloutOperator(task_id="roll_out", **memory | defaults | options)
        return play(dag)

    return run


def statuses(path):
    with path.open(newline="") as stream:
        return [row["status"] for row in csv.DictReader(stream)]


def lines_of(ended):
    """Return the lines of the one error of a task."""
    (words,) = ended.errors
    return words.splitlines()


def assert_said(played, lines, code):
    """Each line of the error is logged as an error of its own, three to five of them; the first has the code."""
    assert 3 <= len(lines) <= 5
    assert lines[0].endswith(f"[{code}]")
    # A traceback has these lines too, but nothing before them says that they are errors.
    errors = {line for line in lines for said in played.lines(line) if "error" in said.partition(line)[0].lower()}
    assert [line for line in lines if line not in errors] == []


def revoked_after(accepted):
    return {"kind": "error_before", "status": 401, "skip": accepted, **POST}


@pytest.mark.parametrize("place", [pytest.param("store", marks=needs_task_state_store), "folder"])
def test_a_token_that_is_revoked_in_mid_rollout(fleet, roll_out, tmp_path, place):
    fleet.faults(revoked_after(15))
    report = tmp_path / "report.csv"
    ledger = {"ledger_path": str(tmp_path / "ledger")} if place == "folder" else {}

    played = roll_out(retries=2, report_path=str(report), **ledger)

    ended = played.tasks["roll_out"]
    assert (ended.state, ended.tries) == ("failed", 1)
    assert sorted(statuses(report)) == ["not_sent"] * 25 + ["sent"] * 15  # the statuses were read once more
    summary = ended.xcom["return_value"]
    assert summary.items() >= {"devices": 40, "sent": 15, "not_sent": 25, "commands": 15, "halted": False}.items()
    assert played.lines("Rollout: wave 1 of 1, 15 of 40 devices: 15 sent")
    lines = lines_of(ended)
    assert_said(played, lines, "credentials-refused")
    host = fleet.url.rpartition("/")[2]
    assert lines[0].startswith(f"Connection supersim_default ({host}): the API refused the credentials")
    assert "15 of 40 sent" in lines[0]
    assert "25 × not sent" in lines[2]
    assert str(report) in lines[3]
    assert "clear this task" in lines[4]


@pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])
def test_statuses_that_cannot_be_read_are_told_as_such(fleet, roll_out, tmp_path, deferrable):
    fleet.faults({"kind": "error_before", "status": 401, "method": "GET", "path": "/v1/IpCommands/"})
    fleet.set_behaviour([sim["unique_name"] for sim in fleet.sims(fleet="ships")], network="never")
    report = tmp_path / "report.jsonl"
    targets = [sim["unique_name"] for sim in fleet.sims(fleet="ships")][:2]  # so few are read one by one

    played = roll_out(fleet=None, targets=targets, report_path=str(report), deferrable=deferrable)

    ended = played.tasks["roll_out"]
    assert ended.state == "failed"
    assert ended.xcom["return_value"].items() >= {"sent": 0, "unsettled": 2, "not_sent": 0, "commands": 2}.items()
    assert report.read_text().count('"queued"') == 2
    lines = lines_of(ended)
    assert_said(played, lines, "credentials-refused")
    assert "Of 2 devices: 0 sent, 0 failed, 2 without a final status" in lines[1]


@pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])
@pytest.mark.parametrize(("status", "code"), [(403, "credentials-refused"), (400, "request-refused")])
@pytest.mark.parametrize("devices", [2, DEVICES])
def test_a_key_that_may_send_and_not_read(fleet, roll_out, tmp_path, devices, status, code, deferrable):
    fleet.faults({"kind": "error_before", "status": status, "method": "GET", "path": "/v1/IpCommands", "skip": 1})
    ships = [sim["unique_name"] for sim in fleet.sims(fleet="ships")][:devices]
    fleet.set_behaviour(ships, network="never")
    report = tmp_path / "report.jsonl"

    played = roll_out(
        fleet=None, targets=ships, report_path=str(report), deferrable=deferrable, wave_timeout=20, retries=1
    )

    ended = played.tasks["roll_out"]
    assert (ended.state, ended.tries) == ("failed", 1)
    assert ended.xcom["return_value"].items() >= {"unsettled": devices, "not_sent": 0, "commands": devices}.items()
    assert report.read_text().count('"queued"') == devices
    lines = lines_of(ended)
    assert_said(played, lines, code)
    assert f"{devices} without a final status" in lines[1]


def test_an_execution_timeout(fleet, roll_out, tmp_path):
    fleet.faults({"kind": "hang", "seconds": 1200, "skip": 15, **POST})
    report = tmp_path / "report.csv"

    played = roll_out(report_path=str(report), execution_timeout=timedelta(seconds=8))

    ended = played.tasks["roll_out"]
    rows = statuses(report)
    assert (ended.state, rows.count("not_sent")) == ("failed", 24)
    assert ended.xcom["return_value"].items() >= {"unsettled": 16, "not_sent": 24, "commands": 15}.items()
    assert_said(played, lines_of(ended), "execution-timeout")


def test_a_gate_that_shuts(fleet, roll_out):
    ships = [sim["unique_name"] for sim in sorted(fleet.sims(fleet="ships"), key=lambda sim: sim["sid"])]
    fleet.set_behaviour(ships[:3], network="offline")

    played = roll_out(waves=[5, "100%"])

    ended = played.tasks["roll_out"]
    assert ended.xcom["return_value"].items() >= {"sent": 2, "failed": 3, "not_sent": 35, "halted": True}.items()
    lines = lines_of(ended)
    assert_said(played, lines, "rollout-halted")
    assert lines[0].startswith("Rollout halted: 3 of 5 devices in wave 1 failed")
    assert lines[2] == "Causes: 3 × failed, most often no network (83401); 35 × not sent."
    assert lines[3] == "No report: set report_path for a row per device."
    # 2.11 logs it in several places. Devices that had no turn have not failed, so there is no line for them.
    not_reached = [line for line in played.lines("Not reached:") if "%s" not in line]
    assert not_reached == played.lines("Not reached: failed", "3 devices: " + ", ".join(ships[:3])) != []


def test_a_fleet_that_is_not_there(fleet, roll_out):
    played = roll_out(fleet="feild-devices")

    ended = played.tasks["roll_out"]
    lines = lines_of(ended)
    assert lines[0].startswith("fleet 'feild-devices' not found (404, 20404)")
    assert lines[0].endswith("; nothing was sent. [request-refused]")
    assert f"connection supersim_default ({fleet.url.rpartition('/')[2]})" in lines[1]
    assert played.lines(lines[0])
    assert played.lines("XCom not found") == played.lines("No XCom value found") == []


def test_an_argument_that_is_refused_before_the_first_request_leaves_no_other_error(fleet, roll_out):
    played = roll_out(waves=["10%"])

    assert lines_of(played.tasks["roll_out"])[0].endswith("[bad-argument]")
    assert played.lines("XCom not found") == played.lines("No XCom value found") == []


def test_a_command_to_a_sim_that_is_not_there(world, new_dag, play):
    with new_dag() as dag:
        SuperSimIpCommandOperator(task_id="send", sim="no-such-device", payload="x", device_port=4000)

    played = play(dag)

    lines = lines_of(played.tasks["send"])
    assert lines[0].startswith("sim 'no-such-device' not found (404, 83005)")
    assert lines[0].endswith("; no command to no-such-device was accepted, as far as is known. [request-refused]")
    assert f"connection supersim_default ({world.url.rpartition('/')[2]})" in lines[1]
    assert [line for line in lines if not played.lines(line)] == []
    assert played.lines("XCom not found") == played.lines("No XCom value found") == []


def test_an_operators_failure_is_told_in_short_lines(world, new_dag, play):
    world.set_behaviour("device-0001", network="offline")
    with new_dag() as dag:
        SuperSimIpCommandOperator(task_id="send", sim="device-0001", payload="x", device_port=4000, poll_interval=0.1)

    played = play(dag)

    lines = lines_of(played.tasks["send"])
    assert_said(played, lines, "command-failed")
    assert lines[0][:READ].startswith("device-0001 did not get its command: status failed")


@pytest.mark.parametrize(
    ("on_clear", "advice"),
    [
        ("restart", "look the command up before you clear this task"),
        ("resume", "clear this task: it keeps waiting and sends nothing"),
    ],
)
@pytest.mark.parametrize("deferrable", [False, True], ids=["in_the_worker", "deferred"])
def test_what_a_clear_does_after_the_command_was_accepted(world, new_dag, play, memory, on_clear, advice, deferrable):
    """A clear may send again what was accepted, so the advice is another one than before it was."""
    world.set_behaviour("device-0001", network="never")
    world.faults({"kind": "error_before", "status": 403, "method": "GET", "path": "/v1/IpCommands", "skip": 1})
    options = {"deferrable": deferrable, "on_clear": on_clear, "poll_interval": 0.1, **memory}
    with new_dag() as dag:
        SuperSimIpCommandOperator(task_id="send", sim="device-0001", payload="x", device_port=4000, **options)

    lines = lines_of(play(dag).tasks["send"])

    assert lines[0].endswith("[credentials-refused]")
    assert advice in lines[-1]
