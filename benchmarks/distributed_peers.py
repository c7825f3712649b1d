"""What vector-quantize-pytorch and vqswift do on two ranks of gloo in the same situation.

python -m benchmarks.distributed_peers [--only SITUATION ...]
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import numpy as np

RANKS = 2
WAIT = 15  # seconds


def shard(rank: int, rows: int = 64, d: int = 4) -> np.ndarray:
    return np.random.default_rng(rank).normal(3.0 * rank, 1, (rows, d)).astype(np.float32)


def gathered(value: Any) -> list[np.ndarray]:
    import torch
    from torch import distributed

    own = torch.as_tensor(np.asarray(value, np.float64))
    found = [torch.empty_like(own) for _ in range(RANKS)]
    distributed.all_gather(found, own)
    return [each.numpy() for each in found]


def agree(value: Any) -> str:
    first, second = gathered(value)
    return f"ranks differ by up to {np.abs(first - second).max():.3g}"


def join() -> None:
    from torch import distributed

    distributed.init_process_group("gloo", timeout=timedelta(seconds=WAIT))


def peer_made_early(rank: int) -> str:
    import torch
    from vector_quantize_pytorch import VectorQuantize

    torch.manual_seed(0)
    layer = VectorQuantize(dim=4, codebook_size=8, rotation_trick=False)
    join()
    layer(torch.from_numpy(shard(rank))[None])
    return agree(layer.codebook.detach().numpy())


def own_made_early(rank: int) -> str:
    import vqswift as vq

    layer = vq.VectorQuant(4, 8, ema_decay=0.8, seed=0)
    join()
    vq.distributed.init("gloo", timeout=WAIT)
    layer(shard(rank))
    vq.distributed.update(layer)
    return agree(layer.codebook.numpy())


def peer_mean_probability(rank: int) -> str:
    import torch
    from vector_quantize_pytorch import lookup_free_quantization as lfq

    join()
    mean = lfq.maybe_distributed_mean(torch.full((1,), 0.25 + 0.5 * rank))
    return f"mean of 0.25 and 0.75 on rank {rank}: {float(mean):g}"


def own_mean(rank: int) -> str:
    import vqswift as vq

    join()
    here = vq.distributed.init("gloo", timeout=WAIT)
    mean = here.all_reduce(np.array([0.25 + 0.5 * rank])) / here.size
    return f"mean of 0.25 and 0.75 on rank {rank}: {float(mean[0]):g}"


def peer_masked_rank(rank: int) -> str:
    import torch
    from vector_quantize_pytorch import VectorQuantize

    join()
    torch.manual_seed(0)
    layer = VectorQuantize(dim=4, codebook_size=64, threshold_ema_dead_code=2, rotation_trick=False)
    z = torch.from_numpy(shard(rank))[None]
    mask = torch.full((1, 64), rank == 0)
    try:
        for _ in range(3):
            layer(z, mask=mask)
        return agree(layer.codebook.detach().numpy())
    except Exception as error:
        return f"{type(error).__name__} after {WAIT} s or less: {str(error).splitlines()[0][:90]}"


def own_masked_rank(rank: int) -> str:
    import vqswift as vq

    join()
    vq.distributed.init("gloo", timeout=WAIT)
    layer = vq.VectorQuant(4, 64, ema_decay=0.8, replace_freq=1, seed=0)
    for _ in range(3):
        layer(shard(rank), np.full(64, rank == 0))
        vq.distributed.update(layer)
    return agree(layer.codebook.numpy())


def peer_affine(rank: int) -> str:
    import torch
    from vector_quantize_pytorch import VectorQuantize

    join()
    torch.manual_seed(0)
    layer = VectorQuantize(dim=4, codebook_size=8, affine_param=True, rotation_trick=False)
    layer(torch.from_numpy(shard(rank))[None])
    return "moments of the batch: " + agree(layer._codebook.batch_mean.numpy())


def own_affine(rank: int) -> str:
    import vqswift as vq

    join()
    vq.distributed.init("gloo", timeout=WAIT)
    layer = vq.VectorQuant(4, 8, ema_decay=0.8, affine="ema", seed=0)
    layer(shard(rank))
    vq.distributed.update(layer)
    return "moments of the batch: " + agree(layer.affine_vector_mean.numpy())


ROWS = (60, 4)  # vectors of each rank


def peer_uneven(rank: int) -> str:
    import torch
    from vector_quantize_pytorch import VectorQuantize

    join()

    def stepped(z: np.ndarray) -> np.ndarray:
        torch.manual_seed(0)
        layer = VectorQuantize(
            dim=4,
            codebook_size=2,
            learnable_codebook=True,
            ema_update=False,
            rotation_trick=False,
            sync_codebook=len(z) < sum(ROWS),
            in_place_codebook_optimizer=lambda p: torch.optim.SGD(p, lr=0.5),
        )
        layer(torch.from_numpy(z)[None])
        return layer.codebook.detach().numpy()

    return _difference(stepped, rank)


def own_uneven(rank: int) -> str:
    import vqswift as vq

    join()
    vq.distributed.init("gloo", timeout=WAIT)

    def stepped(z: np.ndarray) -> np.ndarray:
        layer = vq.VectorQuant(4, 2, seed=0, inplace_optimizer=lambda p: vq.optim.SGD(p, lr=0.5))
        if len(z) < sum(ROWS):
            layer(z)
            vq.distributed.update(layer)
        else:
            with vq.distributed.alone():
                layer(z)
        return layer.codebook.numpy()

    return _difference(stepped, rank)


def _difference(stepped: Callable[[np.ndarray], np.ndarray], rank: int) -> str:
    shards = [shard(r, rows) for r, rows in enumerate(ROWS)]
    spread, whole = stepped(shards[rank]), stepped(np.concatenate(shards))
    return f"from one process on all vectors: {np.abs(spread - whole).max():.3g}"


CASES: dict[str, tuple[Callable[[int], str], Callable[[int], str]]] = {
    "a layer made before the process group": (peer_made_early, own_made_early),
    "a mean over ranks": (peer_mean_probability, own_mean),
    "a rank whose vectors are all masked, dead codes replaced": (peer_masked_rank, own_masked_rank),
    "moments of the affine map, by default": (peer_affine, own_affine),
    "in-place step, shards of 60 and 4 vectors": (peer_uneven, own_uneven),
}


def _there(body: Callable[[int], str], rank: int, port: int, answers: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(RANKS),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    try:
        answers.put((rank, body(rank)))
    except Exception as error:
        answers.put((rank, f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"))


def _on_ranks(body: Callable[[int], str]) -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = get_context("spawn")
    answers = context.Queue()
    processes = [
        context.Process(target=_there, args=(body, rank, port, answers)) for rank in range(RANKS)
    ]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=300) for _ in processes)
    for process in processes:
        process.join()
    return [found[rank] for rank in range(RANKS)]


def main() -> None:
    """Print what each library does in each situation, rank by rank."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=[*CASES], default=[*CASES])
    for name in parser.parse_args().only:
        bodies = CASES[name]
        print(name)
        for library, body in zip(("vector-quantize-pytorch", "vqswift"), bodies, strict=True):
            for rank, told in enumerate(_on_ranks(body)):
                print(f"  {library}, rank {rank}: {told}", flush=True)


if __name__ == "__main__":
    main()
