"""The API's operations: each takes a request that was let in and returns a status and a resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from airflow_provider_supersim.simulator.api import parameters, resources
from airflow_provider_supersim.simulator.api.errors import ApiError, not_found, not_simulated, unknown
from airflow_provider_supersim.simulator.api.paging import Item, Listing
from airflow_provider_supersim.simulator.api.vendors import Vendor
from airflow_provider_supersim.simulator.world.commands import CommandFilter
from airflow_provider_supersim.simulator.world.models import DIRECTIONS, SIM_STATUSES, STATUSES, Fleet
from airflow_provider_supersim.simulator.world.options import COMMAND_FILTERS
from airflow_provider_supersim.simulator.world.world import World

Resource = dict[str, Any]


@dataclass(slots=True)
class Request:
    """A request.

    :param path: with its escapes resolved.
    :param route: the pattern that the path belongs to, such as ``/v1/Sims/{Sid}``, or the path itself.
    :param key: what stands for ``{Sid}`` in the path, a sid or a unique name; empty if there is none.
    :param base_url: scheme and host, as the client named them.
    :param malformed: the reason if the parameters could not be read.
    """

    method: str
    path: str
    route: str
    key: str
    base_url: str
    headers: Mapping[bytes, bytes]
    vendor: Vendor[Any]
    query: dict[str, str]
    form: dict[str, str]
    malformed: ApiError | None = None


Operation = Callable[[World, Request, float], tuple[int, Resource]]
"""Takes the world, the request, and the list's lag in seconds; returns the status and the body."""


def route_of(path: str) -> tuple[str, str]:
    """Return a request's route and key.

    :param path: with its escapes, because a unique name may hold ``/``.
    """
    segments = path.split("/")
    if len(segments) > 3 and segments[3]:
        pattern = "/".join([*segments[:3], "{Sid}", *segments[4:]])
        if pattern in OPERATIONS:
            return pattern, unquote(segments[3])
    return path, ""


def _create_command(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    _no_query(request)
    wanted = parameters.command_request(request.form, world.sims.find, request.vendor.name)
    return 201, resources.command(world.accept(wanted), request.base_url, world.options.account_sid)


def _list_commands(world: World, request: Request, lag: float) -> tuple[int, Resource]:
    log, sims = world.commands, world.sims
    wanted = _list_request(request, COMMAND_FILTERS)
    ignored = world.options.ignored_filters.split(",")
    filters = {name: value for name, value in wanted.filters.items() if name not in ignored}
    status = parameters.choice(filters, "Status", STATUSES)
    direction = parameters.choice(filters, "Direction", DIRECTIONS)
    named = {sims.find(filters["Sim"])} if "Sim" in filters else set()
    named |= {sims.by_iccid(filters["SimIccid"])} if "SimIccid" in filters else set()
    if None in named or len(named) > 1:  # no such SIM, or filters for two different SIMs
        older = newer = _nothing
    else:
        until = world.clock.now() - lag if lag else float("inf")
        chosen = CommandFilter(next(iter(named), None), status, direction, until, world.has)
        older, newer = partial(log.older, wanted=chosen), partial(log.newer, wanted=chosen)
    write = resources.with_nulls(world.options)
    return _page(world, request, wanted, Listing("ip_commands", older, newer, log.by_sid), write)


def _get_command(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    return _single(world, request, world.find_command, resources.command)


def _list_sims(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    wanted = _list_request(request, ("Status", "Fleet", "Iccid"))
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
    listing = Listing("sims", older, newer, world.sims.by_sid)
    return _page(world, request, wanted, listing, resources.with_unstated(world.options))


def _list_addresses(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    sim = _found(request, world.sims.find)
    listing = Listing("ip_addresses", partial(_only, sim), _nothing, world.sims.by_sid)
    return _page(world, request, _list_request(request, ()), listing, resources.address)


def _list_billing_periods(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    """The simulator bills nothing: the list is always empty."""
    _found(request, world.sims.find)
    listing = Listing("billing_periods", _nothing, _nothing, world.sims.by_sid)
    return _page(world, request, _list_request(request, ()), listing, resources.address)


def _get_sim(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    return _single(world, request, world.sims.find, resources.sim)


def _list_fleets(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    wanted = _list_request(request, ("NetworkAccessProfile",))
    profile = wanted.filters.get("NetworkAccessProfile")

    def chosen(fleets: list[Fleet]) -> Iterator[Fleet]:
        return (fleet for fleet in fleets if profile in (None, fleet.network_access_profile_sid))

    listing = Listing(
        "fleets",
        older=lambda than: chosen(world.fleets[:than][::-1]),
        newer=lambda than: chosen(world.fleets[than + 1 :]),
        find=world.fleet_by_sid,
    )
    return _page(world, request, wanted, listing, resources.fleet)


def _get_fleet(world: World, request: Request, _lag: float) -> tuple[int, Resource]:
    return _single(world, request, world.find_fleet, resources.fleet)


def _not_simulated(method: str, route: str, instead: str) -> Operation:
    def refuse(_world: World, _request: Request, _lag: float) -> tuple[int, Resource]:
        raise not_simulated(method, route, instead)

    return refuse


OPERATIONS: dict[str, dict[str, Operation]] = {
    "/v1/IpCommands": {"GET": _list_commands, "POST": _create_command},
    "/v1/IpCommands/{Sid}": {"GET": _get_command},
    "/v1/Sims": {"GET": _list_sims, "POST": _not_simulated("POST", "/v1/Sims", "POST /_simulator/seed")},
    "/v1/Sims/{Sid}": {
        "GET": _get_sim,
        "POST": _not_simulated("POST", "/v1/Sims/{Sid}", "PATCH /_simulator/sims/NAME"),
    },
    "/v1/Sims/{Sid}/BillingPeriods": {"GET": _list_billing_periods},
    "/v1/Sims/{Sid}/IpAddresses": {"GET": _list_addresses},
    "/v1/Fleets": {"GET": _list_fleets, "POST": _not_simulated("POST", "/v1/Fleets", "POST /_simulator/seed")},
    "/v1/Fleets/{Sid}": {
        "GET": _get_fleet,
        "POST": _not_simulated("POST", "/v1/Fleets/{Sid}", "PATCH /_simulator/fleets/NAME"),
    },
}


def _list_request(request: Request, filters: tuple[str, ...]) -> parameters.ListRequest:
    return parameters.list_request(request.query, filters, request.vendor.max_page_size(request.route))


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
        url=f"{request.base_url}{request.route.replace('{Sid}', quote(request.key, safe=''))}",
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
    return 200, write(_found(request, find), request.base_url, world.options.account_sid)


def _found(request: Request, find: Callable[[str], Item | None]) -> Item:
    found = find(request.key)
    if found is None:
        raise not_found(request.path)
    return found


def _no_query(request: Request) -> None:
    for name in request.query:
        raise unknown(name)


def _nothing(_than: int | None) -> Iterator[Any]:
    return iter(())


def _only(item: Item | None, _than: int | None) -> Iterator[Any]:
    return iter(() if item is None else (item,))
