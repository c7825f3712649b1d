"""A layer of vqswift and the one of PyTorch over the same options and state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import vqswift as vq
import vqswift.torch as vqt

KINDS = {
    vq.VectorQuant: vqt.VectorQuant,
    vq.GroupVectorQuant: vqt.GroupVectorQuant,
    vq.ResidualVectorQuant: vqt.ResidualVectorQuant,
    vq.FSQ: vqt.FSQ,
    vq.LFQ: vqt.LFQ,
    vq.GumbelQuant: vqt.GumbelQuant,
    vq.SQVAEQuant: vqt.SQVAEQuant,
}


def twin(layer: Any) -> Any:
    """The module of PyTorch with a layer's options and state."""
    made = layer._made
    options = {n: v for n, v in made.options.items() if n not in ("seed", "stream")}
    if getattr(layer, "_inplace_optimizer", None) is not None:
        options["inplace_optimizer"] = layer._inplace_optimizer
    module = KINDS[type(layer)](**options, dim=layer.dim)
    load(module, layer.state_dict())
    return module


def load(module: torch.nn.Module, state: Mapping[str, np.ndarray]) -> None:
    tensors = {n: torch.tensor(v) for n, v in state.items()}
    module.load_state_dict(tensors | optimizers_of(module), strict=True)


def optimizers_of(module: torch.nn.Module) -> dict[str, Any]:
    """What in-place optimizers add to a state; vqswift's keep it themselves."""
    return {n: v for n, v in module.state_dict().items() if n.endswith("_extra_state")}


def state_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    own = optimizers_of(module)
    return {n: v.numpy(force=True) for n, v in module.state_dict().items() if n not in own}


def moments_of(module: torch.nn.Module) -> list[dict[str, np.ndarray]]:
    """What in-place optimizers of `vqswift.optim` keep of each codebook."""
    kept = [optimizer.state for optimizer in module.inplace_optimizers]
    return [
        {f"0.{n}": v.numpy() for moments in state.values() for n, v in moments.items()}
        for state in kept
    ]


def assert_equal_state(layer: Any, module: torch.nn.Module) -> None:
    ours, expected = state_of(module), layer.state_dict()
    assert list(ours) == list(expected) or sorted(ours) == sorted(expected)
    for name, value in expected.items():
        assert ours[name].dtype == value.dtype, name
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def assert_equal_info(ours: Any, expected: Any) -> None:
    """Bit for bit; entries of stages that dropout left out are 0."""
    for name in ("q", "d", "loss", "z", "z_q", "stage_losses", "stage_perplexities"):
        value, wanted = getattr(ours, name).numpy(force=True), getattr(expected, name).numpy()
        if name.startswith("stage_"):
            assert not value[len(wanted) :].any(), name
            value = value[: len(wanted)]
        np.testing.assert_array_equal(value, wanted, err_msg=name)
    for name in ("commitment_loss", "codebook_loss", "regularization", "perplexity"):
        assert getattr(ours, name).item() == np.float32(getattr(expected, name)), name
    assert ours.active_codes.item() == expected.active_codes
