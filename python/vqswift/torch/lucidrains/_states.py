"""States of vector-quantize-pytorch's layers and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .._vector import CodebookQuantizer

State = dict[str, torch.Tensor]

_THEIRS = re.compile(r"((?:rvqs\.\d+\.)?)(?:layers\.(\d+)\.)?_codebook\.(\w+)")
_OURS = re.compile(r"((?:rvqs\.\d+\.)?)(layers?)\.(?:(\d+)\.)?(\w+)")
_MOMENTS = {
    "batch_mean": "affine_vector_mean",
    "batch_variance": "affine_vector_variance",
    "codebook_mean": "affine_code_mean",
    "codebook_variance": "affine_code_variance",
}
# The peer has no moments of vectors before its first forward.
_OURS_ALONE = (
    "generator",
    "temperature",
    "affine_vector_mean",
    "affine_vector_variance",
    "codebook_gradient",
    "_extra_state",
)
_SAME = re.compile(r"(.*\.)?(project_in|project_out)\..+|mask")


def convert_state_dict(theirs: Mapping[str, torch.Tensor]) -> State:
    """The state of one of vector-quantize-pytorch's layers -> that of ours, for `load_state_dict`.

    Codebooks, EMA counts and sums, affine moments, projections and SimVQ's map are taken; the
    generator stays that of the layer that loads, and a layer without an EMA leaves out its
    statistics. ValueError for a key that no layer here has.
    """
    ours: State = {}
    waiting: list[str] = []
    for name, value in theirs.items():
        found = _THEIRS.fullmatch(name)
        if found:
            group, stage, last = found.groups()
            place = f"{group}layer" if stage is None else f"{group}layers.{stage}"
            ours |= _converted(place, last, value)
            if last == "initted" and not value:
                waiting.append(place + ".")
        elif name == "frozen_codebook":
            ours |= _converted("layer", "embed", value[None])
        elif name == "code_transform.weight":
            ours["layer.transform"] = value.T.contiguous()
        elif _SAME.fullmatch(name):
            ours[name] = value
        else:
            raise ValueError(f"[convert_state_dict] {name!r}: no layer here has such a state")
    for key, value in ours.items():
        if key.endswith(".initialized") and key.startswith(tuple(waiting)):
            ours[key] = torch.zeros_like(value)
    return ours


def _converted(place: str, last: str, value: torch.Tensor) -> State:
    """One entry of a codebook: theirs has an axis of heads in front."""
    if last in ("initted", "codebook_variance_needs_init"):
        return {}
    if last == "codebook_mean_needs_init":
        return {f"{place}.affine_started": (~value).to(torch.int32)}
    names = {"embed": "codebook", "cluster_size": "ema_counts", "embed_avg": "ema_sums"} | _MOMENTS
    if last not in names:
        raise ValueError(f"[convert_state_dict] '_codebook.{last}': no layer here has such a state")
    heads = [place] if len(value) == 1 else [f"{place}.{head}" for head in range(len(value))]
    found: State = {}
    for head, own in zip(heads, value, strict=True):
        one = own[0] if last.startswith("batch_") else own
        found[f"{head}.{names[last]}"] = one.clone()
        if last == "embed":
            start = torch.zeros((), dtype=torch.int32)
            found[f"{head}.unused_steps"] = torch.zeros(len(own), dtype=torch.int32)
            found |= {f"{head}.inner_phase": start, f"{head}.initialized": start + 1}
    return found


def to_theirs(
    ours: Mapping[str, torch.Tensor], *, cosine: bool = False, stages: int | None = None
) -> State:
    """The state of one of these layers -> that of vector-quantize-pytorch's.

    `cosine`: the layer has `use_cosine_sim`, whose codes the peer keeps at unit length. `stages`:
    of a residual layer with a shared codebook, which the peer lists once a stage.
    """
    theirs: State = {}
    parts: dict[str, list[State]] = {}
    for name, value in ours.items():
        found = _OURS.fullmatch(name)
        if name == "layer.transform":
            theirs["code_transform.weight"] = value.T.contiguous()
        elif found:
            group, kind, index, last = found.groups()
            stage = f"layers.{index}." if kind == "layers" and index is not None else ""
            heads = parts.setdefault(group + stage, [])
            position = int(index or 0) if kind == "layer" else 0
            while len(heads) <= position:
                heads.append({})
            heads[position][last] = value
        elif _SAME.fullmatch(name):
            theirs[name] = value
    if "code_transform.weight" in theirs:
        return theirs | {"frozen_codebook": parts[""][0]["codebook"]}
    for place, heads in parts.items():
        if "codebook" in heads[0]:
            theirs |= _theirs(place, heads, ours.get("expiry.cluster_size"), cosine)
    return theirs if stages is None else _repeated(theirs, stages)


def _theirs(
    place: str, heads: list[State], counts: torch.Tensor | None, cosine: bool
) -> dict[str, Any]:
    books = [head["codebook"] for head in heads]
    ones = [torch.ones_like(book[:, 0]) for book in books]
    own = [h.get("ema_counts", one) for h, one in zip(heads, ones, strict=True)]
    found: State = {
        "initted": torch.stack([head["initialized"] for head in heads]).all(),
        "cluster_size": torch.stack(own) if counts is None else counts,
        "embed_avg": torch.stack([head.get("ema_sums", head["codebook"]) for head in heads]),
        "embed": torch.stack(books),
    }
    if cosine:
        found["embed"] = nn.functional.normalize(found["embed"], dim=-1)
    if "affine_started" in heads[0]:
        waits = heads[0]["affine_started"] == 0
        found |= {"codebook_mean_needs_init": waits, "codebook_variance_needs_init": waits}
        for moment, own_name in _MOMENTS.items():
            found[moment] = torch.stack([head[own_name].reshape(1, -1) for head in heads])
    return {f"{place}_codebook.{name}": value for name, value in found.items()}


def _repeated(theirs: State, stages: int) -> State:
    """With what the first stage has in each of `stages`."""
    found = dict(theirs)
    for name, value in theirs.items():
        if "layers.0." in name:
            found |= {name.replace("layers.0.", f"layers.{s}."): value for s in range(stages)}
    return found


def fit_state(module: nn.Module, state: dict[str, Any], prefix: str, *_told: Any) -> None:
    """Before a module loads: what the peer does not keep stays, and what only it keeps goes."""
    name = "layer" if "layer" in module._modules else "layers"
    layer = module.get_submodule(name)
    assert isinstance(layer, CodebookQuantizer)
    place, own = f"{prefix}{name}.", layer.state_dict(prefix=f"{prefix}{name}.")
    given = {key: value for key, value in state.items() if key.startswith(place)}
    if f"{place}0.codebook" in own and f"{place}codebook" in given:
        for key in given:
            state[place + "0." + key.removeprefix(place)] = state.pop(key)
        given = {key: value for key, value in state.items() if key.startswith(place)}
    counts = [value for key, value in given.items() if key.endswith(".ema_counts")]
    if f"{prefix}expiry.cluster_size" in module.state_dict(prefix=prefix) and counts:
        state.setdefault(f"{prefix}expiry.cluster_size", torch.stack(counts))
    for key, value in given.items():
        stage, _, last = key.removeprefix(place).rpartition(".")
        repeated = state.get(f"{place}0.{last}") if stage else None
        is_copy = repeated is not None and torch.equal(repeated, value)
        if key not in own and (last in ("ema_counts", "ema_sums") or is_copy):
            del state[key]
    for key, value in own.items():
        if key.rpartition(".")[2] in _OURS_ALONE:
            state.setdefault(key, value)
