"""A test of your own DAG, against the simulator."""

# [START test]
from first_command import first_command

pytest_plugins = ["airflow_provider_supersim.testing"]


def test_the_device_gets_its_configuration(supersim_simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())
    supersim_simulator.reset(sims=10, settle=0.1)

    first_command().test()

    assert [datagram["text"] for datagram in supersim_simulator.datagrams("device-0001")] == ['{"report_every":900}']
    # [END test]


# [START offline]
def test_it_fails_if_the_device_has_no_network(supersim_simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())
    supersim_simulator.reset(sims=10, settle=0.1)
    supersim_simulator.set_behaviour("device-0001", network="offline")

    dag = first_command()
    dag.get_task("send").retries = 0  # dag.test() waits for each retry as Airflow does

    run = dag.test()

    assert run.state == "failed"
    assert supersim_simulator.datagrams() == []
    # [END offline]


# [START fault]
def test_a_lost_reply_does_not_send_twice(supersim_simulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SUPERSIM_DEFAULT", supersim_simulator.connection_json())
    supersim_simulator.reset(sims=10, settle=0.1)
    supersim_simulator.faults({"kind": "drop_after", "method": "POST", "count": 1})

    first_command().test()

    assert len(supersim_simulator.datagrams("device-0001")) == 1
    # [END fault]
