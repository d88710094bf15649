"""The hook: each of its calls, over one session that is opened late, shared, ended in time, and cancelled at once."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
from clients import COMMANDS, seen

from airflow_provider_supersim.api.errors import NotFoundError, SuperSimError, Verdict
from airflow_provider_supersim.hooks import supersim as hook_module
from airflow_provider_supersim.hooks.blocking import Session
from airflow_provider_supersim.hooks.supersim import SuperSimHook


@pytest.fixture
def connection(supersim_simulator, monkeypatch, vendor):
    """A connection of each vendor to the simulator."""
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json(vendor))


@pytest.fixture
def twilio(supersim_simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())


@pytest.fixture
def hook(twilio):
    hook = SuperSimHook()
    yield hook
    hook.close()


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "supersim"]


def gone(count, *, within=60.0):
    """Whether so many of the session's threads are left, soon."""
    until = time.monotonic() + within
    while len(threads()) != count and time.monotonic() < until:
        time.sleep(0.01)
    return len(threads()) == count


@pytest.mark.usefixtures("connection")
def test_each_call_does_what_it_says(supersim_simulator):
    supersim_simulator.stop_clock()
    hook = SuperSimHook()
    command = hook.send_ip_command(
        "device-0001", {"apn": "iot"}, 2048, callback_url="http://127.0.0.1:9/", callback_method="GET"
    )
    assert command.status == "queued"
    assert hook.get_ip_command(command.sid) == command
    assert [one.sid for one in hook.iter_ip_commands(sim="device-0001", status="queued", direction="to_sim")] == [
        command.sid
    ]
    sim = hook.get_sim("device-0001")
    assert [one.sid for one in hook.iter_ip_commands(sim_iccid=sim.iccid)] == [command.sid]
    fleet = hook.get_fleet("lab")
    assert {one.fleet_sid for one in hook.iter_sims(fleet="lab", status="active")} == {fleet.sid}
    assert fleet in list(hook.iter_fleets())
    (request,) = seen(supersim_simulator, "POST", COMMANDS)
    assert request["form"] == {
        "Sim": "device-0001",
        "Payload": '{"apn":"iot"}',
        "DevicePort": "2048",
        "PayloadType": "text",
        "CallbackUrl": "http://127.0.0.1:9/",
        "CallbackMethod": "GET",
    }
    hook.close()


@pytest.mark.usefixtures("connection")
def test_the_calls_share_one_session_and_one_token(supersim_simulator, vendor):
    hook = SuperSimHook()
    assert threads() == []
    for _ in range(3):
        hook.get_sim("device-0001")
    assert len(threads()) == 1
    assert supersim_simulator.requests()["token_requests"] == (1 if vendor == "kore" else 0)
    hook.close()
    assert threads() == []


def test_errors_come_through_as_they_are(hook):
    with pytest.raises(NotFoundError) as caught:
        hook.get_sim("nobody")
    assert caught.value.verdict is Verdict.REFUSED
    with pytest.raises(ValueError, match="payload is empty"):
        hook.send_ip_command("device-0001", "", 1)
    with pytest.raises(ValueError, match="sid_or_name must be a sid or a unique name"):
        hook.get_fleet(" ")


def test_a_bad_connection_is_a_value_error_that_names_it(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", '{"conn_type": "supersim", "login": "AC1"}')
    with pytest.raises(ValueError, match=r"^Connection 'broken': login and password are needed"):
        SuperSimHook("broken").get_sim("x")
    assert threads() == []


def test_pages_are_read_as_they_are_wanted(hook, supersim_simulator):
    supersim_simulator.reset(sims=1250)
    sims = hook.iter_sims(fleet="field-devices")
    for _ in range(1000):
        next(sims)
    assert len(seen(supersim_simulator, "GET", "/v1/Sims")) == 1
    assert len(list(sims)) == len(supersim_simulator.sims("field-devices")) - 1000


def test_an_iteration_that_is_left_early_leaves_nothing_behind(hook):
    for _ in hook.iter_sims():
        break
    gc.collect()
    assert hook.get_sim("device-0001").sid
    hook.close()
    gc.collect()
    assert threads() == []


@pytest.mark.parametrize("begin", [SuperSimHook.iter_sims, SuperSimHook.iter_fleets, SuperSimHook.iter_ip_commands])
def test_an_iteration_keeps_the_hook_that_nobody_else_keeps(twilio, supersim_simulator, begin):
    SuperSimHook().send_ip_command("device-0001", "x", 1)
    items = begin(SuperSimHook())
    gc.collect()
    assert len(list(items)) >= 1
    del items
    gc.collect()
    assert gone(0)


def test_close_may_be_called_twice_and_the_hook_used_again(hook):
    hook.close()
    hook.get_sim("device-0001")
    hook.close()
    hook.close()
    assert threads() == []
    assert hook.get_sim("device-0001").sid
    assert len(threads()) == 1


def test_a_hook_that_is_forgotten_ends_its_session(twilio):
    hook = SuperSimHook()
    hook.get_sim("device-0001")
    assert len(threads()) == 1
    del hook
    gc.collect()
    assert gone(0)


def test_a_program_that_never_closes_its_hook_ends(supersim_simulator):
    program = """
        from airflow_provider_supersim.hooks.supersim import SuperSimHook

        HOOK = SuperSimHook()
        print(HOOK.get_sim("device-0001").unique_name)
    """
    ended = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(program)],
        env={**supersim_simulator_environment(supersim_simulator)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.stdout.splitlines()[-1] == "device-0001"
    assert (ended.returncode, [line for line in ended.stderr.splitlines() if "Traceback" in line]) == (0, [])


def supersim_simulator_environment(simulator):
    return {**os.environ, "AIRFLOW_CONN_SUPERSIM_DEFAULT": simulator.connection_json(), "PYTHONWARNINGS": ""}


def test_threads_that_share_a_hook_each_get_their_own_answer(hook, supersim_simulator):
    supersim_simulator.settings(latency=0.005)
    names = [f"device-{number:04d}" for number in range(1, 101)]
    hook.get_sim("device-0001")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        with ThreadPoolExecutor(20) as pool:
            found = [sim.unique_name for sim in pool.map(hook.get_sim, names)]
    finally:
        sys.setswitchinterval(interval)
    assert found == names


def test_a_cancellation_ends_the_calls_of_all_threads(hook, supersim_simulator):
    call = hanging(hook, supersim_simulator)
    hook.get_sim("device-0001")
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call) for _ in range(3)]
        until_under_way(supersim_simulator, 3)
        hook.cancel()
        assert [type(one.exception(600)) for one in calls] == 3 * [CancelledError]


def hanging(hook, supersim_simulator):
    supersim_simulator.faults({"kind": "hang", "accepted": True, "path": "/v1/", "method": "POST"})
    return lambda: hook.send_ip_command("device-0001", "x", 1)


def until_under_way(supersim_simulator, number=1):
    while supersim_simulator.requests()["in_flight"] < number:
        time.sleep(0.02)


@contextmanager
def once_under_way(supersim_simulator, act):
    """Do something in another thread when the API has a request in hand."""

    def wait_and_act():
        until_under_way(supersim_simulator)
        act()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    yield
    thread.join()


def alarm():
    os.kill(os.getpid(), signal.SIGALRM)  # its handler runs in the main thread


def nothing_under_way(supersim_simulator, *, within=60.0):
    """Whether the API soon has no request in hand any more."""
    until = time.monotonic() + within
    while (busy := supersim_simulator.requests()["in_flight"]) and time.monotonic() < until:
        time.sleep(0.02)
    return not busy


def test_another_thread_cancels_the_call_that_is_under_way(hook, supersim_simulator):
    call = hanging(hook, supersim_simulator)
    with once_under_way(supersim_simulator, hook.cancel), pytest.raises(CancelledError):
        call()
    assert nothing_under_way(supersim_simulator)
    assert len(seen(supersim_simulator, "POST", COMMANDS)) == 1


def test_a_signal_handler_cancels_the_call_that_is_under_way(hook, supersim_simulator):
    call = hanging(hook, supersim_simulator)
    hook.get_sim("device-0001")
    before = signal.signal(signal.SIGALRM, lambda *_: hook.cancel())
    try:
        with once_under_way(supersim_simulator, alarm), pytest.raises(CancelledError):
            call()
    finally:
        signal.signal(signal.SIGALRM, before)
    hook.close()
    assert threads() == []


def test_an_exception_of_a_signal_handler_ends_the_call_and_leaves_nothing_behind(hook, supersim_simulator):
    class TimeIsUp(Exception):  # noqa: N818 - as Airflow's own AirflowTaskTimeout
        pass

    def raise_it(*_):
        raise TimeIsUp

    call = hanging(hook, supersim_simulator)
    before = signal.signal(signal.SIGALRM, raise_it)
    try:
        with once_under_way(supersim_simulator, alarm), pytest.raises(TimeIsUp):
            call()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert nothing_under_way(supersim_simulator)
    supersim_simulator.faults()
    assert hook.get_sim("device-0001").sid  # the hook is as good as before


def test_after_cancel_nothing_more_is_sent(hook, supersim_simulator):
    hook.get_sim("device-0001")
    hook.cancel()
    with pytest.raises(CancelledError):
        hook.send_ip_command("device-0001", "x", 1)
    hook.close()
    with pytest.raises(CancelledError):
        hook.send_ip_command("device-0001", "x", 1)
    assert supersim_simulator.commands() == []


def test_a_cancellation_while_the_session_opens_is_not_lost(hook, supersim_simulator, monkeypatch):
    class CancelledWhileOpening(Session):
        def __init__(self, client):
            super().__init__(client)
            hook.cancel()  # as a signal handler may

    monkeypatch.setattr(hook_module, "Session", CancelledWhileOpening)
    with pytest.raises(CancelledError):
        hook.get_sim("device-0001")
    assert supersim_simulator.requests()["total"] == 0


def test_a_hook_that_was_never_used_can_be_cancelled_and_closed(twilio):
    hook = SuperSimHook()
    hook.cancel()
    hook.close()
    assert threads() == []


@pytest.mark.anyio
@pytest.mark.usefixtures("connection")
async def test_the_same_calls_are_coroutines_of_its_client(supersim_simulator):
    async with SuperSimHook().client() as client:
        command = await client.send_ip_command("device-0001", "x", 1)
        assert (await client.get_ip_command(command.sid)).sid == command.sid
    assert threads() == []


def test_limits_hold_for_the_calls_that_follow_however_often_they_are_set(hook, supersim_simulator):
    supersim_simulator.settings(latency=0.05)
    hook.get_sim("device-0001")
    for _ in range(3):
        hook.limit(share=25)
        assert hook.account.max_concurrency == 4
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(hook.get_sim, 20 * ["device-0001"]))
    assert supersim_simulator.requests()["highest_concurrency"] == 4
    hook.limit()
    assert hook.account.max_concurrency == 100


def test_a_coroutine_function_runs_with_the_open_client(hook):
    async def fleet_of(client, sim):
        return (await client.get_fleet((await client.get_sim(sim)).fleet_sid)).unique_name

    assert hook.run(fleet_of, "device-0001") == hook.get_conn().run(fleet_of, sim="device-0001") == "field-devices"
    assert hook.get_conn() is hook.get_conn()


def test_an_error_of_the_hook_has_no_secret(supersim_simulator, monkeypatch, caplog):
    connection = {**supersim_simulator.connection(), "password": "wr0ng-word"}
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", json.dumps(connection))
    caplog.set_level("DEBUG")
    with pytest.raises(SuperSimError) as caught:
        SuperSimHook().get_sim("device-0001")
    assert "wr0ng-word" not in str(caught.value) + repr(caught.value) + caplog.text


FORKED = """
import os, pickle, sys, threading
from airflow_provider_supersim.hooks.supersim import SuperSimHook

hook = SuperSimHook()
parents = hook.get_sim("device-0001").sid
hook._opening.acquire()  # as a thread of the parent may do while another one forks
if child := os.fork():
    hook._opening.release()
    _, ended = os.waitpid(child, 0)
    assert ended == 0, ended
    assert hook.get_sim("device-0001").sid == parents  # the parent's session still works
    print("both")
else:
    import faulthandler
    faulthandler.dump_traceback_later(60, exit=True)
    assert hook.get_sim("device-0001").sid == parents
    hook.close()
    sys.exit(0)
"""


def test_a_fork_opens_a_session_of_its_own_and_leaves_the_parents_alone(supersim_simulator, twilio):
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED], capture_output=True, text=True, check=False
    )
    assert (ended.stdout.split()[-1:], ended.returncode) == (["both"], 0), ended.stderr
    asked = seen(supersim_simulator, "GET", "/v1/Sims/{Sid}")
    assert len(asked) == 3


@pytest.mark.parametrize("copy", [lambda hook: pickle.loads(pickle.dumps(hook)), copy.copy, copy.deepcopy])
def test_a_hook_is_pickled_without_secrets_and_works_where_it_is_unpickled(supersim_simulator, hook, copy):
    hook.limit(max_concurrency=3)
    hook.get_sim("device-0001")
    assert supersim_simulator.connection()["password"].encode() not in pickle.dumps(hook)
    other = copy(hook)
    assert (other.supersim_conn_id, other.account.max_concurrency) == (hook.supersim_conn_id, 3)
    with closing(other):
        assert other.get_sim("device-0001") == hook.get_sim("device-0001")
