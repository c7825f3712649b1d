"""One program on several processes or machines, over MPI or torch.distributed.

vq.distributed.init()   # under mpirun or torchrun; else one process
trainer.fit(600)        # batches are shared out, codebooks learn from all ranks
"""

from ._batch_norm import synchronize_batch_norms
from ._clustering import kmeans
from ._codebooks import CodebookUpdate, update
from ._communicator import Communicator, PeerLost
from ._current import alone, current, init, rank, shut_down, size
from ._gradients import reduce_gradients

__all__ = [
    "CodebookUpdate",
    "Communicator",
    "PeerLost",
    "alone",
    "current",
    "init",
    "kmeans",
    "rank",
    "reduce_gradients",
    "shut_down",
    "size",
    "synchronize_batch_norms",
    "update",
]
