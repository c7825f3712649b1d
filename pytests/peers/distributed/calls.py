"""Every call of a communicator, on ranks: `calls.py ENGINE`."""

from __future__ import annotations

import sys

import numpy as np
from vqswift import distributed

here = distributed.init(sys.argv[1], timeout=60)
rank, size = here.rank, here.size
assert (distributed.rank(), distributed.size(), here.name) == (rank, size, sys.argv[1])
assert distributed.init() is here

whole = np.arange(100_000, dtype=np.float32)
assert np.array_equal(here.all_reduce(whole * (rank + 1)), whole * sum(range(1, size + 1)))
assert here.all_reduce(np.array(rank), "max") == size - 1
assert here.all_reduce(np.array(-rank), "min") == 1 - size
gathered = here.all_gather(np.full((rank, 2), rank, np.int64))
assert [each.tolist() for each in gathered] == [[[r, r]] * r for r in range(size)]
value = np.arange(6.0).reshape(2, 3)
assert np.array_equal(here.broadcast(value if rank == 1 else None, 1), value)
here.barrier(30)
with distributed.alone():
    assert (distributed.rank(), distributed.size()) == (0, 1)
points = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
found = distributed.kmeans(np.array_split(points, size)[rank], 8, seed=1)
with distributed.alone():
    one = distributed.kmeans(points, 8, seed=1)
assert np.array_equal(found.centroids, one.centroids) and found.inertia == one.inertia
before = here.sent
here.all_reduce(np.zeros(30_000 * size, np.float32))
told = 8  # of the dtype and shape, to each other rank
assert here.sent - before == (size - 1) * (told + 2 * 30_000 * 4)
print(f"rank {rank}: all calls agree", flush=True)
