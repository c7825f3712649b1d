"""State that processes of `torch.distributed` keep equal."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import distributed

from ..distributed._current import has_joined

# Means over the processes' batches of one size are those of the whole batch, or near it.
_MEANS = ("running_mean", "running_var", "affine_vector_mean", "affine_vector_variance")
_SUMS = ("ema_pending_counts", "ema_pending_sums")


def is_active() -> bool:
    """Whether several processes train together; RuntimeError where that is over MPI alone."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_world_size() > 1
    joined = has_joined()
    if joined.size > 1:
        raise RuntimeError(
            f"[distributed] vqswift.torch among {joined.size} ranks of {joined.name}: its layers "
            "are synchronized by torch.distributed; call init_process_group, or train within "
            "vq.distributed.alone()"
        )
    return False


@torch.no_grad()
def synchronize(state: Mapping[str, torch.Tensor]) -> None:
    """Make what a training forward wrote equal in all processes.

    Moments of batches become their means, what waits for an update of an EMA codebook the sum, and
    a code counts as used where any process used it. The rest, such as codes that were replaced and
    generators, is that of the first process.
    """
    for name, tensor in state.items():
        last = name.rpartition(".")[2]
        if last in _MEANS:
            distributed.all_reduce(tensor)
            tensor.div_(distributed.get_world_size())
        elif last in _SUMS:
            distributed.all_reduce(tensor)
        elif last == "unused_steps":
            distributed.all_reduce(tensor, distributed.ReduceOp.MIN)
        else:
            distributed.broadcast(tensor, 0)


def follow_first(tensor: torch.Tensor) -> None:
    """Make a tensor that of the first process."""
    distributed.broadcast(tensor, 0)


def add(tensor: torch.Tensor) -> None:
    """Make a tensor the sum over processes."""
    distributed.all_reduce(tensor)


def average(gradient: torch.Tensor) -> None:
    """Make a gradient the mean over processes."""
    distributed.all_reduce(gradient)
    gradient.div_(distributed.get_world_size())


def agree(gradient: torch.Tensor, codebook: torch.Tensor, starts_anew: bool) -> None:
    """Make a codebook's gradient the mean over processes; where k-means has just set the codebook,
    both are those of the first."""
    is_first = torch.tensor([starts_anew], dtype=torch.uint8, device=gradient.device)
    follow_first(is_first)
    if is_first.item():
        follow_first(codebook)
        follow_first(gradient)
    else:
        average(gradient)
