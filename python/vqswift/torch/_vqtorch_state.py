"""States of vqtorch's layers and ours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

State = dict[str, torch.Tensor]

# What vqtorch's states have not.
_STAYING = ("generator", "codebook_gradient", "_extra_state")
_OF_MAP = {"affine_transform.scale": "affine_scale", "affine_transform.bias": "affine_bias"}


def convert_state_dict(
    theirs: Mapping[str, torch.Tensor], *, groups: int = 1, share: bool = True
) -> State:
    """The state of one of vqtorch's layers -> that of ours, for `load_state_dict`.

    `groups` and `share` are those of the layer: its one table has the codebooks one after another
    where it does not share. The generator stays that of the layer that loads. ValueError for a
    key that no layer here has, such as the affine parameters of a norm, or a size that `groups`
    does not divide.
    """
    books = 1 if share else groups
    table = theirs["codebook.weight"]
    if len(table) % books:
        raise ValueError(
            f"[convert_state_dict] groups = {groups}: does not divide {len(table)} codes"
        )
    counts = theirs.get("_counts")
    started = theirs.get("data_initialized", torch.ones(1))
    zero = torch.zeros((), dtype=torch.int32)
    known = {"codebook.weight", "_counts", "data_initialized", *_OF_MAP}
    unknown = [name for name in theirs if name not in known]
    if unknown:
        raise ValueError(f"[convert_state_dict] {unknown[0]!r}: no layer here has such a state")
    ours: State = {}
    for book, codes in enumerate(table.chunk(books)):
        place = f"layer.{book}"
        # A code that was just used counts down from the highest count.
        unused = torch.zeros(len(table)) if counts is None else counts.max() - counts
        ours |= {
            f"{place}.codebook": codes.clone(),
            f"{place}.unused_steps": unused.chunk(books)[book].to(torch.int32),
            f"{place}.inner_phase": zero,
            f"{place}.initialized": zero + int(started.item()),
        }
        ours |= {f"{place}.{own}": theirs[name] for name, own in _OF_MAP.items() if name in theirs}
    return ours


def to_theirs(ours: Mapping[str, torch.Tensor], *, replace_freq: int = 0) -> State:
    """The state of one of these layers -> that of vqtorch's, without `kmeans_init`.

    `replace_freq` is that of the layer: the peer counts down from it. ValueError where codebooks
    have affine maps of their own: the peer keeps one.
    """

    def of_all(last: str) -> list[torch.Tensor]:
        return [value for name, value in ours.items() if name.rpartition(".")[2] == last]

    theirs = {"codebook.weight": torch.cat(of_all("codebook"))}
    for name, own in _OF_MAP.items():
        maps = of_all(own)
        if len(maps) > 1:
            raise ValueError(f"[to_theirs] {own}: {len(maps)} codebooks have maps of their own")
        if maps:
            theirs[name] = maps[0]
    if replace_freq > 0:
        theirs["_counts"] = replace_freq - torch.cat(of_all("unused_steps")).float()
    return theirs


def fit_state(module: nn.Module, state: State, prefix: str, *_: object) -> None:
    """Before a module loads: its generator and what in-place optimizers keep stay, and a single
    codebook has no number."""
    layer = module.get_submodule("layer")
    place = f"{prefix}layer."
    own = layer.state_dict(prefix=place)
    if f"{place}codebook" in own:
        for key in [key for key in state if key.startswith(f"{place}0.")]:
            state[place + key.removeprefix(f"{place}0.")] = state.pop(key)
    for key, value in own.items():
        if key.rpartition(".")[2] in _STAYING:
            state.setdefault(key, value)
