"""The API's operations: each takes a request that was let in and returns a status and a resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider_supersim.simulator.api import parameters, resources
from airflow_provider_supersim.simulator.api.errors import ApiError, not_found, unknown
from airflow_provider_supersim.simulator.api.paging import Item, Listing
from airflow_provider_supersim.simulator.api.vendors import Vendor
from airflow_provider_supersim.simulator.world.commands import CommandFilter
from airflow_provider_supersim.simulator.world.models import DIRECTIONS, SIM_STATUSES, STATUSES
from airflow_provider_supersim.simulator.world.world import World

Resource = dict[str, Any]


@dataclass(slots=True)
class Request:
    """A request.

    :param base_url: scheme and host, as the client named them.
    :param malformed: the reason if the parameters could not be read.
    """

    method: str
    path: str
    route: str
    base_url: str
    headers: Mapping[bytes, bytes]
    vendor: Vendor[Any]
    query: dict[str, str]
    form: dict[str, str]
    malformed: ApiError | None = None


Operation = Callable[[World, Request, float], tuple[int, Resource]]
"""Takes the world, the request, and the list's lag in seconds; returns the status and the body."""


def route_of(path: str) -> str:
    """Return the pattern that a path belongs to, such as ``/v1/Sims/{Sid}``, or the path itself."""
    if path in OPERATIONS:
        return path
    parent, _, last = path.rpartition("/")
    pattern = f"{parent}/{{Sid}}"
    return pattern if last and pattern in OPERATIONS else path


def _create_command(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    _no_query(request)
    wanted = parameters.command_request(request.form, world.sims.find, request.vendor.name)
    return 201, resources.command(world.accept(wanted), request.base_url, world.options.account_sid)


def _list_commands(world: World, request: Request, lag: float) -> tuple[int, Resource]:
    log, sims = world.commands, world.sims
    filters = ("Sim", "SimIccid", "Status", "Direction")
    wanted = _list_request(request, filters)
    status = parameters.choice(wanted.filters, "Status", STATUSES)
    direction = parameters.choice(wanted.filters, "Direction", DIRECTIONS)
    named = {sims.find(wanted.filters["Sim"])} if "Sim" in wanted.filters else set()
    named |= {sims.by_iccid(wanted.filters["SimIccid"])} if "SimIccid" in wanted.filters else set()
    if None in named or len(named) > 1:  # no such SIM, or filters for two different SIMs
        older = newer = _nothing
    else:
        until = world.clock.now() - lag if lag else float("inf")
        chosen = CommandFilter(next(iter(named), None), status, direction, until)
        older, newer = partial(log.older, wanted=chosen), partial(log.newer, wanted=chosen)
    return _page(world, request, wanted, Listing("ip_commands", older, newer, log.by_sid), resources.command)


def _get_command(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    return _single(world, request, world.commands.by_sid, resources.command)


def _list_sims(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    wanted = parameters.list_request(
        request.query, ("Status", "Fleet", "Iccid"), request.vendor.max_page_size(request.path)
    )
    status = parameters.choice(wanted.filters, "Status", SIM_STATUSES)
    fleet = world.find_fleet(wanted.filters["Fleet"]) if "Fleet" in wanted.filters else None
    if "Fleet" in wanted.filters and fleet is None:
        older = newer = _nothing
    elif "Iccid" in wanted.filters:
        sim = world.sims.by_iccid(wanted.filters["Iccid"])
        fits = sim is not None and status in (None, sim.status) and fleet in (None, sim.fleet)
        older = newer = partial(_only, sim if fits else None)
    else:
        older = partial(world.sims.older, fleet=fleet, status=status)
        newer = partial(world.sims.newer, fleet=fleet, status=status)
    return _page(world, request, wanted, Listing("sims", older, newer, world.sims.by_sid), resources.sim)


def _get_sim(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    return _single(world, request, world.sims.find, resources.sim)


def _list_fleets(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    wanted = _list_request(request, ())
    listing = Listing(
        "fleets",
        older=lambda than: iter(world.fleets[:than][::-1]),
        newer=lambda than: iter(world.fleets[than + 1 :]),
        find=world.find_fleet,
    )
    return _page(world, request, wanted, listing, resources.fleet)


def _get_fleet(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    return _single(world, request, world.find_fleet, resources.fleet)


OPERATIONS: dict[str, dict[str, Operation]] = {
    "/v1/IpCommands": {"GET": _list_commands, "POST": _create_command},
    "/v1/IpCommands/{Sid}": {"GET": _get_command},
    "/v1/Sims": {"GET": _list_sims},
    "/v1/Sims/{Sid}": {"GET": _get_sim},
    "/v1/Fleets": {"GET": _list_fleets},
    "/v1/Fleets/{Sid}": {"GET": _get_fleet},
}


def _list_request(request: Request, filters: tuple[str, ...]) -> parameters.ListRequest:
    return parameters.list_request(request.query, filters, request.vendor.max_page_size(request.path))


def _page(
    world: World,
    request: Request,
    wanted: parameters.ListRequest,
    listing: Listing[Any],
    write: Callable[[Any, str, str], Resource],
) -> tuple[int, Resource]:
    account = world.options.account_sid
    page = listing.page(
        wanted.page,
        wanted.filters,
        url=f"{request.base_url}{request.path}",
        render=lambda item: write(item, request.base_url, account),
    )
    return 200, page


def _single(
    world: World,
    request: Request,
    find: Callable[[str], Item | None],
    write: Callable[[Any, str, str], Resource],
) -> tuple[int, Resource]:
    _no_query(request)
    found = find(request.path.rpartition("/")[2])
    if found is None:
        raise not_found(request.path)
    return 200, write(found, request.base_url, world.options.account_sid)


def _no_query(request: Request) -> None:
    for name in request.query:
        raise unknown(name)


def _nothing(_than: int | None) -> Iterator[Any]:
    return iter(())


def _only(item: Item | None, _than: int | None) -> Iterator[Any]:
    return iter(() if item is None else (item,))
