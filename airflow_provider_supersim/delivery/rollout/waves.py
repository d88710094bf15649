"""How targets fall into waves."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec

from airflow_provider_supersim.api.errors import BadInputError
from airflow_provider_supersim.delivery.state.positions import Positions

ALL = Fraction(1)
_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%", re.ASCII)


class Wave(msgspec.Struct, frozen=True):
    """A wave: its number, from 1, and its devices."""

    number: int
    devices: Positions


def check_waves(waves: Sequence[int | str]) -> None:
    """Check what can be checked before the number of devices is known.

    :raises ValueError: with one sentence that names what is wrong
    """
    _read(waves)


def wave_ends(waves: Sequence[int | str], devices: int) -> list[int]:
    """Return where each wave ends, counted in devices from the first.

    :param waves: how far each wave reaches: to so many devices, or to that share of all, rounded up
    :param devices: how many there are
    :return: increasing; a wave that would reach no further than the one before is left out
    :raises ValueError: as :func:`check_waves`
    """
    ends: list[int] = []
    for reach in _read(waves):
        end = math.ceil(reach * devices) if isinstance(reach, Fraction) else min(reach, devices)
        if end > (ends[-1] if ends else 0):
            ends.append(end)
    return ends


def _read(waves: Sequence[int | str]) -> list[int | Fraction]:
    if isinstance(waves, str | bytes) or not isinstance(waves, Sequence) or not waves:
        raise BadInputError(f"waves must be a list such as [5, '10%', '100%'], got {waves!r}")
    reaches = [_reach(wave) for wave in waves]
    for kind, name in ((int, "numbers"), (Fraction, "percentages")):
        alike = [reach for reach in reaches if isinstance(reach, kind)]
        if any(later <= earlier for earlier, later in pairwise(alike)):
            raise BadInputError(f"each of waves reaches further than the one before: {name} must grow, got {waves!r}")
    if not isinstance(reaches[-1], Fraction) or reaches[-1] != ALL:
        raise BadInputError(f"the last of waves must be '100%', so that no device is left out, got {waves!r}")
    return reaches


def _reach(wave: object) -> int | Fraction:
    if isinstance(wave, int) and not isinstance(wave, bool) and wave > 0:
        return wave
    if isinstance(wave, str) and (match := _PERCENTAGE.fullmatch(wave.strip())):
        share = Fraction(match[1]) / 100
        if 0 < share <= ALL:
            return share
    raise BadInputError(
        f"each of waves must be a number of devices from 1, or a share from '0.1%' to '100%', got {wave!r}"
    )
