"""Lets several methods take the arguments of one function, which lists and checks them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
S = TypeVar("S")  # the type of self
B = TypeVar("B")
R = TypeVar("R")


def with_arguments_of(build: Callable[P, B]) -> Callable[[Callable[[S, B], R]], Callable[Concatenate[S, P], R]]:
    """Let a method that takes what ``build`` returns take the arguments of ``build`` instead.

    Type checkers and ``help()`` show these arguments.
    """

    def decorate(method: Callable[[S, B], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def building(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return method(self, build(*args, **kwargs))

        signature = inspect.signature(method)
        parameters = [signature.parameters["self"], *inspect.signature(build).parameters.values()]
        building.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return building

    return decorate
