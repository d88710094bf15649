"""Shards: how several tasks share the targets of one rollout between them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from airflow_provider_supersim.api.errors import BadInputError


class Shard(msgspec.Struct, frozen=True):
    """One of several equal parts of all SIMs. Make it with :meth:`build`.

    :ivar index: which part, from 0
    :ivar count: number of parts
    """

    index: int
    count: int

    @classmethod
    def build(cls, shard: Sequence[int]) -> Shard:
        """Check what the DAG's author wrote.

        :param shard: ``(index, count)``
        :raises ValueError: it is not two whole numbers with 0 <= index < count
        """
        if isinstance(shard, Sequence) and len(shard) == 2 and all(type(number) is int for number in shard):
            index, count = shard
            if 0 <= index < count:
                return cls(index, count)
        raise BadInputError(
            f"shard must be (i, n) with 0 <= i < n, such as (0, 4) for the first of four, got {shard!r}"
        )

    def takes(self, sim: str) -> bool:
        """Return whether a SIM belongs to this shard. The answer is the same on every machine and in every version."""
        digest = blake2b(sim.encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.index
