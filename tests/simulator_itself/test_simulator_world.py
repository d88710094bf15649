"""The world in this process: what a large one holds in memory."""

from airflow_provider_supersim.simulator.world.clock import Clock
from airflow_provider_supersim.simulator.world.options import Options
from airflow_provider_supersim.simulator.world.world import World


def world(**options):
    def ignore(command):
        pass

    return World(Options(**options), Clock(), default_vendor="twilio", on_sent=ignore, on_received=ignore)


def test_sims_become_objects_only_when_they_are_asked_for():
    sims = world(sims=100_000).sims
    assert (len(sims), len(list(sims.made))) == (100_015, 0)
    asked = {sims.find("device-099999"), sims.find("device-000001"), sims.by_iccid("89883070000000000040")}
    assert {sim.unique_name for sim in sims.made} == {sim.unique_name for sim in asked}


def test_a_fleet_is_counted_without_a_walk_through_its_sims():
    one = world(sims=100_000)
    field, lab, _ = one.fleets
    assert one.sims.count(field) == 100_006
    one.sims.change(one.sims.find("device-000001"), status="active", fleet=lab)
    assert (one.sims.count(field), one.sims.count(lab)) == (100_005, 6)
    assert len(list(one.sims.made)) == 1


def test_a_filtered_list_skips_batches_that_do_not_match():
    one = world(sims=100_000)
    lab = one.find_fleet("lab")
    assert len(list(one.sims.older(None, fleet=lab, status=None))) == 5
    assert len(list(one.sims.made)) == 5
